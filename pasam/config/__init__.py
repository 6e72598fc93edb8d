"""The parameters of a run: `params.yaml`, its sections, and the presets."""
