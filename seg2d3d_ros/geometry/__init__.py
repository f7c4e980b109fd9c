"""Poses, cameras, directions and shapes: what every stage borrows. Imports nothing of the stages."""
