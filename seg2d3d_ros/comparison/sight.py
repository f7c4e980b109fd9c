"""Which known things the cameras could have seen: what was out of view is not missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seg2d3d_ros.comparison.compared_things import ComparedThing
from seg2d3d_ros.export.libraries import needed
from seg2d3d_ros.geometry.camera import Camera

LEAST_VIEWS = 2
REACH_SHARE, LEAST_REACH = 90.0, 15.0
"""Things count as in reach up to the distance within which this share (per cent) of the map's own observations lie."""
PART = 0.15
"""Of a thing's outline: so much of it must be in view."""
SLACK = 0.2
"""Metres: a line of sight ends this short of its end, which lies on the thing itself."""


def half_angles(cameras: Sequence[Camera]) -> np.ndarray:
    """(K,) half the horizontal field of view of each camera, in radians; the narrower side of a lens that is off the middle."""
    found = []
    for camera in cameras:
        x, y = camera.principal_point
        rays = camera.rays(np.array([[0.0, y], [camera.width, y], [x, y]]))
        rays = rays / np.linalg.norm(rays, axis=1, keepdims=True)
        found.append(float(np.arccos(np.clip(rays[:2] @ rays[2], -1.0, 1.0)).min()))
    return np.array(found)


def reach(own: Sequence[ComparedThing], cameras: np.ndarray) -> float:
    """Metres from a camera up to which things are seen well enough to become instances: by those that did.

    Args:
        cameras: (K, 2) in plan.
    """
    if not own or len(cameras) == 0:
        return LEAST_REACH
    nearest = [float(np.linalg.norm(cameras[:, None] - thing.edge[None], axis=2).min()) for thing in own]
    return max(float(np.percentile(nearest, REACH_SHARE)), LEAST_REACH)


def in_view(
    known: Sequence[ComparedThing], cameras: np.ndarray, axis: np.ndarray, half_angle: np.ndarray, limit: float
) -> np.ndarray:
    """(M,) bool: known things of which two cameras see a part, with no other known thing before it.

    Args:
        cameras: (K, 2) in plan, in the things' system.
        axis: (K, 2) unit vectors along which they look, in plan.
        half_angle: (K,) radians.
        limit: metres.
    """
    shapely = needed("shapely", "a comparison")
    shapes = [thing.shape for thing in known]
    tree = shapely.STRtree(shapes)
    views = np.zeros(len(known), int)
    for k, camera in enumerate(cameras):
        place = shapely.Point(camera)
        for j in tree.query(place, predicate="dwithin", distance=limit).tolist():
            if views[j] >= LEAST_VIEWS:
                continue
            way = known[j].edge - camera
            distance = np.linalg.norm(way, axis=1)
            seen = (distance <= limit) & (way @ axis[k] >= np.cos(half_angle[k]) * distance)
            if not seen.any():
                continue
            share = np.maximum(1.0 - SLACK / np.maximum(distance[seen], SLACK), 0.0)[:, None]
            ends = camera + way[seen] * share
            lines = shapely.linestrings(np.stack([np.broadcast_to(camera, ends.shape), ends], axis=1))
            free = np.ones(len(lines), bool)
            line, other = tree.query(lines, predicate="intersects")
            free[line[other != j]] = False
            # Its own far side is hidden by the thing itself.
            free &= ~shapely.crosses(lines, shapes[j]) & ~shapely.within(shapely.points(ends), shapes[j])
            views[j] += int(free.sum() >= max(PART * len(known[j].edge) / 2, 1))
    return views >= LEAST_VIEWS
