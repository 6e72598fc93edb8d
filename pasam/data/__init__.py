"""Getting data in: the manifest, one's own sets, COCO, quarantine, and public sets."""
