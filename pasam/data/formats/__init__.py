"""Readers of single tools that need a file of their own, beside `pasam.data.imports`."""
