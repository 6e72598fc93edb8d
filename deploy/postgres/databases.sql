-- Run once, when the volume is empty: a database each for MLflow and for Prefect.
CREATE DATABASE mlflow;
CREATE DATABASE prefect;
