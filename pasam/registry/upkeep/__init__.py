"""The project over months: backups, what may be removed, registries from before the log."""
