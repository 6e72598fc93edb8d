"""The workflow: DVC stages, and what runs them."""
