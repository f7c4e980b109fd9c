"""One mask ↔ an annotation as COCO, SAM's generator and Grounded-SAM-2 write it: run lengths and what is known of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seg2d3d_ros.geometry.masks import Region
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.geometry.overlapping.run_lengths import checked_runs, compressed

STABILITY = "stability_score"
_SCORES = ("predicted_iou", "score", "confidence")


@dataclass(frozen=True)
class MaskEntry:
    """One mask that was read: ``counts`` as in ``OverlappingMasks``, and its box ``x0 y0 x1 y1``."""

    counts: bytes
    box: tuple[int, int, int, int]
    score: float
    stability: float


def run_lengths_of(segmentation: Any, shape: tuple[int, int]) -> tuple[bytes, tuple[int, int, int, int]]:
    """Compressed run lengths and box of a ``{"size": [H, W], "counts": …}``, checked before anything is decoded.

    Raises:
        ValueError: it is none, is for an image of another size, or holds no pixel.
    """
    height, width = shape
    if not isinstance(segmentation, dict):
        raise ValueError("a mask that is no run lengths")
    size = segmentation.get("size")
    if not isinstance(size, list) or [side for side in size if type(side) is int] != [height, width]:
        raise ValueError("run lengths for an image of another size")
    runs = checked_runs(segmentation.get("counts"), height * width)
    ends = np.cumsum(runs)
    first, last = ends[0:-1:2], ends[1::2] - 1  # the first pixel and the last one of each run inside
    filled = last >= first
    first, last = first[filled], last[filled]
    if len(first) == 0:
        raise ValueError("a mask without a pixel in the image")
    whole = bool((first // height != last // height).any())  # a run over several columns touches top and bottom
    y0, y1 = (0, height) if whole else (int((first % height).min()), int((last % height).max()) + 1)
    return compressed(runs, height, width), (int(first[0] // height), y0, int(last[-1] // height) + 1, y1)


def read_entry(entry: Any, shape: tuple[int, int]) -> MaskEntry:
    """A mask of an annotation. A score is ``predicted_iou`` or ``score``; 1 where there is none.

    Raises:
        ValueError: it cannot be used; the message is a reason to be counted.
    """
    if not isinstance(entry, dict):
        raise ValueError("an annotation that is no object")
    if entry.get("iscrowd") in (1, "1", True):
        raise ValueError("a crowd (iscrowd), which holds several objects")
    counts, box = run_lengths_of(entry.get("segmentation"), shape)
    given = next((entry[key] for key in _SCORES if key in entry), 1.0)
    return MaskEntry(counts, box, share(given, "a score"), share(entry.get(STABILITY, 1.0), "a stability_score"))


def share(value: Any, what: str) -> float:
    """A number from 0 to 1, alone or in a list of one; SAM's estimate may exceed 1 a little.

    Raises:
        ValueError: something else.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= 1.2:
        raise ValueError(f"{what} that is no number from 0 to 1")
    return min(float(value), 1.0)


def masks_of(name: str, shape: tuple[int, int], entries: Sequence[MaskEntry], classes: Sequence[int]) -> OverlappingMasks:
    """The masks of one image from its entries."""
    return OverlappingMasks(
        name,
        shape,
        tuple(entry.counts for entry in entries),
        np.array([entry.box for entry in entries], np.int32).reshape(-1, 4),
        np.array(classes, np.int32),
        np.array([entry.score for entry in entries], np.float32),
        np.array([entry.stability for entry in entries], np.float32),
    )


def entry_of(region: Region, shape: tuple[int, int], score: float, stability: float) -> MaskEntry:
    """A mask that is known by its pixels."""
    one = OverlappingMasks.of_regions("", shape, [region], [1], [score])
    return MaskEntry(one.counts[0], region.box, score, stability)


def annotation(masks: OverlappingMasks, k: int, image_id: int = 1) -> dict[str, Any]:
    """Mask k as a COCO annotation, with SAM's names for score and stability."""
    x0, y0, x1, y1 = masks.boxes[k].tolist()
    return {
        "id": k + 1,
        "image_id": image_id,
        "category_id": int(masks.classes[k]),
        "segmentation": {"size": list(masks.shape), "counts": masks.counts[k].decode("ascii")},
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int(masks.areas[k]),
        "iscrowd": 0,
        "score": round(float(masks.scores[k]), 4),
        STABILITY: round(float(masks.stabilities[k]), 4),
    }
