"""Sparse models + images → better evidence: guided matching adds points, doppelganger matches are left out."""
