"""Labels of instances carried from keyframes to the points of a LiDAR's cloud."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.sections.superpoint_config import SuperpointConfig
from seg2d3d_ros.superpoints.completion import completed_labels, voted_labels
from seg2d3d_ros.superpoints.partition import partition
from seg2d3d_ros.superpoints.shown_labels import LabelledView, ShownLabels, sampled, shown_labels

GREY = 128


@dataclass(frozen=True)
class Carried:
    """Labels of N points.

    Attributes:
        instance: (N,) int32, 0 = none.
        confidence: (N,) float32, the winner's share of the votes. 0 = no view sees the point; above 0 with instance 0 = the
            views say that it belongs to none.
        rgb: (N, 3) uint8 from the nearest view that sees the point, grey where none does.
    """

    instance: np.ndarray
    confidence: np.ndarray
    rgb: np.ndarray


def carry_labels(
    xyz: np.ndarray, views: Iterable[LabelledView], max_range: float, superpoints: SuperpointConfig | None = None
) -> Carried:
    """Vote for each point in all views that see it; near views count more, by the inverse of their distance.

    Args:
        xyz: (N, 3) metres in the world frame; together they hide each other, so scans of one place belong into one call.
        views: read one by one.
        max_range: metres between camera and point.
        superpoints: the votes are counted over superpoints with these parameters; None = over single points.
    """
    count = len(xyz)
    rgb, nearest = np.full((count, 3), GREY, np.uint8), np.full(count, np.inf, np.float32)
    shown: list[ShownLabels] = []
    for item, found in shown_labels(xyz, views, max_range):
        shown.append(found)
        closer = found.depth < nearest[found.point]
        if closer.any() and (image := item.image()) is not None:
            rgb[found.point[closer]] = sampled(image, item.view, found.pixels[closer])
            nearest[found.point[closer]] = found.depth[closer]
    if superpoints is None:
        return Carried(*voted_labels(shown, count), rgb)
    superpoint = partition(xyz, superpoints, rgb=rgb, shown=shown)
    return Carried(*completed_labels(shown, superpoint), rgb)
