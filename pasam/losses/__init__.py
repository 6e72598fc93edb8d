"""The training losses, one criterion per file."""
