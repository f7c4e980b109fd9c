"""The clouds that a map directory may hold."""

from __future__ import annotations

CLOUDS = {
    "points": ("points.ply", "make the map with 'seg2d3d run'"),
    "lidar": ("cloud.ply", "make the map with 'seg2d3d bag … --cloud TOPIC'"),
    "dense": ("dense.ply", "make the map with --densify"),
}
"""What a command calls them: their files, and how to have them."""
