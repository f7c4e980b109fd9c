"""Keyframes, their masks, mounts and findings as they travel between nodes: found, put together, matched."""
