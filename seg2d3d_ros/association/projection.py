"""Projection of points into keyframes that should see them but did not match them.

Structure from motion links a point to the few images whose features matched; masks of other views of the same house then
share no point with it. Where the poses are known, the point's place in those views is known too. A point is projected into
a view that shares points with its own views, from a similar side and distance, and unless nearer points hide it.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from seg2d3d_ros.arrays import concatenated, places
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.types import Placements, SparseModel

PARTNERS = 40
"""Views whose points are tried: those that share most points."""
MIN_COSINE = 0.5
"""Of the angle between a view's ray to the point and the mean ray of the views that observe it."""
MAX_RATIO = 2.5
"""Between a view's distance to the point and the nearest and farthest distance it was observed from."""
NEIGHBOURS = 3
NEIGHBOUR_RADIUS = 1 / 16
"""Of the image's width: keypoints this close give the depth of the visible surface."""
HIDDEN_BEHIND = 1.25
"""A point this many times deeper than the keypoints around it is hidden."""


def project_unobserved(models: Sequence[SparseModel], names: Set[str]) -> Placements:
    """Where points lie in keyframes that do not observe them.

    Args:
        models: components; points and keyframes are counted through all of them. Components without poses (NaN, as they
            come from messages) give nothing.
        names: keyframes that are wanted.

    Returns:
        Placements with ``segment`` -1 throughout.
    """
    parts = [Placements.none()]
    first_keyframe = first_point = 0
    for model in models:
        if model.posed:
            for keyframe, points, xy in _project_component(model, names):
                count = len(points)
                parts.append(
                    Placements(
                        np.full(count, first_keyframe + keyframe, np.int32),
                        np.full(count, -1, np.int32),
                        (points + first_point).astype(np.int32),
                        xy.astype(np.float32),
                    )
                )
        first_keyframe += len(model.names)
        first_point += len(model.point_ids)
    return concatenated(parts)


def _project_component(model: SparseModel, names: Set[str]) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """(keyframe, points, pixels) of each wanted keyframe of one component."""
    keyframes, points = len(model.names), len(model.point_ids)
    observations = model.obs_keyframe, model.obs_point
    seen = sparse.csr_matrix((np.ones(len(model.obs_point), np.int32), observations), (keyframes, points))
    rows_of = places(model.obs_keyframe, keyframes)
    wanted = [k for k, name in enumerate(model.names) if name in names]
    if not wanted:
        return []
    shared = (seen @ seen[wanted].T.tocsr()).T.tocsr()
    shared.sort_indices()
    partners_of = []
    tried_at_all = np.zeros(points, bool)
    for row in range(len(wanted)):
        span = slice(shared.indptr[row], shared.indptr[row + 1])
        partners_of.append(shared.indices[span][np.argsort(-shared.data[span], kind="stable")[:PARTNERS]])
        tried_at_all[seen[partners_of[-1]].indices] = True
    views = [View(camera, pose) for camera, pose in zip(model.cameras, model.pose, strict=True)]
    centers = model.centers
    used = np.flatnonzero(tried_at_all[model.obs_point])
    view, point = model.obs_keyframe[used], model.obs_point[used]
    rays = model.xyz[point] - centers[view]
    distance = np.linalg.norm(rays, axis=1)
    rays = rays / np.maximum(distance, 1e-12)[:, None]
    direction = np.stack([np.bincount(point, rays[:, axis], points) for axis in range(3)], axis=1)
    direction = direction / np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-12)
    nearest, farthest = np.full(points, np.inf), np.zeros(points)
    np.minimum.at(nearest, point, distance)
    np.maximum.at(farthest, point, distance)

    found = []
    for k, partners in zip(wanted, partners_of, strict=True):
        by_partners = np.zeros(points, bool)
        by_partners[seen[partners].indices] = True
        by_partners[seen[k].indices] = False
        tried = np.flatnonzero(by_partners)
        ray = model.xyz[tried] - centers[k]
        reach = np.linalg.norm(ray, axis=1)
        facing = (ray * direction[tried]).sum(axis=1) > MIN_COSINE * reach
        tried = tried[facing & (reach < farthest[tried] * MAX_RATIO) & (reach > nearest[tried] / MAX_RATIO)]
        own = views[k]
        pixels, depth = own.project(model.xyz[tried])
        inside = own.camera.inside(pixels)
        tried, pixels, depth = tried[inside], pixels[inside], depth[inside]
        mine = rows_of[k]
        own_depth = own.depth(model.xyz[model.obs_point[mine]])
        free = depth < HIDDEN_BEHIND * _surface_depth(pixels, model.obs_xy[mine], own_depth, own.camera.width)
        found.append((k, tried[free], pixels[free]))
    return found


def _surface_depth(pixels: np.ndarray, own_pixels: np.ndarray, own_depth: np.ndarray, width: int) -> np.ndarray:
    """(N,) depth of the visible surface around each pixel: the median of the nearest keypoints', inf where there are none."""
    if len(own_pixels) < NEIGHBOURS or len(pixels) == 0:
        return np.full(len(pixels), np.inf)
    gap, nearest = cKDTree(own_pixels).query(pixels, k=NEIGHBOURS, distance_upper_bound=NEIGHBOUR_RADIUS * width)
    depth = np.where(np.isfinite(gap), own_depth[np.minimum(nearest, len(own_depth) - 1)], np.nan)
    known = np.isfinite(depth).any(axis=1)
    result = np.full(len(pixels), np.inf)
    result[known] = np.nanmedian(depth[known], axis=1)
    return result
