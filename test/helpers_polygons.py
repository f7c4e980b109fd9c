"""An independent reader of polygons."""

import numpy as np


def pixels_in(ring: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W) bool: the pixels whose centres lie in a ring (N, 2), by the even-odd rule; the first centre is at (0.5, 0.5)."""
    y, x = (np.mgrid[:height, :width] + 0.5).reshape(2, -1)
    inside = np.zeros(height * width, bool)
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        crossed = (y0 > y) != (y1 > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crossed & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside.reshape(height, width)


def overlap_of(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two masks (H, W)."""
    return float((first & second).sum() / (first | second).sum())
