"""A label image as the runs of equal labels along its rows: some twenty kilobytes instead of megabytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.errors import DataError


@dataclass(frozen=True)
class LabelRuns:
    """R runs of a label image, read row by row; a run may go on in the next row.

    Attributes:
        shape: (H, W) of the image.
        starts: (R,) int32 ascending, place of each run's first pixel: ``row * W + column``.
        values: (R,) uint16 the label of each run.
    """

    shape: tuple[int, int]
    starts: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> LabelRuns:
        """The runs of a (H, W) uint16 label image."""
        flat = labels.ravel()
        starts = np.flatnonzero(np.diff(flat, prepend=~flat[:1])).astype(np.int32)
        return cls((labels.shape[0], labels.shape[1]), starts, flat[starts])

    @property
    def lengths(self) -> np.ndarray:
        """(R,) pixels of each run."""
        return np.diff(self.starts, append=self.shape[0] * self.shape[1])

    def image(self) -> np.ndarray:
        """The (H, W) uint16 label image."""
        return np.repeat(self.values, self.lengths).reshape(self.shape)

    def at(self, pixel: np.ndarray) -> np.ndarray:
        """(N,) uint16 labels of (N, 2) integer pixels ``column row``, which must lie in the image."""
        place = pixel[:, 1] * self.shape[1] + pixel[:, 0]
        return np.asarray(self.values[np.searchsorted(self.starts, place, "right") - 1])

    def mapped(self, table: Mapping[int, int]) -> LabelRuns:
        """Other labels in the place of these; labels without an entry become 0.

        Raises:
            DataError: a label that does not fit 16 bits.
        """
        if table and max(table.values()) > np.iinfo(np.uint16).max:
            raise DataError(f"instance id {max(table.values())} does not fit the 16 bits of a label image")
        lookup = np.zeros(np.iinfo(np.uint16).max + 1, np.uint16)
        lookup[list(table)] = list(table.values())
        return LabelRuns(self.shape, self.starts, lookup[self.values])

    def only(self, labels: np.ndarray) -> LabelRuns:
        """These labels; all others become 0."""
        kept = np.isin(self.values, labels) | (self.values == 0)
        return self if kept.all() else LabelRuns(self.shape, self.starts, np.where(kept, self.values, 0).astype(np.uint16))

    def areas(self, labels: np.ndarray) -> np.ndarray:
        """(N,) int64 pixels of each of N labels."""
        sizes = np.bincount(self.values, self.lengths, minlength=int(labels.max(initial=0)) + 1)
        return sizes[labels].astype(np.int64)

    def boxes(self, labels: np.ndarray) -> np.ndarray:
        """Tight boxes (N, 4) int32 ``x0 y0 x1 y1`` (last pixel excluded) of N labels; zeros where absent."""
        width = self.shape[1]
        (y0, x0), (y1, x1) = np.divmod(self.starts, width), np.divmod(self.starts + self.lengths - 1, width)
        x0, x1 = np.where(y0 == y1, x0, 0), np.where(y0 == y1, x1, width - 1)  # whole rows lie in a run of several rows
        place = np.full(np.iinfo(np.uint16).max + 1, -1)
        place[labels] = np.arange(len(labels))
        row = place[self.values]
        wanted = np.flatnonzero(row >= 0)
        low, high = np.full((2, len(labels), 2), np.iinfo(np.int32).max, np.int32)
        for axis, (first, last) in enumerate(((x0, x1), (y0, y1))):
            np.minimum.at(low[:, axis], row[wanted], first[wanted])
            np.minimum.at(high[:, axis], row[wanted], -last[wanted])
        found = np.isin(labels, self.values)[:, None]
        return np.where(found, np.concatenate([low, 1 - high], axis=1), 0).astype(np.int32)
