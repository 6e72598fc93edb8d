"""Using a model: prompts on any image, with the API of SAM's predictor."""
