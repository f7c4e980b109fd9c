"""Masks that hold no point, tied by the direction and the shape in which they are seen: far things, and plain ones.

What is far away looks the same, and lies in the same direction, from neighbouring places. A mask without points is carried
into the views around it, at depths from infinity down to where it would move by half of its own width. Where it covers a mask
of the same class there, both show the same object, unless it covers another one at a smaller depth, or might have left the
image: in a row of equal houses, passed sidewise, the neighbour takes the place of each. An object shows in one mask of an image
only, and two that points hold for two stay two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.association.segment_lookup import SegmentLookup
from seg2d3d_ros.association.solve import Assignment
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.types import Incidence, Segments, SparseModel

VIEWS = 8
"""Nearest views that are asked."""
SAMPLES = 150
"""Pixels of a mask that are carried over."""
FAR = (0.0, 0.1, 0.2, 0.35, 0.5)
"""Parallax against something infinitely far, in units of a mask's width, at which it is carried over."""
NEAR = tuple(np.arange(0.85, 4.01, 0.35).tolist())
"""The same, for what else it could be."""
MIN_OVERLAP = 0.5
"""Intersection over union of a mask and one of another view from which on both show the same thing."""
AMBIGUOUS = 0.7
"""Where another mask of the view reaches this share of the best one's overlap, neither is meant."""
MIN_INSIDE = 0.7
"""Of a mask: so much of it must lie in the other image."""


@dataclass(frozen=True)
class Tie:
    """Two segments, rows of the incidence, that show the same object; ``overlap`` is their intersection over union."""

    overlap: float
    row: int
    other: int


def with_far_masks(
    models: Sequence[SparseModel],
    segments: Mapping[str, Segments],
    incidence: Incidence,
    found: Assignment,
    min_images: int = 1,
) -> Assignment:
    """Give masks that hold no point and have no object the object of masks that they are tied to, or one of their own.

    Args:
        models: components; their keyframes, one after the other, are the incidence's.
        segments: by keyframe name.
        min_images: images that an object needs; one without points needs two at least.
    """
    loose = (found.segment == 0) & (np.diff(incidence.matrix.indptr) == 0)
    loose[found.cuts.segment] = False
    if not loose.any():
        return found
    ties: list[Tie] = []
    first = 0
    for model in models:
        last = first + len(model.names)
        mine = np.flatnonzero(loose & (incidence.segment_keyframe >= first) & (incidence.segment_keyframe < last))
        if model.posed and len(mine):
            ties += _ties(model, first, segments, incidence, mine)
        first = last
    segment = _joined(ties, incidence.segment_keyframe, found, max(2, min_images))
    return replace(found, segment=segment)


def _ties(
    model: SparseModel, first: int, segments: Mapping[str, Segments], incidence: Incidence, rows: np.ndarray
) -> list[Tie]:
    """The ties of the rows, whose keyframes are the model's; ``first`` is the model's first keyframe in the incidence."""
    views = [View(camera, pose) for camera, pose in zip(model.cameras, model.pose, strict=True)]
    tree = cKDTree(model.centers)
    row_of: dict[int, np.ndarray] = {}
    lookups: dict[int, SegmentLookup] = {}
    sizes: dict[int, np.ndarray] = {}
    found = []
    for row in rows.tolist():
        k = int(incidence.segment_keyframe[row]) - first
        item, view = segments[model.names[k]], views[k]
        pixels = _pixels(item, int(incidence.segment_ids[row]))
        area = float(item.runs.areas(incidence.segment_ids[row : row + 1])[0])
        width = np.sqrt(area) / view.camera.pixels_per_tangent
        near = np.atleast_1d(tree.query(model.centers[k], k=min(len(views), VIEWS + 1))[1])
        for j in near[near != k].tolist():
            name = model.names[j]
            if name not in segments:
                continue
            if j not in row_of:
                there = np.flatnonzero(incidence.segment_keyframe == first + j)
                row_of[j] = there[np.argsort(incidence.segment_ids[there])]
                lookups[j], sizes[j] = SegmentLookup(segments[name]), segments[name].runs.areas(segments[name].ids)
            if len(row_of[j]) != len(sizes[j]) or len(sizes[j]) == 0:
                continue
            reach = max(float(np.linalg.norm(model.centers[j] - model.centers[k])), 1e-3) / max(width, 1e-9)
            same = incidence.classes[row_of[j]] == incidence.classes[row]
            far, near_by = (
                [_overlaps(view, views[j], pixels, area, reach / max(s, 1e-6), lookups[j], sizes[j], same) for s in shifts]
                for shifts in (FAR, NEAR)
            )
            best = np.max([item for item in far if item is not None] or [np.zeros(len(same))], axis=0)
            chosen = int(best.argmax())
            if best[chosen] < MIN_OVERLAP or any(item is None for item in near_by):
                continue
            others = np.max([best, *near_by], axis=0)
            others[chosen] = 0.0
            if others.max() < AMBIGUOUS * best[chosen]:
                found.append(Tie(float(best[chosen]), row, int(row_of[j][chosen])))
    return found


