"""Map directory → files for other programs: one module per format, each with ``export(contents, path) -> summary``."""
