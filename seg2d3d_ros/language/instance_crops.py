"""The pictures of an instance that a text-image model is shown: which views, and how they are cut out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

MARGIN = 0.1
"""What is shown around the instance on each side, in shares of the longer side of its box: a part of the context."""
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class InstanceCrop:
    """One view of an instance, twice.

    Attributes:
        whole: (S, S, 3) uint8 RGB, with what is around the instance.
        alone: (S, S, 3) uint8 RGB, everything but the instance in the model's neutral colour.
        size: pixels of the instance in the photograph, as a share of S² and at most 1.
        sharpness: variance of the Laplacian of the grey values over the instance, at the model's resolution.
    """

    whole: np.ndarray
    alone: np.ndarray
    size: float
    sharpness: float


def largest_views(instance: Mapping[str, Any], most: int) -> dict[str, Box]:
    """The box of an instance of tracks.json in each of at most ``most`` images, from the largest one down.

    Regions that were drawn from 3D points count only where no mask shows the instance: nobody saw their outline.
    """
    seen = instance["observations"]
    seen = [item for item in seen if not item.get("recovered")] or seen
    boxes: dict[str, Box] = {}
    for item in seen:
        x0, y0, x1, y1 = (int(value) for value in item["box"])
        a, b, c, d = boxes.get(item["image"], (x0, y0, x1, y1))
        boxes[item["image"]] = min(a, x0), min(b, y0), max(c, x1), max(d, y1)
    order = sorted(boxes, key=lambda name: (-_area(boxes[name]), name))
    return {name: boxes[name] for name in order[:most]}


def _area(box: Box) -> int:
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def cut_out(
    image: np.ndarray, labels: np.ndarray, instance_id: int, box: Box, side: int, neutral: np.ndarray
) -> InstanceCrop | None:
    """A square around an instance, in the size that the model sees; None where no pixel of the label image is the instance.

    A square, because models squeeze or cut off what is none; what lies outside the photograph is neutral.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) instance ids.
        side: S, width and height of the result in pixels.
        neutral: (3,) uint8 RGB.
    """
    height, width = labels.shape
    x0, y0, x1, y1 = max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)
    if x1 <= x0 or y1 <= y0 or image.shape[:2] != labels.shape:
        return None
    pixels = int(np.count_nonzero(labels[y0:y1, x0:x1] == instance_id))
    if pixels == 0:
        return None
    length = max(1, round(max(x1 - x0, y1 - y0) * (1 + 2 * MARGIN)))
    left, top = (x0 + x1 - length) // 2, (y0 + y1 - length) // 2
    whole = np.empty((length, length, 3), np.uint8)
    whole[:] = neutral
    mask = np.zeros((length, length), np.uint8)
    a, b, c, d = max(left, 0), max(top, 0), min(left + length, width), min(top + length, height)
    inner = slice(b - top, d - top), slice(a - left, c - left)
    whole[inner] = image[b:d, a:c]
    mask[inner] = labels[b:d, a:c] == instance_id
    shrinks = length > side
    whole = cv2.resize(whole, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    # A thin object may vanish at this size: every cell that it touches by a third counts.
    mask = (cv2.resize(mask * 255, (side, side), interpolation=cv2.INTER_AREA) > 85).astype(np.uint8)
    if not mask.any():
        return None
    alone = np.where(mask[:, :, None] > 0, whole, neutral).astype(np.uint8)
    laplacian = cv2.Laplacian(cv2.cvtColor(whole, cv2.COLOR_RGB2GRAY), cv2.CV_32F)
    # Its outline would count as sharp whatever the photograph is like.
    inside = cv2.erode(mask, np.ones((3, 3), np.uint8)) > 0
    sharpness = float(laplacian[inside if inside.any() else mask > 0].var())
    return InstanceCrop(whole, alone, min(1.0, pixels / side**2), sharpness)


def view_weights(sizes: np.ndarray, sharpness: np.ndarray) -> np.ndarray:
    """(V,) weights of an instance's views, which sum to 1: by size, and by sharpness beside its sharpest view.

    A view that is small and blurred keeps a thousandth, so that an instance that has nothing better is found all the same.
    """
    weights = np.maximum(sizes * sharpness / max(float(sharpness.max(initial=0.0)), 1e-9), 1e-3)
    return np.asarray(weights / weights.sum())
