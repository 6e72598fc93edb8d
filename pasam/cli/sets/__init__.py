"""The commands `pasam data`, by what a set of data goes through."""
