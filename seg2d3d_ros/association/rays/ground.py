"""The ground around the cameras: a plane below each, from the points there and from what most cameras are above it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.association.rays.level_views import LevelViews

NEAR, BELOW = 15.0, 8.0
"""Points within so many metres tell of the ground around a camera, and within so many of how high the camera is above it."""
LEAST_POINTS = 40
LOW, HIGH = 0.6, 6.0
"""A camera is so many metres above the ground."""
BIN, PEAK = 0.1, 0.3
"""Metres of a step of the histogram of heights; the lowest peak with this share of the largest one is the ground."""
BAND, SLOPE, USUAL, TELLING = 0.3, 0.02, 0.05, 20
"""Metres beside the plane that points of the ground may lie at first; standard deviations of its slope, and of its height in
metres from what most cameras have below them; how many points weigh as much as these."""
SIGMA = 0.15
"""Standard deviation in metres of the ground's height: kerbs, camber, and what the plane does not follow."""
ROUNDS = 4
SOME_CAMERAS, SOME_POINTS = 200, 2000
"""So many, evenly picked, tell the cameras' height, and so many points around one the ground below it."""


@dataclass(frozen=True, eq=False)
class Ground:
    """Planes z = height + slope · (xy − center) below K cameras, level frame, metres."""

    center: np.ndarray
    height: np.ndarray
    slope: np.ndarray

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.center)

    def at(self, xy: np.ndarray) -> np.ndarray:
        """(...,) height of the ground at (..., 2) places, by the plane of the nearest camera."""
        flat = xy.reshape(-1, 2)
        _, near = self._tree.query(flat)
        z = self.height[near] + np.einsum("ni,ni->n", self.slope[near], flat - self.center[near])
        return np.asarray(z.reshape(xy.shape[:-1]))


def camera_height(center: np.ndarray, xyz: np.ndarray, unit: float = 1.0) -> float | None:
    """Height of the cameras above the ground, in metres; None where too few points tell.

    Points of façades, trees and cars are at all heights, those of the ground at one.

    Args:
        center: (K, 3) of the cameras, in the level frame.
        xyz: (P, 3) points there.
        unit: the lengths ``LOW``, ``HIGH`` and ``BELOW`` in other units, where metres are unknown.
    """
    above = _above(center, xyz, BELOW * unit)
    inside = above[(above > LOW * unit) & (above < HIGH * unit)]
    if len(inside) < LEAST_POINTS:
        return None
    counts, edges = np.histogram(inside, np.arange(LOW, HIGH + BIN / 2, BIN) * unit)
    smooth = np.convolve(counts, [0.5, 1.0, 0.5], "same")
    peaks = np.flatnonzero((smooth >= np.roll(smooth, 1)) & (smooth >= np.roll(smooth, -1)) & (smooth >= PEAK * smooth.max()))
    place = int(peaks[-1])
    return float((edges[place] + edges[place + 1]) / 2)


def _above(center: np.ndarray, xyz: np.ndarray, reach: float) -> np.ndarray:
    """Heights of cameras above the points around them."""
    tree = cKDTree(xyz[:, :2])
    some = center[:: -(-len(center) // SOME_CAMERAS)]
    return np.concatenate([np.empty(0), *(c[2] - xyz[_around(tree, c[:2], reach), 2] for c in some)])


def _around(tree: cKDTree, place: np.ndarray, reach: float) -> np.ndarray:
    """Points around a place, evenly picked where there are many."""
    found = np.array(tree.query_ball_point(place, reach), np.int64)
    return found[:: max(1, len(found) // SOME_POINTS)]


def fit_ground(views: LevelViews, xyz: np.ndarray, which: np.ndarray) -> Ground | None:
    """The ground below some cameras; None where too few points tell.

    Args:
        xyz: (P, 3) points in the level frame.
        which: (n,) the views.
    """
    usual = camera_height(views.center[which], xyz) if len(xyz) and len(which) else None
    if usual is None:
        return None
    tree = cKDTree(xyz[:, :2])
    centers = views.center[which]
    height, slope = centers[:, 2] - usual, np.zeros((len(centers), 2))
    for k, center in enumerate(centers):
        mine = xyz[_around(tree, center[:2], NEAR)]
        away = mine[:, :2] - center[:2]
        plane = np.array([center[2] - usual, 0.0, 0.0])
        design = np.column_stack([np.ones(len(mine)), away])
        band = BAND
        for _ in range(ROUNDS):
            near = np.abs(mine[:, 2] - design @ plane) < band
            # Ridge: heights near the usual one, slopes near level. The points count as ``TELLING`` at most: most of what is
            # beside the ground is above it, and would pull the plane up.
            weight = min(1.0, TELLING / max(int(near.sum()), 1)) / BAND**2
            normal = weight * design[near].T @ design[near] + np.diag([1 / USUAL**2, 1 / SLOPE**2, 1 / SLOPE**2])
            right = weight * design[near].T @ mine[near, 2] + np.array([(center[2] - usual) / USUAL**2, 0.0, 0.0])
            plane = np.linalg.solve(normal, right)
            band = 0.8 * band
        height[k], slope[k] = plane[0], plane[1:]
    return Ground(centers[:, :2], height, slope)
