"""Verified pairs + positions → one model in the positions' frame: rotations first, then places, then everything together."""
