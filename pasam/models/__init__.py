"""The networks: SAM as it is, the prompt adapter round it, HQ-SAM beside it, and their losses."""
