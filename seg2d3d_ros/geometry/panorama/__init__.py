"""Equirectangular panoramas, and the virtual cameras that look around from their centre."""
