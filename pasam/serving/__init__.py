"""Using a model over HTTP: a small service round `pasam.inference`, and its page."""