def _pixels(item: Segments, segment: int) -> np.ndarray:
    """(N, 2) pixels evenly over a segment, at most ``SAMPLES``."""
    v, u = np.nonzero(item.labels == segment)
    chosen = np.linspace(0, len(u) - 1, min(len(u), SAMPLES)).astype(int)
    return np.column_stack([u[chosen], v[chosen]]) + 0.5


def _overlaps(
    view: View,
    other: View,
    pixels: np.ndarray,
    area: float,
    depth: float,
    find: SegmentLookup,
    sizes: np.ndarray,
    same: np.ndarray,
) -> np.ndarray | None:
    """(M,) intersection over union of a mask, at some depth, and each mask of another view; None where it leaves the image.

    Args:
        pixels: (N, 2) evenly over the mask.
        area: its pixels.
        depth: in world units, the same everywhere.
        sizes: (M,) pixels of the other view's masks.
        same: (M,) bool, whether they are of the mask's class.
    """
    there, depths = other.project(view.back_project(pixels, np.full(len(pixels), depth)))
    inside = other.camera.inside(there)
    if inside.mean() < MIN_INSIDE:
        return None
    scale = other.camera.pixels_per_tangent / view.camera.pixels_per_tangent * depth / np.median(depths[inside])
    carried = area * float(inside.mean()) * scale**2
    place = find(there[inside])
    share = np.bincount(place[place >= 0], minlength=len(sizes)) / max(int(inside.sum()), 1)
    common = np.minimum(share * carried, sizes)
    return np.where(same, common / (carried + sizes - common), 0.0)


def _joined(ties: Sequence[Tie], keyframe: np.ndarray, found: Assignment, min_images: int) -> np.ndarray:
    """(S,) int32 the objects of all segments, where tied ones without an object have got one; the surest ties go first."""
    segment = found.segment.copy()
    views: dict[int, set[int]] = {}
    for row in np.flatnonzero(segment > 0).tolist():
        views.setdefault(int(segment[row]), set()).add(int(keyframe[row]))
    for row, instance in zip(found.cuts.segment.tolist(), found.cuts.instance.tolist(), strict=True):
        views.setdefault(int(instance), set()).add(int(keyframe[row]))
    members: dict[int, list[int]] = {}
    last = first_free = max([0, *views]) + 1
    for tie in sorted(ties, key=lambda tie: (-tie.overlap, tie.row, tie.other)):
        for row in (tie.row, tie.other):
            if segment[row] == 0:
                segment[row], members[last], views[last] = last, [row], {int(keyframe[row])}
                last += 1
        kept, gone = sorted((int(segment[tie.row]), int(segment[tie.other])))
        if kept == gone or gone < first_free or views[kept] & views[gone]:
            continue
        segment[members[gone]] = kept
        members.setdefault(kept, []).extend(members.pop(gone))
        views[kept] |= views.pop(gone)
    # Without holes in the numbers, and without objects that show in too few images.
    number = first_free
    for instance in sorted(key for key in members if key >= first_free):
        enough = len(views[instance]) >= min_images
        segment[members[instance]] = number if enough else 0
        number += enough
    return segment.astype(np.int32)
