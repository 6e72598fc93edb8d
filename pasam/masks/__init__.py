"""Images and masks: reading them, run lengths, prompts, transforms and overlap."""
