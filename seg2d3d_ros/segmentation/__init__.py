"""Keyframe → segments: one label per pixel, overlaps resolved by score."""
