"""What happened: MLflow runs made from the results that the stages left."""
