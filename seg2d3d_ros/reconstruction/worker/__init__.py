"""Keyframes → sparse models across a process border: one spawned process owns the database."""
