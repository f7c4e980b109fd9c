"""Sparse models + mounted cameras → rig frames: images of one moment share one pose."""
