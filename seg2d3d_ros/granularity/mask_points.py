"""Which overlapping mask holds which 3D points, and which view sees them: the incidence without "one label a pixel"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from seg2d3d_ros.arrays import places
from seg2d3d_ros.association.consensus import PROJECTED
from seg2d3d_ros.association.evidence import ones_at
from seg2d3d_ros.association.projection import project_unobserved
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.types import SparseModel


@dataclass(frozen=True)
class MaskPoints:
    """S masks × P points, over K keyframes. A point may lie in several masks of a keyframe.

    Attributes:
        held: (S, P) CSR float64 weight of each point in each mask: 1 where it was matched, ``PROJECTED`` where the view should
            see it by its pose.
        visible: (K, P) CSR float64 the same for whole views; empty rows for views without masks, which say nothing.
        names: (K,) keyframe names.
        view: (S,) int64 the keyframe of each mask.
        index: (S,) int64 the mask's position among those of its keyframe.
        areas: (S,) int64 pixels.
        classes: (S,) int32.
        scores, stabilities: (S,) float32.
        keyframe, point, xy: (N,), (N,) and (N, 2) where points lie in keyframes, in masks or not.
        observed: (N,) bool, matched there; else by the pose.
    """

    held: sparse.csr_matrix
    visible: sparse.csr_matrix
    names: tuple[str, ...]
    view: np.ndarray
    index: np.ndarray
    areas: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    stabilities: np.ndarray
    keyframe: np.ndarray = field(repr=False)
    point: np.ndarray = field(repr=False)
    xy: np.ndarray = field(repr=False)
    observed: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return self.held.shape[0]

    @property
    def keys(self) -> list[tuple[str, int]]:
        """Keyframe name and position of each mask: what it is known by in every revision."""
        return [(self.names[k], i) for k, i in zip(self.view.tolist(), self.index.tolist(), strict=True)]


def mask_points(models: Sequence[SparseModel], masks: Mapping[str, OverlappingMasks], *, project: bool = True) -> MaskPoints:
    """Look all points of all components up in the masks of the keyframes that see them.

    Args:
        masks: by keyframe name; keyframes without an entry say nothing.
        project: also count points in views that should see them but did not match them.
    """
    names = tuple(name for model in models for name in model.names)
    here = {name: masks[name] for name in names if name in masks}
    keyframe, point, xy = _observations(models)
    observed = np.ones(len(keyframe), bool)
    if project and here:
        found = project_unobserved(models, here.keys(), lambda name, pixels: _smallest(here[name], pixels))
        keyframe = np.concatenate([keyframe, found.keyframe.astype(np.int64)])
        point = np.concatenate([point, found.point.astype(np.int64)])
        xy = np.concatenate([xy, found.xy.astype(np.float64)])
        observed = np.concatenate([observed, np.zeros(len(found.point), bool)])

    points = sum(len(model.point_ids) for model in models)
    counts = np.array([len(here[name]) if name in here else 0 for name in names], np.int64)
    first = np.concatenate([[0], np.cumsum(counts)])
    rows, entries = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for k, (name, mine) in enumerate(zip(names, places(keyframe, len(names)), strict=True)):
        if name in here:
            at, mask = here[name].holding(xy[mine])
            rows.append(mask + first[k])
            entries.append(mine[at])
    row, entry = np.concatenate(rows), np.concatenate(entries)
    looked = np.array([name in here for name in names], bool)
    seen = looked[keyframe]

    def stacked(values: Sequence[np.ndarray], kind: type) -> np.ndarray:
        return np.concatenate([np.empty(0, kind), *values]).astype(kind)

    items = [here[name] for name in names if name in here]
    return MaskPoints(
        _weights(row, point[entry], observed[entry], (int(first[-1]), points)),
        _weights(keyframe[seen], point[seen], observed[seen], (len(names), points)),
        names,
        np.repeat(np.arange(len(names)), counts),
        np.arange(int(first[-1])) - np.repeat(first[:-1], counts),
        stacked([item.areas for item in items], np.int64),
        stacked([item.classes for item in items], np.int32),
        stacked([item.scores for item in items], np.float32),
        stacked([item.stabilities for item in items], np.float32),
        keyframe,
        point,
        xy,
        observed,
    )


def _observations(models: Sequence[SparseModel]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    keyframes, points, pixels = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty((0, 2))]
    first_keyframe = first_point = 0
    for model in models:
        keyframes.append(model.obs_keyframe.astype(np.int64) + first_keyframe)
        points.append(model.obs_point.astype(np.int64) + first_point)
        pixels.append(model.obs_xy.astype(np.float64))
        first_keyframe, first_point = first_keyframe + len(model.names), first_point + len(model.point_ids)
    return np.concatenate(keyframes), np.concatenate(points), np.concatenate(pixels)


def _weights(row: np.ndarray, point: np.ndarray, observed: np.ndarray, shape: tuple[int, int]) -> sparse.csr_matrix:
    matched = ones_at(row[observed], point[observed], shape)
    by_pose = ones_at(row[~observed], point[~observed], shape)
    return (matched + by_pose * PROJECTED).tocsr()


def _smallest(masks: OverlappingMasks, xy: np.ndarray) -> np.ndarray:
    """(N,) the smallest mask at each pixel, -1 = none."""
    found = np.full(len(xy), -1, np.int32)
    at, mask = masks.holding(xy)
    order = np.argsort(-masks.areas[mask], kind="stable")  # the smallest is written last
    found[at[order]] = mask[order]
    return found
