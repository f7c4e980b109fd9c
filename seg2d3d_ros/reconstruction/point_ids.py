"""Point ids that subscribers can rely on while models grow, merge points, are replaced, and join.

COLMAP keeps a point's id through adjustments, but gives a new one to a merged point, and another solution numbers its
points anew. A point that is new inherits the dead id that most of its keypoints had. Every model draws its new ids
from a block of its own, so that two models never give the same id to two points.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from seg2d3d_ros.colmap import load_pycolmap

BLOCK = 2**22
"""Ids of a block; 1023 blocks fit into the 32 bits of a point cloud's field."""


def free_block(used: Iterable[np.ndarray]) -> int:
    """First id of the lowest block without any of the ids in ``used``."""
    taken = {int(block) for ids in used for block in np.unique(ids[ids >= 0] // BLOCK)}
    return next(k for k in range(len(taken) + 1) if k not in taken) * BLOCK + 2


def reserve(reconstruction: Any, first: int) -> None:
    """Let the next new point of a model get the id ``first`` or a larger one."""
    reconstruction.add_point3D_with_id(first - 1, load_pycolmap().Point3D())
    reconstruction.delete_point3D(first - 1)


def _renamed(reconstruction: Any, old: int, new: int) -> None:
    point = reconstruction.point3D(old)
    fresh = load_pycolmap().Point3D()
    fresh.xyz, fresh.error, fresh.color = point.xyz, point.error, point.color
    track = load_pycolmap().Track()
    for element in point.track.elements:
        track.add_element(element.image_id, element.point2D_idx)
    fresh.track = track
    reconstruction.delete_point3D(old)
    reconstruction.add_point3D_with_id(new, fresh)


def name_new_points(
    reconstruction: Any,
    former: Mapping[int, np.ndarray],
    known: np.ndarray,
    colors: Callable[[int], np.ndarray],
    taken: set[int],
) -> int:
    """Give the points that are new since the last revision dead ids that they inherit, and colours.

    Args:
        reconstruction: changed in place.
        former: image id -> (N,) int64 point id of each keypoint in the last revision, -1 = none.
        known: sorted ids of the last revision (of all models).
        colors: image id -> (N, 3) uint8 at its keypoints.
        taken: ids that other models hold in this revision; those of this model are added.

    Returns:
        How many points inherited an id.
    """
    present = np.sort(np.fromiter(reconstruction.points3D, np.int64, reconstruction.num_points3D()))
    new = np.setdiff1d(present, known, assume_unique=True)
    alive = taken | set(np.intersect1d(present, known, assume_unique=True).tolist())
    claims: list[tuple[int, int, int]] = []
    at_image: dict[int, np.ndarray] = {}
    for point_id in new.tolist():
        point = reconstruction.point3D(point_id)
        elements = [(e.image_id, e.point2D_idx) for e in point.track.elements]
        for image_id, _ in elements:
            if image_id not in at_image:
                at_image[image_id] = colors(image_id)
        point.color = np.rint(np.mean([at_image[i][k] for i, k in elements], axis=0)).astype(np.uint8)
        votes = Counter(int(former[i][k]) for i, k in elements if i in former and former[i][k] >= 0)
        claims.extend((-count, point_id, old) for old, count in votes.items() if old not in alive)
    heirs: dict[int, int] = {}
    given: set[int] = set()
    for _, point_id, old in sorted(claims):  # the strongest claim first
        if point_id not in heirs and old not in given:
            heirs[point_id] = old
            given.add(old)
    for point_id, old in heirs.items():
        _renamed(reconstruction, point_id, old)
    taken.update(heirs.values(), set(present.tolist()) - heirs.keys())
    return len(heirs)
