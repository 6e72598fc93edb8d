"""The command `pasam`: parse, call one function, print."""
