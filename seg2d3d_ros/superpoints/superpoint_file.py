"""A cloud with the superpoint of each point, as a PLY for any viewer and for other people's programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, write_points
from seg2d3d_ros.palette import instance_colors
from seg2d3d_ros.superpoints.map_superpoints import MapSuperpoints

SUPERPOINT = np.dtype([*CLOUD_POINT.descr, ("superpoint", "<i4")])
"""A point of the file."""


def write_superpoints(path: Path, found: MapSuperpoints) -> None:
    """Write the points, coloured by their superpoints, which count from 0."""
    points = np.empty(len(found.points), SUPERPOINT)
    for name in CLOUD_POINT.names or ():
        points[name] = found.points[name]
    points["superpoint"] = found.superpoint
    points["red"], points["green"], points["blue"] = instance_colors(found.superpoint + 1).T
    write_points(path, points)
