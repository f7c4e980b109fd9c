"""A video and the track of a receiver → keyframes."""
