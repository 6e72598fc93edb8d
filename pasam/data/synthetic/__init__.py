"""Procedural pictures with exact masks, stand-ins for the public segmentation sets."""
