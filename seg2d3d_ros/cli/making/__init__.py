"""The commands that make a map."""
