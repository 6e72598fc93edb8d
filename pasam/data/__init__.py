"""Getting data in: generation, folders, the manifest, augmentation and prompts."""
