"""Tiles of an image that is larger than what a model sees, and which tile holds a box whole."""

from __future__ import annotations

import numpy as np


def extents(width: int, height: int, size: int, overlap: float) -> np.ndarray:
    """(V, 4) int64 ``x0 y0 x1 y1``: the whole image first, then its tiles row by row.

    The tiles are ``size`` pixels wide and high (less where the image is smaller), share at least ``overlap`` of their
    size with their neighbours, and reach the borders exactly. Only the whole image where it fits one tile, or with
    ``size`` 0.
    """
    whole = [(0, 0, width, height)]
    if size <= 0 or max(width, height) <= size:
        return np.array(whole)
    xs, ys = _starts(width, size, overlap), _starts(height, size, overlap)
    return np.array(whole + [(x, y, min(x + size, width), min(y + size, height)) for y in ys for x in xs])


def _starts(length: int, size: int, overlap: float) -> list[int]:
    if length <= size:
        return [0]
    count = int(np.ceil((length - size) / max(1.0, size * (1 - overlap)))) + 1
    return [round(start) for start in np.linspace(0, length - size, count)]


def homes(xyxy: np.ndarray, views: np.ndarray, margin: float = 0.1) -> np.ndarray:
    """(N,) for each box (N, 4) the smallest of ``views`` (V, 4) that holds it with ``margin`` (share of the box's size)
    around it, clipped to the image (``views[0]``): there its mask is cut out, so that no edge of a tile cuts it."""
    room = margin * np.tile(xyxy[:, 2:] - xyxy[:, :2], 2) * np.array([-1, -1, 1, 1])
    image = views[0]
    wanted = xyxy + room
    wanted = np.column_stack([np.maximum(wanted[:, :2], image[:2]), np.minimum(wanted[:, 2:], image[2:])])
    low = (views[None, :, :2] <= wanted[:, None, :2]).all(axis=2)
    high = (views[None, :, 2:] >= wanted[:, None, 2:]).all(axis=2)
    size = np.prod(views[:, 2:] - views[:, :2], axis=1).astype(float)
    holds = np.asarray(low & high)
    holds[:, 0] = True
    return np.where(holds, size[None, :], np.inf).argmin(axis=1)
