"""MLflow runs and lineage, versions of the model, the gate, promotion and the way back."""
