"""The ten questions that readers of the paper ask, each answered from the numbers of a run."""
