"""Which model is in use: versions, the gate, promotion and the way back."""
