"""Where groups of points lie in space, and how far apart they are for their size.

Evidence that two groups are one object must be the stronger, the farther they lie apart: a wrong match or two can tie anything,
along a ray of hundreds of metres. What is far is measured by the groups' own size: it needs no unit, and no scale of the map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

AT_ONCE = 1 << 18
"""Points that medians are computed of together: they fit into the memory near the processor."""
LEAST_POINTS = 5
"""Groups of fewer points have no size of their own; they are taken to be as large as the others are in the middle."""


@dataclass(frozen=True)
class Extents:
    """N groups.

    Attributes:
        count: (N,) points.
        center: (N, 3) in the middle of them; NaN where nothing is known.
        square: (N,) mean square of the distance of the points from the center.
    """

    count: np.ndarray
    center: np.ndarray
    square: np.ndarray

    @classmethod
    def of(cls, held: sparse.csr_matrix, xyz: np.ndarray) -> Extents:
        """The extents of the rows of ``held`` (N, P), whatever its weights, by medians: a few wrong points move nothing.

        Args:
            xyz: (P, 3).
        """
        count = np.diff(held.indptr)
        center, square = np.full((len(count), 3), np.nan), np.full(len(count), np.nan)
        for rows in _of_one_size(count):
            mine = xyz[held.indices[held.indptr[rows][:, None] + np.arange(count[rows[0]])]]
            center[rows] = np.median(mine, axis=1)
            square[rows] = np.median(((mine - center[rows][:, None]) ** 2).sum(axis=2), axis=1)
        large = square[(count >= LEAST_POINTS) & np.isfinite(square)]
        usual = float(np.median(large)) if len(large) else 0.0
        return cls(count.astype(float), center, np.where(count >= LEAST_POINTS, square, usual))

    def take(self, rows: np.ndarray) -> Extents:
        """Some of the groups."""
        return Extents(self.count[rows], self.center[rows], self.square[rows])

    def contract(self, owner: np.ndarray, count: int) -> Extents:
        """Unite the groups with the same ``owner`` (N,) < count."""
        known = np.isfinite(self.center).all(axis=1) & np.isfinite(self.square)
        weight = np.where(known, np.maximum(self.count, 1e-9), 0.0)

        def mean(values: np.ndarray) -> np.ndarray:
            with np.errstate(invalid="ignore", divide="ignore"):
                return np.bincount(owner, weight * np.where(known, values, 0.0), count) / np.bincount(owner, weight, count)

        center = np.stack([mean(self.center[:, axis]) for axis in range(3)], axis=1)
        apart = ((self.center - center[owner]) ** 2).sum(axis=1)
        return Extents(np.bincount(owner, self.count, count), center, mean(self.square + apart))

    def gaps(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(n,) the distance between the centers of two groups, divided by the sum of their radii; 0 where it is unknown.

        The radius is the root of ``square``: two halves of a façade have a gap of 2.
        """
        distance = np.linalg.norm(self.center[rows] - self.center[columns], axis=1)
        radius = np.sqrt(self.square[rows]) + np.sqrt(self.square[columns])
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.nan_to_num(distance / radius, nan=0.0, posinf=0.0)


def _of_one_size(count: np.ndarray) -> Iterator[np.ndarray]:
    """Rows with the same number of points, as many together as go at once; (N,) ``count``. Rows without points are left out."""
    order = np.argsort(count, kind="stable")
    order = order[np.searchsorted(count[order], 1) :]
    for rows in np.split(order, np.flatnonzero(np.diff(count[order])) + 1):
        step = max(AT_ONCE // int(count[rows[0]]), 1) if len(rows) else 1
        yield from (rows[first : first + step] for first in range(0, len(rows), step))
