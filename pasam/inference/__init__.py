"""Using a model: prompts on any image, in the manners of SAM's predictor."""
