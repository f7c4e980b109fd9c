"""Positions and poses of photographs, from tables and the files of other programs."""
