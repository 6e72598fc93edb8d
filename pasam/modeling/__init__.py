"""The networks: SAM as it is, the prompt adapter round it, and HQ-SAM beside it."""
