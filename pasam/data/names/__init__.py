"""The names of images and masks: what lies in a folder, what a name means, which go together."""
