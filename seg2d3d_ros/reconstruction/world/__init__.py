"""Sparse models + GPS or odometry → the same models in metres, and east-north-up where GPS allows."""
