"""The groups of the command `pasam`: each parses, calls one function and prints."""
