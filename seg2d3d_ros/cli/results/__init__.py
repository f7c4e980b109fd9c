"""The commands that measure a map and write it for others."""
