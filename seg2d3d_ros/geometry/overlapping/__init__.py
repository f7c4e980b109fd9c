"""Masks that may overlap, as run lengths: what a segmenter of anything finds in one image."""
