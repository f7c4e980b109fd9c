"""A folder ↔ a map directory: its marker and lock, which files are ours, and how a new map takes the place of an old one."""
