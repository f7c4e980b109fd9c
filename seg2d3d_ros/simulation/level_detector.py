"""A detector of anything that cuts each house at a level of its own choice in each image, with misses and ragged borders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.simulation.detector import shift_borders
from seg2d3d_ros.simulation.levels import HouseLevels


@dataclass(frozen=True)
class LevelQuality:
    """Attributes:
    min_area: smallest object that is found, as a share of the image.
    miss: chance that an object of the chosen level is not found.
    more: chance that a house is also cut at a second level in the same image, so that masks overlap.
    jitter: typical displacement of borders in pixels at 960 px width.
    """

    min_area: float = 0.0005
    miss: float = 0.12
    more: float = 0.3
    jitter: float = 2.0


def detect_levels(
    name: str, truth: Sequence[np.ndarray], levels: HouseLevels, rng: np.random.Generator, quality: LevelQuality | None = None
) -> OverlappingMasks:
    """The masks of one image, in random order.

    Args:
        truth: (H, W) int32 label images of the levels, the coarsest first.
    """
    quality = quality or LevelQuality()
    shape = truth[0].shape
    scale, least = shape[1] / 960.0, quality.min_area * truth[0].size
    seen = [shift_borders(labels, quality.jitter * scale, rng) for labels in truth]
    house_of = {i: item.id for i, item in levels.objects.items() if item.level == 0}
    for i, item in levels.objects.items():  # parents come before their parts
        house_of.setdefault(i, house_of.get(item.parent, 0))
    present = [{int(i) for i in np.unique(labels)} & levels.objects.keys() for labels in seen]
    chosen: dict[int, list[int]] = {}
    for house in sorted(present[0]):
        order = rng.permutation(len(truth)).tolist()
        chosen[house] = order[: 1 + (rng.random() < quality.more)]
    regions = []
    for level, ids in enumerate(present):
        for i in sorted(ids):
            missed = rng.random() < quality.miss
            if missed or level not in chosen.get(house_of[i], ()):
                continue
            region = region_of(seen[level] == i)
            if region is not None and region.area >= least:
                regions.append(region)
    order = rng.permutation(len(regions))
    scores, stabilities = rng.uniform(0.88, 0.99, len(regions)), rng.uniform(0.92, 1.0, len(regions))
    return OverlappingMasks.of_regions(name, shape, [regions[k] for k in order], [1] * len(regions), scores, stabilities)
