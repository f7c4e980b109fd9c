"""Overlapping masks + sparse models → a tree of objects, and the cut through it that all images show: one granularity."""
