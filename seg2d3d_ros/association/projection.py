"""Projection of points into keyframes that should see them but did not match them.

Structure from motion links a point to the few images whose features matched; masks of other views of the same house then
share no point with it. Where the poses are known, the point's place in those views is known too. A point is projected into
a view near its own views, or one that shares points with them, if the view

* sees the same side: it looks from a similar direction as the views that match the point, or at the front of the surface around
  it (``surfaces``), and from a similar distance;
* sees it free: neither the view's own keypoints around it are nearer, nor several other points before it, nor all that the mask
  there shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from seg2d3d_ros.arrays import concatenated, places
from seg2d3d_ros.association.surfaces import surface_normals
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.types import Placements, SparseModel

PARTNERS, NEAREST = 40, 40
"""Views whose points are tried: those that share most points, and those that stand nearest. Cameras that see a house from
its two ends share no point: what they match are different sides of the same window frames."""
MIN_COSINE = 0.5
"""Of the angle between a view's ray to the point and the mean ray of the views that observe it: the view sees the same side."""
MIN_INCIDENCE = 0.2
"""Of the angle between a view's ray and the normal of the surface around a point: the view sees the surface, too."""
MAX_RATIO = 2.5
"""Between a view's distance to the point and the nearest and farthest distance it was observed from."""
NEIGHBOURS = 3
NEIGHBOUR_RADIUS = 1 / 16
"""Of the image's width: keypoints this close give the depth of the visible surface."""
WIDE_RADIUS = 1 / 8
"""The same for points of views that share none with the view: nothing else says that it sees what they see."""
HIDDEN_BEHIND = 1.25
"""A point this many times deeper than the keypoints around it, or than other points before it, is hidden."""
LEAST_KEYPOINTS, DEEPEST = 4, 0.9
"""A mask with so many keypoints of the view itself shows nothing that is deeper than this share of them, up to the same factor:
what lies behind is hidden by what the mask shows."""
BEFORE, CELL = 3, 1 / 64
"""So many points, within a square with this share of the image's width, hide what lies behind them."""


def nowhere(name: str, xy: np.ndarray) -> np.ndarray:
    """(N,) the mask under each pixel of a keyframe without masks: -1."""
    return np.full(len(xy), -1, np.int32)


def project_unobserved(
    models: Sequence[SparseModel], names: Set[str], find: Callable[[str, np.ndarray], np.ndarray] = nowhere
) -> Placements:
    """Where points lie in keyframes that do not observe them.

    Args:
        models: components; points and keyframes are counted through all of them. Components without poses (NaN, as they
            come from messages) give nothing.
        names: keyframes that are wanted.
        find: the place of the mask under each of (N, 2) pixels among the masks of the keyframe of that name, -1 = none.

    Returns:
        Placements; ``segment`` is what ``find`` says.
    """
    parts = [Placements.none()]
    first_keyframe = first_point = 0
    for model in models:
        if model.posed:
            for keyframe, points, xy, mask in _project_component(model, names, find):
                count = len(points)
                parts.append(
                    Placements(
                        np.full(count, first_keyframe + keyframe, np.int32),
                        mask.astype(np.int32),
                        (points + first_point).astype(np.int32),
                        xy.astype(np.float32),
                    )
                )
        first_keyframe += len(model.names)
        first_point += len(model.point_ids)
    return concatenated(parts)


