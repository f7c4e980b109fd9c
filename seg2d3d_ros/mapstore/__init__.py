"""The map directory: the project's result on disk."""
