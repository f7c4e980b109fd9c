"""Seed → the street's textured meshes, and their images by ray casting."""
