"""Intake: bring sets of one's own into the project, and look at what is there."""
