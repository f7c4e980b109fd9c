"""One module per file of the map directory that has a format of its own."""