def _project_component(
    model: SparseModel, names: Set[str], find: Callable[[str, np.ndarray], np.ndarray]
) -> list[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """(keyframe, points, pixels, masks) of each wanted keyframe of one component."""
    keyframes, points = len(model.names), len(model.point_ids)
    observations = model.obs_keyframe, model.obs_point
    seen = sparse.csr_matrix((np.ones(len(model.obs_point), np.int32), observations), (keyframes, points))
    rows_of = places(model.obs_keyframe, keyframes)
    wanted = [k for k, name in enumerate(model.names) if name in names]
    if not wanted:
        return []
    shared = (seen @ seen[wanted].T.tocsr()).T.tocsr()
    shared.sort_indices()
    centers = model.centers
    tree = cKDTree(centers)
    partners_of, sharing = [], []
    tried_at_all = np.zeros(points, bool)
    for row in range(len(wanted)):
        span = slice(shared.indptr[row], shared.indptr[row + 1])
        best = shared.indices[span][np.argsort(-shared.data[span], kind="stable")[:PARTNERS]]
        near = np.atleast_1d(tree.query(centers[wanted[row]], k=min(keyframes, NEAREST))[1])
        sharing.append(best)
        partners_of.append(np.union1d(best, near))
        tried_at_all[seen[partners_of[-1]].indices] = True
    views = [View(camera, pose) for camera, pose in zip(model.cameras, model.pose, strict=True)]
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

    normal = np.zeros((points, 3))
    about = np.flatnonzero(tried_at_all)
    normal[about] = surface_normals(model.xyz[about], direction[about])

    found = []
    for k, partners, shared_with in zip(wanted, partners_of, sharing, strict=True):
        by_partners = np.zeros(points, bool)
        by_partners[seen[partners].indices] = True
        common = np.zeros(points, bool)
        common[seen[shared_with].indices] = True
        by_partners[seen[k].indices] = False
        tried = np.flatnonzero(by_partners)
        ray = model.xyz[tried] - centers[k]
        reach = np.linalg.norm(ray, axis=1)
        facing = (ray * direction[tried]).sum(axis=1) > MIN_COSINE * reach
        facing |= (ray * normal[tried]).sum(axis=1) < -MIN_INCIDENCE * reach
        facing &= (reach < farthest[tried] * MAX_RATIO) & (reach > nearest[tried] / MAX_RATIO)
        own = views[k]
        pixels, depth = own.project(model.xyz[tried])
        inside = own.camera.inside(pixels)
        tried, pixels, depth, facing = tried[inside], pixels[inside], depth[inside], facing[inside]
        mine = rows_of[k]
        own_pixels, own_depth = model.obs_xy[mine], own.depth(model.xyz[model.obs_point[mine]])
        width = own.camera.width
        surface = np.empty(len(tried))
        for some, radius in ((common[tried], NEIGHBOUR_RADIUS), (~common[tried], WIDE_RADIUS)):
            surface[some] = _surface_depth(pixels[some], own_pixels, own_depth, radius * width)
        free = facing & (depth < HIDDEN_BEHIND * surface)
        free &= ~_behind_others(pixels, depth, own_pixels, own_depth, width)
        tried, pixels, depth = tried[free], pixels[free], depth[free]
        mask = find(model.names[k], pixels)
        free = depth < HIDDEN_BEHIND * _deepest(find(model.names[k], own_pixels), own_depth, int(mask.max(initial=-1)))[mask]
        found.append((k, tried[free], pixels[free], mask[free]))
    return found


def _surface_depth(pixels: np.ndarray, own_pixels: np.ndarray, own_depth: np.ndarray, radius: float) -> np.ndarray:
    """(N,) depth of the visible surface around each pixel: the median of the nearest keypoints', inf where there are none."""
    if len(own_pixels) < NEIGHBOURS or len(pixels) == 0:
        return np.full(len(pixels), np.inf)
    gap, nearest = cKDTree(own_pixels).query(pixels, k=NEIGHBOURS, distance_upper_bound=radius)
    depth = np.where(np.isfinite(gap), own_depth[np.minimum(nearest, len(own_depth) - 1)], np.nan)
    known = np.isfinite(depth).any(axis=1)
    result = np.full(len(pixels), np.inf)
    result[known] = np.nanmedian(depth[known], axis=1)
    return result


def _behind_others(
    pixels: np.ndarray, depth: np.ndarray, own_pixels: np.ndarray, own_depth: np.ndarray, width: int
) -> np.ndarray:
    """(N,) bool: ``BEFORE`` other points, matched here or not, lie before the point, in the same square of the image."""
    cell = np.floor(np.concatenate([pixels, own_pixels]) / (CELL * width)).astype(np.int64)
    place = cell[:, 0] + (cell[:, 0].max(initial=0) + 1) * cell[:, 1]
    every = np.concatenate([depth, own_depth])
    order = np.lexsort((every, place))
    _, first, size = np.unique(place[order], return_index=True, return_counts=True)
    nearest = np.full(len(first), np.inf)
    enough = size >= BEFORE
    nearest[enough] = every[order][first[enough] + BEFORE - 1]
    of_cell = np.empty(len(order), np.int64)
    of_cell[order] = np.repeat(np.arange(len(first)), size)
    return np.asarray(depth > HIDDEN_BEHIND * nearest[of_cell[: len(depth)]])


def _deepest(mask: np.ndarray, depth: np.ndarray, last: int) -> np.ndarray:
    """(masks + 1,) how deep each mask reaches by the view's own keypoints; inf where it holds few, and at the end for "none".

    ``last``: the largest place that will be asked for.
    """
    inside = np.flatnonzero(mask >= 0)
    inside = inside[np.lexsort((depth[inside], mask[inside]))]
    limit = np.full(max(int(mask.max(initial=-1)), last) + 2, np.inf)
    there, first, size = np.unique(mask[inside], return_index=True, return_counts=True)
    enough = size >= LEAST_KEYPOINTS
    limit[there[enough]] = depth[inside][(first + (DEEPEST * (size - 1)).astype(np.int64))[enough]]
    return limit
