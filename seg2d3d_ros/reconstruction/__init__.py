"""Keyframes → sparse models: features, pairs, mapping, components, rigs, world frame."""
