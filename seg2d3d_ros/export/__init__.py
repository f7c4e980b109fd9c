"""One module per format, each with ``export(store, path) -> what was written, in words``."""
