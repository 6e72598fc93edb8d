"""Doctor: what a run of a given size needs, and what of it is missing here."""
