"""Blocks become one: their transforms, and one identity for what several blocks show."""
