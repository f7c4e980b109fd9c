"""The commands that ask a map for objects and change which it shows."""
