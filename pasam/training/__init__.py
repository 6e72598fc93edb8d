"""Fitting: embeddings, optimisers, the loop, and the way back after an interruption."""
