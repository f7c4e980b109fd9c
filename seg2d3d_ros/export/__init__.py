"""Map directory → files for other programs: one module per format, each with ``export(store, path, points) -> summary``."""
