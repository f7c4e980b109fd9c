"""A prompted object's points in a dense cloud, decided piece of surface by piece, so that it reaches where no view looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from seg2d3d_ros.geometry.masks import Region
from seg2d3d_ros.prompts.point_votes import points_held
from seg2d3d_ros.prompts.sights import Sight
from seg2d3d_ros.sections.superpoint_config import SuperpointConfig
from seg2d3d_ros.superpoints.completion import completed_labels
from seg2d3d_ros.superpoints.partition import partition
from seg2d3d_ros.superpoints.shown_labels import ShownLabels

AROUND = 0.25
"""How far beyond the box of the points that most views hold pieces of surface are looked at, in units of its longest side."""


def points_completed(
    sights: Sequence[Sight], regions: Mapping[str, Region], xyz: np.ndarray, rgb: np.ndarray, config: SuperpointConfig
) -> tuple[np.ndarray, np.ndarray]:
    """As ``points_held``, with the votes of all points of a superpoint counted together.

    Superpoints are made of the cloud around the object only, and end where the views see its border.

    Args:
        xyz: (N, 3) float64 places of a dense cloud.
        rgb: (N, 3) uint8 their colours.

    Returns:
        The rows (M,) that are the object's, and (M,) float32 how much of the views say so.
    """
    rows, share = points_held(sights, regions, xyz)
    if len(rows) == 0:
        return rows, share
    low, high = xyz[rows].min(axis=0), xyz[rows].max(axis=0)
    margin = AROUND * float((high - low).max())
    near = np.flatnonzero(((xyz >= low - margin) & (xyz <= high + margin)).all(axis=1))
    shown = [item for sight in sights if len((item := _shown(sight, regions.get(sight.name), xyz[near])).point)]
    superpoint = partition(xyz[near], config, rgb=rgb[near], shown=shown)
    label, share = completed_labels(shown, superpoint)
    mine = label > 0
    return near[mine], share[mine]


def _shown(sight: Sight, region: Region | None, xyz: np.ndarray) -> ShownLabels:
    """Which of some places (n, 3) a keyframe sees, and whether its mask of the object holds them."""
    seen = np.flatnonzero(sight.sees(xyz))
    pixels, depth = sight.view.project(xyz[seen])
    label = np.zeros(len(seen), np.int32)
    if region is not None:
        label[region.holds(pixels)] = 1
    return ShownLabels(sight.view, seen.astype(np.int32), label, pixels.astype(np.float32), depth.astype(np.float32))
