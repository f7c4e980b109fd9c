"""The mask of a COCO ``segmentation``: polygons, and run lengths plain or compressed."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from seg2d3d_ros.geometry.masks import Region, region_of
from seg2d3d_ros.geometry.overlapping.run_lengths import checked_runs, load_pycocotools

MAX_OUTLINE = 100
"""Longest outline of a polygon, and farthest point, in sums of the image's sides: pycocotools' memory grows with them."""
STRIPES = 8
"""Times as many parts in the one reading as in the other."""


def run_lengths_size(segmentation: Any) -> tuple[int, int] | None:
    """Width and height that run lengths are for; None for polygons, and where they do not say it."""
    size = segmentation.get("size") if isinstance(segmentation, dict) else None
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int for side in size):
        return None
    return size[1], size[0]


def decode(segmentation: Any, height: int, width: int) -> tuple[Region | None, list[str]]:
    """The mask, None if it is empty, and why parts of it were left out.

    Run lengths are decoded here; polygons by pycocotools, which checks nothing: it reads and writes beyond its memory where
    numbers are wrong.

    Args:
        segmentation: a list of polygons ``[x, y, x, y, …]``, one such polygon, or ``{"size": [height, width], "counts": …}``.

    Raises:
        ValueError: no part of it is a mask for an image of this size; the message is a reason to be counted.
    """
    if isinstance(segmentation, dict):
        return _from_runs(segmentation, height, width), []
    if not isinstance(segmentation, list):
        raise ValueError("a segmentation that is neither polygons nor run lengths")
    if not segmentation:
        raise ValueError("an empty segmentation")
    parts = [segmentation] if not isinstance(segmentation[0], list | dict) else segmentation
    polygons: list[list[float]] = []
    reasons: list[str] = []
    for part in parts:
        polygon, reason = _polygon(part, MAX_OUTLINE * (height + width))
        polygons += [polygon] * (not reason)
        reasons += [reason] * bool(reason)
    if not polygons:
        raise ValueError(reasons[0])
    coder = load_pycocotools()
    encoded = coder.merge(coder.frPyObjects(polygons, height, width))
    return region_of(coder.decode(encoded).astype(bool)), reasons


def _polygon(polygon: Any, limit: float) -> tuple[list[float], str]:
    """The points, or why there are none."""
    try:
        points = np.asarray(polygon if isinstance(polygon, list) else "", float).ravel()
    except (TypeError, ValueError, OverflowError):
        return [], "a polygon that is no list of numbers x, y, x, y, …"
    if len(points) < 6:
        return [], "a polygon of fewer than three points"
    if len(points) % 2:
        return [], "a polygon with an x without its y"
    corners = points.reshape(-1, 2)
    # NaN is not below the limit either.
    with np.errstate(over="ignore", invalid="ignore"):
        outline = np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1).sum()
    if not (np.abs(corners).max() <= limit and outline <= limit):
        return [], "a polygon that reaches far out of the image, or whose outline is endless"
    return points.tolist(), ""


def _from_runs(segmentation: dict[str, Any], height: int, width: int) -> Region | None:
    if run_lengths_size(segmentation) != (width, height):
        raise ValueError("run lengths for an image of another size")
    runs = checked_runs(segmentation.get("counts"), height * width)
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return region_of(pixels.reshape(width, height).T)


def written_by_rows(region: Region, height: int, width: int) -> bool:
    """Whether a mask that was decoded from run lengths falls into stripes which, read row by row, are one piece."""
    pixels = np.zeros((width, height), np.uint8)
    pixels.T[region.window] = region.pixels
    stripes, whole = (cv2.connectedComponents(p, connectivity=8)[0] - 1 for p in (pixels, pixels.reshape(height, width)))
    return stripes >= STRIPES and whole * STRIPES <= stripes
