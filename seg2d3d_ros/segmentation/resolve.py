"""Overlapping masks of a detector -> one label a pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.geometry.masks import Region, region_of
from seg2d3d_ros.segmentation.segmenter import no_segments
from seg2d3d_ros.types import Segments

MAX_SEGMENTS = int(np.iinfo(np.uint16).max)


def resolve_overlaps(
    name: str, masks: np.ndarray, classes: np.ndarray, scores: np.ndarray, *, min_area: float, min_visible: float
) -> Segments:
    """Give each pixel to the mask with the highest score that covers it; of equal scores the smaller mask wins.

    Args:
        masks: (N, H, W) bool.
        classes: (N,) 1-based index into the prompts.
        scores: (N,) in [0, 1].
        min_area: masks that end with fewer than this share of the image's pixels are dropped.
        min_visible: masks that keep less than this share of their own pixels are dropped: what better masks leave over of
            a duplicate is a rim, not an object. Its pixels become free for the masks below.

    Returns:
        Segments with ids 1, 2, … from the best score down.

    Raises:
        UsageError: the arrays do not fit together.
    """
    if masks.ndim != 3 or masks.dtype != bool or not len(masks) == len(classes) == len(scores):
        raise UsageError(f"{name}: masks {masks.shape} {masks.dtype}, {len(classes)} classes and {len(scores)} scores")
    regions = [region_of(mask) for mask in masks]
    kept = [index for index, region in enumerate(regions) if region is not None]
    return resolve_regions(
        name,
        (masks.shape[1], masks.shape[2]),
        [region for region in regions if region is not None],
        np.asarray(classes)[kept],
        np.asarray(scores)[kept],
        min_area=min_area,
        min_visible=min_visible,
    )


def resolve_regions(
    name: str,
    shape: tuple[int, int],
    regions: Sequence[Region],
    classes: np.ndarray | Sequence[int],
    scores: np.ndarray | Sequence[float],
    *,
    min_area: float,
    min_visible: float,
) -> Segments:
    """``resolve_overlaps`` for masks that are stored as boxes with pixels, in an image of ``shape`` (H, W)."""
    if not len(regions) == len(classes) == len(scores):
        raise UsageError(f"{name}: {len(regions)} masks, {len(classes)} classes and {len(scores)} scores")
    labels = np.zeros(shape, np.uint16)
    areas = np.array([region.area for region in regions], np.int64)
    taken: list[int] = []
    for index in np.lexsort((areas, -np.asarray(scores, float))):
        window = labels[regions[index].window]
        visible = regions[index].pixels & (window == 0)
        left = int(visible.sum())
        if left == 0 or left < min_area * labels.size or left < min_visible * areas[index] or len(taken) == MAX_SEGMENTS:
            continue
        taken.append(int(index))
        window[visible] = len(taken)
    if not taken:
        return no_segments(name, shape)
    ids = np.arange(1, len(taken) + 1, dtype=np.uint16)
    return Segments(
        name, labels, ids, np.asarray(classes)[taken].astype(np.int32), np.asarray(scores)[taken].astype(np.float32)
    )
