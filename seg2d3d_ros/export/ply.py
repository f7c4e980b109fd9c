"""The labelled cloud with each instance in its colour; points without an instance keep a dimmed photo colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seg2d3d_ros.mapstore.point_cloud import colored_by_instance, read_points, write_points
from seg2d3d_ros.mapstore.store import MapStore


def export(store: MapStore, path: Path, points: np.ndarray | None = None) -> str:
    """Write a labelled cloud, where there are photo colours with the colours of unlabelled points made of these.

    Args:
        points: (P,) ``POINT`` of points.ply with other labels; None = with those that it has.
    """
    points = store.read_points() if points is None else colored_by_instance(points)
    labelled, in_colors = points["instance"] > 0, store.root / "points_rgb.ply"
    if in_colors.exists():
        photo = read_points(in_colors)
        photo = photo[np.isin(photo["point_id"], points["point_id"])]
        if np.array_equal(photo["point_id"], points["point_id"]):
            for color in ("red", "green", "blue"):
                points[color] = np.where(labelled, points[color], photo[color] // 2)
    write_points(path, points)
    return f"{len(points)} points, {int(labelled.sum())} of them in {len(np.unique(points['instance'][labelled]))} instances"
