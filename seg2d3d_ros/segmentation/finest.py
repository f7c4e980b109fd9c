"""The finest flat choice from overlapping masks: the smallest mask at each pixel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.types import Segments

MAX_SEGMENTS = int(np.iinfo(np.uint16).max)


def flat_choice(masks: OverlappingMasks) -> Segments:
    """The finest segments: each mask without the smaller ones on it; ids count the masks from 1. Hidden ones are left out."""
    labels = np.zeros(masks.shape, np.uint16)
    for k in np.lexsort((np.arange(len(masks)), -masks.areas)).tolist():
        if k < MAX_SEGMENTS:
            region = masks.region(k)
            labels[region.window][region.pixels] = k + 1
    ids = np.setdiff1d(labels, [0]).astype(np.uint16)
    rows = ids.astype(np.int64) - 1
    return Segments(masks.name, labels, ids, masks.classes[rows], masks.scores[rows], masks)


class FinestSegments(Mapping[str, Segments]):
    """The finest segments of each keyframe, by name."""

    def __init__(self, masks: Mapping[str, OverlappingMasks]) -> None:
        self._masks = masks
        self._kept: dict[str, Segments] = {}

    def __getitem__(self, name: str) -> Segments:
        kept = self._kept.get(name)
        if kept is None:
            kept = self._kept[name] = flat_choice(self._masks[name])
        return kept

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)
