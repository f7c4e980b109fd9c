"""Overlapping masks from files → the photo's pixels as they are stored: each turned and resized as its label image would be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.masks import Region, region_of
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.segmentation.files.mask_placement import UPRIGHT, MaskPlacement, orientation_of
from seg2d3d_ros.types import Keyframe

AT_ONCE = 16
"""Masks that are placed together, as the bits of one image."""


def placed_masks(
    keyframe: Keyframe,
    shape: tuple[int, int],
    regions: Sequence[Region],
    facts: Sequence[tuple[int, float, float]],
    orientation: str,
    where: str,
) -> OverlappingMasks:
    """The masks of a keyframe, in its pixels; what the placement has to say is told for the flat choice, not once more here.

    Args:
        shape: (H, W) of the image that the masks were made in.
        facts: class, score and stability of each region.
        orientation: ``segmentation.segments_orientation``.

    Raises:
        DataError: another aspect than the photo's.
    """
    width, height = keyframe.size
    if shape == (height, width) and orientation_of(keyframe) == UPRIGHT:
        found: list[Region | None] = list(regions)
    else:
        place, found = MaskPlacement(orientation, Findings()), []
        for first in range(0, len(regions), AT_ONCE):
            some = regions[first : first + AT_ONCE]
            bits = np.zeros(shape, np.uint16)
            for k, region in enumerate(some):
                bits[region.window] |= region.pixels.astype(np.uint16) << k
            placed = place(bits, keyframe, where)
            found += [region_of((placed >> k & 1).astype(bool)) for k in range(len(some))]
    kept = [(region, *fact) for region, fact in zip(found, facts, strict=True) if region is not None]
    return OverlappingMasks.of_regions(
        keyframe.name,
        (height, width),
        [item[0] for item in kept],
        [item[1] for item in kept],
        [item[2] for item in kept],
        [item[3] for item in kept],
    )
