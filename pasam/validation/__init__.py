"""Whether the data is fit for use: expectations, duplicates, drift, and the verdict."""
