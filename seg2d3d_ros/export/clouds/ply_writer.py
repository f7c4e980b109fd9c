"""PLY: the labelled cloud with each instance in its colour; points without an instance keep a dimmed photo colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.mapstore.point_cloud import write_points
from seg2d3d_ros.palette import instance_colors


def export(contents: Contents, path: Path) -> str:
    """Write the chosen cloud in the map's frame."""
    points = contents.points()
    labelled = points["instance"] > 0
    own = instance_colors(points["instance"])
    for k, color in enumerate(("red", "green", "blue")):
        points[color] = np.where(labelled, own[:, k], points[color] // 2)
    write_points(path, points)
    return in_words(points)


def in_words(points: np.ndarray) -> str:
    """How many points, and of how many instances."""
    labelled = points["instance"] > 0
    return f"{len(points)} points, {int(labelled.sum())} of them in {len(np.unique(points['instance'][labelled]))} instances"
