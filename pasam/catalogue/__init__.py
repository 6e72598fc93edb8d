"""Public data sets and weights: what there is, how it arrives, and proof that it arrived whole.

Nothing here knows the manifest, the models or the pipeline: it ends where files lie in folders.
"""
