"""Blocks are made: each an ordinary map directory, here one after the other or as Ray tasks."""
