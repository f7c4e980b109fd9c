"""Keyframes + configuration → map directory: the steps from image to instances, shared by commands and nodes."""
