"""Which points a view sees: of a dense cloud by a depth buffer of the cloud itself, of sparse points by their neighbours.

A LiDAR's points have gaps, through which what lies behind would shine. Each point therefore covers a square as large as
the gaps around it, seen from the camera (splatting: Zwicker, Pfister, van Baar and Gross, Surface splatting, SIGGRAPH
2001). Squares of similar size go into one buffer whose cells have about that size, so that the cost does not depend on it.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.geometry.views import View

NEIGHBOURS = 5
MAX_SPACING = 0.6
"""Metres: lonely points cover no more than this."""
LEVELS = (0, 7)
"""Cells of 1 … 128 pixels."""
NEAR = 0.25
SLANT = 4.0
"""A point hides what lies farther behind it than ``NEAR`` metres and ``SLANT`` times its spacing: less is the same surface."""
MIN_DEPTH = 0.5
"""Metres: what is nearer belongs to the vehicle."""
OCCLUSION = 1.2
"""Ratio of depths from which on sparse points are before a place, and not on the same surface."""


def spacings(xyz: np.ndarray) -> np.ndarray:
    """(N,) float32 distance from each point (N, 3) to its ``NEIGHBOURS``-th nearest one, at most ``MAX_SPACING``."""
    if len(xyz) <= NEIGHBOURS:
        return np.full(len(xyz), MAX_SPACING, np.float32)
    distance, _ = cKDTree(xyz).query(xyz, k=[NEIGHBOURS + 1], distance_upper_bound=MAX_SPACING)
    return np.minimum(distance[:, 0], MAX_SPACING).astype(np.float32)


def visible(pixels: np.ndarray, depth: np.ndarray, spacing: np.ndarray, focal: float, size: tuple[int, int]) -> np.ndarray:
    """(N,) bool: points that no other one hides.

    Args:
        pixels: (N, 2) inside the image.
        depth: (N,) metres, > 0.
        spacing: (N,) metres.
        focal: length in pixels.
        size: width and height of the image in pixels.
    """
    splat = np.maximum(focal * spacing / depth, 1.0)
    reach = (depth + NEAR + SLANT * spacing).astype(np.float32)
    level = np.clip(np.log2(splat), *LEVELS).astype(int)
    shown = np.ones(len(depth), bool)
    for k in np.unique(level):
        cell = 2.0**k
        columns, rows = int(size[0] / cell) + 1, int(size[1] / cell) + 1
        buffer = np.full(rows * columns, np.inf, np.float32)
        mine = level == k
        centre, half, far = pixels[mine], splat[mine, None] / 2, reach[mine]
        # A square is one to two cells wide: its corners, its middle and the middles of its sides lie in all cells it touches.
        touched = [np.clip(((centre + k * half) / cell).astype(int), 0, [columns - 1, rows - 1]) for k in (-1, 0, 1)]
        for x in touched:
            for y in touched:
                np.minimum.at(buffer, y[:, 1] * columns + x[:, 0], far)
        place = (pixels / cell).astype(int)
        shown &= depth <= buffer[np.clip(place[:, 1], 0, rows - 1) * columns + np.clip(place[:, 0], 0, columns - 1)]
    return shown


def seen_by(
    view: View, xyz: np.ndarray, candidates: np.ndarray, spacing: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of the candidates (n,) among the points (N, 3) a view sees: indices, pixels (m, 2), depths (m,) float32."""
    rays = xyz[candidates] - view.center
    axis = view.axis
    # Beyond the image's border lens polynomials turn back and show points where they are not.
    front = rays @ axis > np.maximum(_edge_cosine(view) * np.linalg.norm(rays, axis=1), MIN_DEPTH)
    candidates = candidates[front]
    pixels, depth = view.project(xyz[candidates])
    inside = view.camera.inside(pixels)
    candidates, pixels, depth = candidates[inside], pixels[inside], depth[inside]
    size = (view.camera.width, view.camera.height)
    shown = visible(pixels, depth, spacing[candidates], view.camera.params[0], size)
    return candidates[shown], pixels[shown], depth[shown].astype(np.float32)


def _edge_cosine(view: View) -> float:
    """Cosine of the largest angle between the optical axis and a ray through the image's border, and a little more."""
    width, height = view.camera.width, view.camera.height
    border = np.array([(x, y) for x in (0, width / 2, width) for y in (0, height / 2, height)], float)
    rays = view.back_project(border, np.ones(len(border))) - view.center
    cosine = (rays @ view.axis) / np.linalg.norm(rays, axis=1)
    return float(np.nanmin(cosine)) - 0.02


def occluded(
    pixels: np.ndarray,
    depth: np.ndarray,
    points: cKDTree,
    point_depth: np.ndarray,
    blocking: np.ndarray,
    *,
    neighbours: int,
    radius: float = np.inf,
    itself: np.ndarray | None = None,
) -> np.ndarray:
    """(N,) bool: places in an image that most of the sparse points around them hide, being ``OCCLUSION`` times nearer.

    Args:
        pixels: (N, 2) of the places.
        depth: (N,) of the places.
        points: the tree of the (M, 2) pixels of the points.
        point_depth: (M,) of the points.
        blocking: (M,) bool, points of another object or of none: only these can hide a place.
        neighbours: how many points around a place count.
        radius: pixels within which they count.
        itself: (N,) the row of each place among the points, where it is one of them: it does not count.
    """
    gap, near = points.query(pixels, k=min(neighbours, points.n), distance_upper_bound=radius)
    gap, near = gap.reshape(len(pixels), -1), near.reshape(len(pixels), -1)
    known = np.isfinite(gap)
    if itself is not None:
        known &= near != itself[:, None]
    near = np.minimum(near, points.n - 1)
    hiding = known & blocking[near] & (point_depth[near] * OCCLUSION < depth[:, None])
    return np.asarray(2 * hiding.sum(axis=1) > known.sum(axis=1))
