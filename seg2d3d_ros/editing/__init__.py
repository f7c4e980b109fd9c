"""Corrections by people: an append-only log, replayed whenever the map is made anew."""
