"""The scores and their intervals."""
