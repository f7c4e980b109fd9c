"""Classes of things that move: looked for beside the prompts, kept out of the model, no objects of the map."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from seg2d3d_ros.types import Segments


def class_ids(names: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """(M,) int64 the 1-based places of ``wanted`` among the class ``names``; case does not matter."""
    folded = {name.casefold() for name in wanted}
    return np.array([k for k, name in enumerate(names, start=1) if name.casefold() in folded], np.int64)


def movable_mask(segments: Segments, classes: np.ndarray) -> np.ndarray | None:
    """(H, W) bool, True inside the segments of these class ids; None where there are none."""
    inside = segments.ids[np.isin(segments.classes, classes)]
    return np.isin(segments.labels, inside) if len(inside) else None


def without_classes(segments: Segments, classes: np.ndarray) -> Segments:
    """``segments`` without those of these class ids."""
    keep = ~np.isin(segments.classes, classes)
    if keep.all():
        return segments
    labels = np.where(np.isin(segments.labels, segments.ids[keep]), segments.labels, 0).astype(segments.labels.dtype)
    return dataclasses.replace(
        segments, labels=labels, ids=segments.ids[keep], classes=segments.classes[keep], scores=segments.scores[keep]
    )
