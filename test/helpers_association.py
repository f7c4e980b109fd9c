"""Incidences written by hand: a list of views, each a list of masks, each a set of points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy import sparse

from seg2d3d_ros.types import Incidence, Placements


def incidence_of(
    views: Sequence[Sequence[Iterable[int]]],
    points: int,
    *,
    background: Sequence[Iterable[int]] = (),
    classes: Sequence[int] | None = None,
) -> Incidence:
    """Masks in the order of the views; a view sees the points of its masks and, by view, those of ``background``.

    Point p lies at pixel (p + 0.5, view + 0.5) in every view.
    """
    keyframe, rows, columns, seen = [], [], [], []
    for view, masks in enumerate(views):
        for mask in masks:
            members = sorted(mask)
            rows += [len(keyframe)] * len(members)
            columns += members
            seen += [(view, p) for p in members]
            keyframe.append(view)
    for view, extra in enumerate(background):
        seen += [(view, p) for p in extra]
    matrix = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), (len(keyframe), points))
    view_of, point_of = np.array(seen, np.int64).reshape(-1, 2).T
    visibility = sparse.csr_matrix((np.ones(len(seen), np.float32), (view_of, point_of)), (len(views), points)).astype(bool)
    keyframes = np.array(keyframe, np.int32)
    pixels = np.stack([np.array(columns) + 0.5, keyframes[rows] + 0.5], axis=1) if rows else np.empty((0, 2))
    ids = [1 + n for masks in views for n in range(len(masks))]
    return Incidence(
        matrix=matrix,
        visibility=visibility,
        names=tuple(f"view{k}" for k in range(len(views))),
        segment_keyframe=keyframes,
        segment_ids=np.array(ids, np.uint16),
        classes=np.ones(len(keyframe), np.int32) if classes is None else np.array(classes, np.int32),
        scores=np.full(len(keyframe), 0.8, np.float32),
        point_ids=np.arange(points, dtype=np.int64),
        observed=Placements(keyframes[rows], np.array(rows, np.int32), np.array(columns, np.int32), pixels.astype(np.float32)),
    )


def partition(labels: np.ndarray) -> set[frozenset[int]]:
    """The groups of places with the same label > 0, whatever the labels are."""
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels[labels > 0])}
