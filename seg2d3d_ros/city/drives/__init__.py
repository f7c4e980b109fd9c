"""What went into a city: each drive's keyframes and ready masks, read once."""
