"""From a model's raw masks to ``Segments``: mend, drop what cannot be an object, resolve overlaps. Thresholds by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seg2d3d_ros.declaration import nearest
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.geometry.masks import Region, cleaned, parts
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.resolve import resolve_overlaps
from seg2d3d_ros.types import Segments

MIN_VISIBLE = 0.25
"""A mask of which better masks leave less than this share is a rim of another object's mask."""


def finished(
    name: str,
    shape: tuple[int, int],
    regions: Sequence[Region | None],
    classes: Sequence[int] | np.ndarray,
    scores: Sequence[float] | np.ndarray,
    config: SegmentationConfig,
) -> Segments:
    """Segments of an image of ``shape`` (H, W) from masks in any order; None stands for an empty mask.

    Holes and specks are mended (``clean``), parts separated where asked (``split_parts``), masks below ``min_mask_area``
    and ``min_area`` and wholly above ``sky_limit`` dropped, overlaps given to the better score.
    """
    kept: list[tuple[Region, int, float]] = []
    least = max(config.min_mask_area, config.min_area)
    for region, class_id, score in zip(regions, classes, scores, strict=True):
        mended = cleaned(region, config.clean) if region is not None else None
        pieces = [] if mended is None else parts(mended) if config.split_parts else [mended]
        sure = min(max(float(score), 0.0), 1.0)
        kept += [(piece, int(class_id), sure) for piece in pieces if piece.box[3] > config.sky_limit * shape[0]]
    return resolve_overlaps(
        name,
        shape,
        [region for region, _, _ in kept],
        [class_id for _, class_id, _ in kept],
        [score for _, _, score in kept],
        min_area=least,
        min_visible=MIN_VISIBLE,
    )


def kept_whole(
    name: str,
    shape: tuple[int, int],
    regions: Sequence[Region],
    scores: Sequence[float],
    stabilities: Sequence[float],
    config: SegmentationConfig,
) -> OverlappingMasks:
    """The masks of an image of ``shape`` (H, W) as they are, of the first prompt's class, mended as in ``finished``."""
    least = max(config.min_mask_area, config.min_area) * shape[0] * shape[1]
    kept: list[tuple[Region, float, float]] = []
    for region, score, stability in zip(regions, scores, stabilities, strict=True):
        mended = cleaned(region, config.clean)
        if mended is not None and mended.area >= least and mended.box[3] > config.sky_limit * shape[0]:
            kept.append((mended, min(max(float(score), 0.0), 1.0), min(max(float(stability), 0.0), 1.0)))
    whole, rated, steady = [item[0] for item in kept], [item[1] for item in kept], [item[2] for item in kept]
    return OverlappingMasks.of_regions(name, shape, whole, [1] * len(kept), rated, steady)


def thresholds(config: SegmentationConfig, default: float) -> np.ndarray:
    """(C,) float64, the threshold of each prompt: ``class_thresholds`` (``prompt=score``) over ``default``.

    Raises:
        UsageError: not ``prompt=score``, a prompt that is not asked for, or a score outside 0 … 1.
    """
    values = np.full(len(config.prompts), default, float)
    rows = {prompt.casefold(): row for row, prompt in enumerate(config.prompts)}
    for item in config.class_thresholds:
        prompt, equals, text = item.rpartition("=")
        try:
            score = float(text)
        except ValueError:
            score = -1.0
        if not equals or not 0 <= score <= 1:
            raise UsageError(f"segmentation.class_thresholds {item!r}: write prompt=score with a score from 0 to 1")
        if (row := rows.get(prompt.strip().casefold())) is None:
            raise UsageError(f"segmentation.class_thresholds {item!r}: no such prompt{nearest(prompt, config.prompts)}")
        values[row] = score
    return values
