"""Streams of messages, live or recorded → which fixes, masks and images belong together, and what is said of the others."""
