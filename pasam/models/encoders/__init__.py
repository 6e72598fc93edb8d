"""Image encoders behind SAM's interface: the two of the small bases, and TinyViT."""
