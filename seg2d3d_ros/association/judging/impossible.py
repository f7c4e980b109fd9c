"""Labels that cannot be: a view in which an instance is drawn although nothing of it can be seen from there.

Such labels come from wrong matches: a few features of a house that passes by fit one far behind the camera, and a mask that
holds only these is taken for a mask of that house.

The instance's robust box (``geometry.oriented_boxes``) is grown, because a house is larger than its matched points, and
compared with the pyramid that the camera sees: if all corners lie beyond one of its five planes (behind the camera, left,
right, above, below), box and pyramid do not meet. The test never rejects a box that reaches into the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.types import Incidence, Instances, SparseModel

GROWTH = 1.5
"""Factor on the box's size about its centre: what an object may have beyond its matched points."""
BORDER_STEPS = 9
"""Rays along each side of the image: a bent lens sees farthest somewhere along a side."""


@dataclass(frozen=True)
class ImpossibleLabel:
    """An instance drawn where it cannot be seen: the keyframe's name and the segments (rows of the incidence)."""

    name: str
    instance: int
    rows: tuple[int, ...]


def without_impossible(
    models: Sequence[SparseModel], incidence: Incidence, instances: Instances
) -> tuple[Instances, list[ImpossibleLabel]]:
    """The instances without the labels that cannot be; and these, keyframe by keyframe.

    The segments concerned, or their parts, get no instance, and neither do points that nothing else held for it. Boxes and all
    other labels stay. An instance whose every label would go is left as it is: then the box is wrong, and not the labels.
    Keyframes without poses are not judged, nor what was triangulated by the masks themselves.

    Args:
        models: components; their keyframes, one after the other, are the incidence's.
    """
    row, owner = shown_rows(instances)
    place = np.searchsorted(instances.ids, owner)
    keyframe = incidence.segment_keyframe[row].astype(np.int64)
    impossible = _out_of_sight(models, keyframe, _grown(instances)[place])
    labels, lost = (np.bincount(place[rows], minlength=len(instances.ids)) for rows in (slice(None), impossible))
    impossible &= (lost < labels)[place] & ~instances.boxes.located[place]
    if not impossible.any():
        return instances, []
    found: dict[tuple[int, int], list[int]] = {}
    for k, i, r in zip(keyframe[impossible].tolist(), owner[impossible].tolist(), row[impossible].tolist(), strict=True):
        found.setdefault((k, i), []).append(r)
    listed = [ImpossibleLabel(incidence.names[k], i, tuple(rows)) for (k, i), rows in sorted(found.items())]
    return _dropped(incidence, instances, row[impossible], owner[impossible]), listed


def shown_rows(instances: Instances) -> tuple[np.ndarray, np.ndarray]:
    """(N,) segment and (N,) instance that it shows, in full or in part; each pair once."""
    cuts = instances.cuts
    rows = np.concatenate([np.arange(len(instances.segment_instance)), cuts.segment]).astype(np.int64)
    owner = np.concatenate([instances.segment_instance, cuts.instance]).astype(np.int64)
    pairs = np.unique(np.stack([rows, owner])[:, np.isin(owner, instances.ids)], axis=1)
    return pairs[0], pairs[1]


def _grown(instances: Instances) -> np.ndarray:
    """(I, 8, 3) corners of the boxes, grown about their centres; NaN without points."""
    center = instances.boxes.center[:, None]
    return center + GROWTH * (instances.boxes.corners - center)


def _out_of_sight(models: Sequence[SparseModel], keyframe: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(N,) bool: convex bodies (N, 8, 3) wholly beyond one plane of what a keyframe (N,) sees; False where it has no pose."""
    posed = np.full((sum(len(model.names) for model in models), 3, 4), np.nan)
    openings = np.full((len(posed), 4), np.nan)
    first = 0
    for model in models:
        if len(model.cameras) == len(model.names):
            last = first + len(model.names)
            posed[first:last] = model.camera_from_world
            openings[first:last] = [opening(camera) for camera in model.cameras]
        first += len(model.names)
    pose = posed[keyframe]
    x, y, z = np.moveaxis(np.einsum("nij,nkj->nki", pose[:, :, :3], corners) + pose[:, None, :, 3], 2, 0)
    left, top, right, bottom = openings[keyframe].T[:, :, None]
    with np.errstate(invalid="ignore"):  # an infinite opening at depth 0
        beyond = [z <= 0, x < left * z, x > right * z, y < top * z, y > bottom * z]
    return np.any([side.all(axis=1) for side in beyond], axis=0)


@lru_cache(maxsize=4096)
def opening(camera: Camera) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what the camera sees at depth 1; infinite where the lens cannot say."""
    across, down = np.linspace(0, camera.width, BORDER_STEPS), np.linspace(0, camera.height, BORDER_STEPS)
    sides = [np.stack([across, np.full_like(across, v)], axis=1) for v in (0, camera.height)]
    sides += [np.stack([np.full_like(down, u), down], axis=1) for u in (0, camera.width)]
    rays = camera.rays(np.concatenate(sides))[:, :2]
    if not np.isfinite(rays).all():
        return -np.inf, -np.inf, np.inf, np.inf
    (left, top), (right, bottom) = rays.min(axis=0).tolist(), rays.max(axis=0).tolist()
    return left, top, right, bottom


def _dropped(incidence: Incidence, instances: Instances, row: np.ndarray, owner: np.ndarray) -> Instances:
    """``instances`` with 0 in place of these labels (row, instance); a divided segment keeps its other parts."""
    segment, cut = instances.segment_instance.copy(), instances.cuts.instance.copy()
    for r, i in zip(row.tolist(), owner.tolist(), strict=True):
        cut[(instances.cuts.segment == r) & (cut == i)] = 0
        if segment[r] == i:
            left = cut[(instances.cuts.segment == r) & (cut > 0)]
            segment[r] = np.bincount(left).argmax() if len(left) else 0
    changed = replace(instances, segment_instance=segment, cuts=replace(instances.cuts, instance=cut))
    rows, owners = shown_rows(changed)
    point = instances.point_instance.copy()
    for i in np.unique(owner).tolist():
        held = np.unique(incidence.matrix[rows[owners == i]].indices)
        touched = np.unique(incidence.matrix[row[owner == i]].indices)
        lonely = np.setdiff1d(touched, held)
        point[lonely[point[lonely] == i]] = 0
    confidence = np.where(point > 0, instances.point_confidence, 0).astype(np.float32)
    return replace(changed, point_instance=point, point_confidence=confidence)
