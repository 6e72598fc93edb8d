"""Public data sets and weights: what there is, how it arrives, and proof that it arrived whole."""
