"""The labelled cloud with each instance in its colour; points without an instance keep a dimmed photo colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seg2d3d_ros.mapstore.point_cloud import write_points
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.palette import instance_colors


def export(store: MapStore, path: Path) -> str:
    """Write a binary PLY with the fields of points.ply, red green blue replaced by the instance's colour."""
    points = store.read_points()
    labelled = points["instance"] > 0
    colors = np.stack([points["red"], points["green"], points["blue"]], axis=1) // 2
    colors[labelled] = instance_colors(points["instance"][labelled])
    points["red"], points["green"], points["blue"] = colors.T
    write_points(path, points)
    return f"{len(points)} points, {int(labelled.sum())} of them in {len(np.unique(points['instance'][labelled]))} instances"
