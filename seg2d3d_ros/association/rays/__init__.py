"""Masks that hold few points → objects: thin and small things, found by the rays of their masks."""
