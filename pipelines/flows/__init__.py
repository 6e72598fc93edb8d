"""When things run: flows of tasks over DVC's targets, with Prefect or without any server."""
