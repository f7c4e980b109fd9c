"""Point ids that subscribers can rely on while models gain points, are adjusted, replaced and merged.

COLMAP keeps a point's id through adjustments, but gives a new one to a merged point, and another solution numbers its
points anew. A point that is new inherits the dead id that most of its keypoints had. Every model draws its new ids
from a block of its own, so that two models never give the same id to two points.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from seg2d3d_ros.colmap import pycolmap

BLOCK = 2**22
"""Ids of a block; 1023 blocks fit into the 32 bits of a point cloud's field."""
Elements: TypeAlias = "list[tuple[int, int]]"
"""A point's track: image id, index of the keypoint."""


def free_block(used: Iterable[np.ndarray]) -> int:
    """First id of the lowest block without any of the ids in ``used``."""
    taken = {int(block) for ids in used for block in np.unique(ids[ids >= 0] // BLOCK)}
    return next(k for k in range(len(taken) + 1) if k not in taken) * BLOCK + 2


def reserve(reconstruction: pycolmap.Reconstruction, first: int) -> None:
    """Let the next new point of a model get the id ``first`` or a larger one."""
    reconstruction.add_point3D_with_id(first - 1, pycolmap.Point3D())
    reconstruction.delete_point3D(first - 1)


def _elements(point: pycolmap.Point3D) -> Elements:
    return [(e.image_id, e.point2D_idx) for e in point.track.elements]


def _heirs(tracks: Mapping[int, Elements], former: Mapping[int, np.ndarray], alive: Collection[int]) -> dict[int, int]:
    """Which track inherits which former id: the one that most of its keypoints had, and of several heirs the strongest.

    Args:
        tracks: by any number; a lower one wins where claims are equal.
        former: image id -> (N,) former point id of each keypoint, -1 = none.
        alive: former ids that nobody inherits.
    """
    claims: list[tuple[int, int, int]] = []
    for number, elements in tracks.items():
        votes = Counter(int(former[i][k]) for i, k in elements if i in former and former[i][k] >= 0)
        claims.extend((-count, number, old) for old, count in votes.items() if old not in alive)
    heirs: dict[int, int] = {}
    given: set[int] = set()
    for _, number, old in sorted(claims):  # the strongest claim first
        if number not in heirs and old not in given:
            heirs[number] = old
            given.add(old)
    return heirs


def _color(elements: Elements, at_image: Mapping[int, np.ndarray]) -> np.ndarray:
    """The mean colour of a point's keypoints."""
    return np.rint(np.mean([at_image[i][k] for i, k in elements], axis=0)).astype(np.uint8)


def _point(xyz: np.ndarray, error: float, color: np.ndarray, elements: Elements) -> pycolmap.Point3D:
    point = pycolmap.Point3D()
    point.xyz, point.error, point.color = xyz, error, color
    track = pycolmap.Track()
    for image_id, keypoint in elements:
        track.add_element(image_id, keypoint)
    point.track = track
    return point


def renumber(
    models: Sequence[pycolmap.Reconstruction],
    colors: Callable[[int], np.ndarray],
    former: Mapping[int, np.ndarray],
    *,
    first: int | None = None,
    reserved: Collection[int] = (),
) -> None:
    """Give the points of all ``models`` ids that are unique among them, and the mean colour of their keypoints.

    A point inherits the id that most of its keypoints had in the former revision; the point with most votes wins an id
    that several claim. Others get new ids, larger than any former one.

    Args:
        models: changed in place.
        colors: image id -> (N, 3) uint8 at the image's keypoints.
        former: image id -> (N,) int64 former point id of each keypoint, -1 = none.
        first: the new ids begin here instead.
        reserved: former ids that are not to be inherited, because other models hold them.
    """
    points: list[tuple[pycolmap.Reconstruction, np.ndarray, float]] = []
    tracks: dict[int, Elements] = {}
    for model in models:
        for _, point in sorted(model.points3D.items()):
            tracks[len(points)] = _elements(point)
            points.append((model, np.array(point.xyz), float(point.error)))
        for point_id in list(model.point3D_ids()):
            model.delete_point3D(point_id)
    heirs = _heirs(tracks, former, reserved)
    fresh = first or 1 + max((int(ids.max()) for ids in former.values() if len(ids)), default=0)
    at_image = {i: colors(i) for model in models for i in model.reg_image_ids()}
    for number, (model, xyz, error) in enumerate(points):
        point = _point(xyz, error, _color(tracks[number], at_image), tracks[number])
        model.add_point3D_with_id(heirs.get(number, fresh), point)
        fresh += number not in heirs


def name_new_points(
    reconstruction: pycolmap.Reconstruction,
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
    new = np.setdiff1d(present, known, assume_unique=True).tolist()
    alive = taken | set(np.intersect1d(present, known, assume_unique=True).tolist())
    tracks = {point_id: _elements(reconstruction.point3D(point_id)) for point_id in new}
    at_image = {i: colors(i) for i in {i for elements in tracks.values() for i, _ in elements}}
    for point_id, elements in tracks.items():
        reconstruction.point3D(point_id).color = _color(elements, at_image)
    heirs = _heirs(tracks, former, alive)
    for point_id, old in heirs.items():
        point = reconstruction.point3D(point_id)
        renamed = _point(point.xyz, point.error, point.color, tracks[point_id])
        reconstruction.delete_point3D(point_id)
        reconstruction.add_point3D_with_id(old, renamed)
    taken.update(heirs.values(), set(present.tolist()) - heirs.keys())
    return len(heirs)
