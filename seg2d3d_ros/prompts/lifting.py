"""Pixels → their places in the world, with a confidence.

The depth is that of the dense cloud's nearest surface at the pixel, where the map has one, else of a surface through the points
that the pixel's own mask holds, else through the points around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

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


def lift(sight: Sight, xy: np.ndarray, masks: Sequence[Region], dense: np.ndarray) -> Lift | None:
    """The place that a keyframe shows at a pixel (2,); None where no point is near.

    Args:
        masks: those that hold the pixel, the smallest first.
        dense: (M, 3) the dense cloud, perhaps empty.
    """
    places, confidence = lift_all(sight, xy[None], masks, dense)
    return Lift(places[0], float(confidence[0])) if np.isfinite(places[0]).all() else None


def lift_all(sight: Sight, pixels: np.ndarray, masks: Sequence[Region], dense: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places (N, 3) that a keyframe shows at pixels (N, 2), NaN where no point is near; and (N,) how sure each is.

    Args:
        masks: of the keyframe, the smallest first: a pixel belongs to the first that holds it and enough points.
        dense: (M, 3) the dense cloud, perhaps empty.
    """
    depth, confidence = _dense_depth(sight, pixels, dense)
    if sight.tree is not None:
        for region in masks:
            mine = np.flatnonzero(region.holds(sight.xy))
            if len(mine) >= LEAST_POINTS:
                there = np.flatnonzero(np.isnan(depth) & region.holds(pixels))
                depth[there], confidence[there] = _surface(sight, mine, pixels[there])
        reach = AROUND * sight.view.camera.width
        for there in _blocks(pixels, np.flatnonzero(np.isnan(depth)), reach):
            mine = np.array(sight.tree.query_ball_point(pixels[there].mean(axis=0), reach), np.intp)
            if len(mine) >= LEAST_POINTS:
                depth[there], confidence[there] = _surface(sight, mine, pixels[there])
                confidence[there] *= 0.5
    known = np.flatnonzero(np.isfinite(depth))
    places = np.full((len(pixels), 3), np.nan)
    places[known] = sight.view.back_project(pixels[known], depth[known])
    return places, confidence


def _surface(sight: Sight, mine: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) depth at pixels (N, 2) of a surface through some of the keyframe's points, and (N,) how sure it is."""
    if len(pixels) == 0:
        return np.empty(0), np.empty(0)
    width = sight.view.camera.width
    depth = surface_depth(sight.xy[mine], sight.depth[mine], pixels, width / 96)
    gap, _ = cKDTree(sight.xy[mine]).query(pixels)
    return depth, len(mine) / (len(mine) + FEW) * np.exp(-gap / (2 * AROUND * width))


def _blocks(pixels: np.ndarray, rows: np.ndarray, side: float) -> list[np.ndarray]:
    """The rows in groups whose pixels lie in one square: one surface serves neighbours."""
    if len(rows) == 0:
        return []
    block = np.floor(pixels[rows] / side).astype(np.int64)
    _, group = np.unique(block, axis=0, return_inverse=True)
    group = group.reshape(-1)  # NumPy 2.0 keeps a dimension
    order = np.argsort(group, kind="stable")
    return np.split(rows[order], np.flatnonzero(np.diff(group[order])) + 1)


def _dense_depth(sight: Sight, pixels: np.ndarray, dense: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) depth of the dense cloud at pixels (N, 2), NaN where it has a hole, and (N,) how sure it is."""
    found, confidence = np.full(len(pixels), np.nan), np.zeros(len(pixels))
    if len(dense) == 0:
        return found, confidence
    projected, depth = sight.view.project(dense)
    with np.errstate(invalid="ignore"):
        seen = np.flatnonzero(sight.view.camera.inside(projected) & (depth > 0))
    if len(seen) == 0:
        return found, confidence
    radius = DENSE_RADIUS * sight.view.camera.width
    near = cKDTree(projected[seen]).query_ball_point(pixels, radius, p=np.inf)
    for row, mine in enumerate(near):
        if len(mine) >= LEAST_POINTS:
            there = np.sort(depth[seen[mine]])
            surface = there[there <= SAME_SURFACE * there[1]]  # the very nearest may be noise
            found[row], confidence[row] = np.median(surface), len(surface) / (len(surface) + FEW)
    return found, confidence
