"""Commands for several people on one project."""
