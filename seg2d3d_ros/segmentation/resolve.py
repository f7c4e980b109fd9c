"""Overlapping masks of a detector -> one label a pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.geometry.masks import Region
from seg2d3d_ros.segmentation.segmenter import no_segments
from seg2d3d_ros.types import Segments

MAX_SEGMENTS = int(np.iinfo(np.uint16).max)


def resolve_overlaps(
    name: str,
    shape: tuple[int, int],
    regions: Sequence[Region | None],
    classes: Sequence[int],
    scores: Sequence[float],
    *,
    min_area: float,
    min_visible: float,
) -> Segments:
    """Give each pixel to the mask with the highest score that covers it; of equal scores the smaller mask wins.

    Args:
        shape: (H, W) of the image.
        regions: N masks; None = an empty one, which is dropped.
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
    if not len(regions) == len(classes) == len(scores):
        raise UsageError(f"{name}: {len(regions)} masks, {len(classes)} classes and {len(scores)} scores")
    labels = np.zeros(shape, np.uint16)
    areas = np.array([0 if region is None else region.area for region in regions], np.int64)
    taken: list[int] = []
    for index in np.lexsort((areas, -np.asarray(scores, float))).tolist():
        region = regions[index]
        if region is None or len(taken) == MAX_SEGMENTS:
            continue
        window = labels[region.window]
        visible = region.pixels & (window == 0)
        left = int(visible.sum())
        if left == 0 or left < min_area * labels.size or left < min_visible * areas[index]:
            continue
        taken.append(index)
        window[visible] = len(taken)
    if not taken:
        return no_segments(name, shape)
    ids = np.arange(1, len(taken) + 1, dtype=np.uint16)
    return Segments(
        name, labels, ids, np.asarray(classes)[taken].astype(np.int32), np.asarray(scores)[taken].astype(np.float32)
    )
