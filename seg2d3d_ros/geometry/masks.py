"""Masks kept as their bounding box and the pixels in it: a hundred masks of a large photo fit into memory that way."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Region:
    """One mask.

    Attributes:
        box: ``x0 y0 x1 y1`` in pixels of the image, the last pixel excluded.
        pixels: (y1 - y0, x1 - x0) bool.
    """

    box: tuple[int, int, int, int]
    pixels: np.ndarray

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.pixels))

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the box, to index an image with."""
        x0, y0, x1, y1 = self.box
        return slice(y0, y1), slice(x0, x1)

    def holds(self, xy: np.ndarray) -> np.ndarray:
        """(N,) bool: pixels (N, 2) of the image, by the conventions of ``types``, that the mask holds."""
        x0, y0, x1, y1 = self.box
        pixel = np.floor(xy).astype(np.intp)
        inside = (pixel >= [x0, y0]).all(axis=1) & (pixel < [x1, y1]).all(axis=1)
        inside[inside] = self.pixels[pixel[inside, 1] - y0, pixel[inside, 0] - x0]
        return np.asarray(inside)

    def shifted(self, dx: int, dy: int) -> Region:
        """The same mask in an image whose origin lies ``(dx, dy)`` further up and left."""
        x0, y0, x1, y1 = self.box
        return Region((x0 + dx, y0 + dy, x1 + dx, y1 + dy), self.pixels)


def region_of(mask: np.ndarray, dx: int = 0, dy: int = 0) -> Region | None:
    """Crop a (H, W) bool mask to its bounding box and shift it; None for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return None
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    return Region((x0 + dx, y0 + dy, x1 + dx, y1 + dy), mask[y0:y1, x0:x1].copy())


def cell_grid(box: tuple[int, int, int, int], most: int) -> tuple[tuple[int, int], np.ndarray, float]:
    """A box ``x0 y0 x1 y1`` in square cells, at most about ``most`` along a side and none smaller than a pixel.

    Returns:
        Rows and columns of cells, the (rows * columns, 2) pixel coordinates of their centres, and their side in pixels.
    """
    x0, y0, x1, y1 = box
    side = max(1.0, max(x1 - x0, y1 - y0) / most)
    rows, columns = max(1, round((y1 - y0) / side)), max(1, round((x1 - x0) / side))
    y = (np.arange(rows) + 0.5) * (y1 - y0) / rows + y0
    x = (np.arange(columns) + 0.5) * (x1 - x0) / columns + x0
    return (rows, columns), np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2), side


def cleaned(region: Region, share: float) -> Region | None:
    """Fill holes and remove specks smaller than ``share`` of the mask; None if nothing is left.

    A hole is background that does not reach the border of the box. The largest part always stays.
    """
    if share <= 0:
        return region
    limit = share * region.area
    padded = np.pad(region.pixels, 1).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(1 - padded, connectivity=4)
    holes = [k for k in range(1, count) if k != labels[0, 0] and stats[k, cv2.CC_STAT_AREA] < limit]
    if holes:
        padded[np.isin(labels, holes)] = 1
    count, labels, stats, _ = cv2.connectedComponentsWithStats(padded, connectivity=8)
    if count > 2:
        areas = stats[1:, cv2.CC_STAT_AREA]
        kept = 1 + np.flatnonzero((areas >= limit) | (areas == areas.max()))
        padded = np.isin(labels, kept).astype(np.uint8)
    return region_of(padded[1:-1, 1:-1].astype(bool), *region.box[:2])


def parts(region: Region) -> list[Region]:
    """The connected parts (8-neighbourhood), largest first."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(region.pixels.astype(np.uint8), connectivity=8)
    order = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")
    found = (region_of(labels == k, *region.box[:2]) for k in order) if count > 1 else ()
    return [part for part in found if part is not None]


def overlap(first: Region, second: Region) -> float:
    """Intersection over union of two masks."""
    x0, y0 = max(first.box[0], second.box[0]), max(first.box[1], second.box[1])
    x1, y1 = min(first.box[2], second.box[2]), min(first.box[3], second.box[3])
    if x0 >= x1 or y0 >= y1:
        return 0.0
    a, b = (r.pixels[y0 - r.box[1] : y1 - r.box[1], x0 - r.box[0] : x1 - r.box[0]] for r in (first, second))
    common = int(np.count_nonzero(a & b))
    return common / (first.area + second.area - common)
