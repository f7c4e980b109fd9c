"""Keyframes, maps and results as they travel between nodes: sent whole, put together again, asked for when lost."""
