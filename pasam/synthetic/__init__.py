"""Procedural images with exact masks, stand-ins for the public segmentation sets."""
