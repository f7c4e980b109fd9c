"""The labelled cloud with each instance in its colour; points without an instance keep a dimmed photo colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seg2d3d_ros.mapstore.point_cloud import read_points, write_points
from seg2d3d_ros.mapstore.store import MapStore


def export(store: MapStore, path: Path) -> str:
    """Write the points of points.ply, where there are photo colours with the colours of unlabelled points made of these."""
    points = store.read_points()
    labelled, in_colors = points["instance"] > 0, store.root / "points_rgb.ply"
    if in_colors.exists():
        photo = read_points(in_colors)
        photo = photo[np.isin(photo["point_id"], points["point_id"])]
        if np.array_equal(photo["point_id"], points["point_id"]):
            for color in ("red", "green", "blue"):
                points[color] = np.where(labelled, points[color], photo[color] // 2)
    write_points(path, points)
    return f"{len(points)} points, {int(labelled.sum())} of them in {len(np.unique(points['instance'][labelled]))} instances"
