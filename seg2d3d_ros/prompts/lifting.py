"""A pixel → its place in the world, with a confidence.

The depth is that of the dense cloud's nearest surface at the pixel, where the map has one, else of a surface through the points
that the pixel's own mask holds, else through the points around it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.association.masks.transfer import surface_depth
from seg2d3d_ros.geometry.masks import Region
from seg2d3d_ros.prompts.sights import AROUND, Sight

LEAST_POINTS = 4
DENSE_RADIUS = 1 / 200
"""Of the image's width: dense points this close to a pixel give its depth."""
SAME_SURFACE = 1.05
"""Dense points within this ratio of the nearest depth lie on the surface that is seen."""
FEW = 3.0
"""Points at which a surface is half sure."""


@dataclass(frozen=True)
class Lift:
    """A place (3,) in the world, and how sure it is, in [0, 1]."""

    xyz: np.ndarray
    confidence: float


def lift(sight: Sight, xy: np.ndarray, masks: list[Region], dense: np.ndarray) -> Lift | None:
    """The place that a keyframe shows at a pixel (2,); None where no point is near.

    Args:
        masks: those that hold the pixel, the smallest first.
        dense: (M, 3) the dense cloud, perhaps empty.
    """
    width, view = sight.view.camera.width, sight.view
    depth, confidence = _dense_depth(sight, xy, dense)
    if depth is None:
        if sight.tree is None:
            return None
        mine, own = np.empty(0, np.intp), False
        for region in masks:
            mine = np.flatnonzero(region.holds(sight.xy))
            if own := len(mine) >= LEAST_POINTS:
                break
        if not own:
            mine = np.array(sight.tree.query_ball_point(xy, AROUND * width), np.intp)
        if len(mine) < LEAST_POINTS:
            return None
        depth = float(surface_depth(sight.xy[mine], sight.depth[mine], xy[None], width / 96)[0])
        gap = float(np.linalg.norm(sight.xy[mine] - xy, axis=1).min())
        confidence = len(mine) / (len(mine) + FEW) * float(np.exp(-gap / (2 * AROUND * width))) * (1.0 if own else 0.5)
    return Lift(view.back_project(xy[None], np.array([depth]))[0], confidence)


def _dense_depth(sight: Sight, xy: np.ndarray, dense: np.ndarray) -> tuple[float | None, float]:
    if len(dense) == 0:
        return None, 0.0
    pixels, depth = sight.view.project(dense)
    with np.errstate(invalid="ignore"):
        near = (np.abs(pixels - xy) <= DENSE_RADIUS * sight.view.camera.width).all(axis=1) & (depth > 0)
    if near.sum() < LEAST_POINTS:
        return None, 0.0
    there = np.sort(depth[near])
    seen = there[there <= SAME_SURFACE * there[1]]  # the very nearest may be noise
    return float(np.median(seen)), len(seen) / (len(seen) + FEW)
