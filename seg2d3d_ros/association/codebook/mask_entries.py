"""Which mask holds which point, image by image: what features and codes are learnt from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class MaskEntries:
    """N entries "mask m holds point p", sorted by image and mask.

    Attributes:
        point: (N,) int64.
        mask: (N,) int64 row of the mask.
        weight: (N,) float32: 1 where the image observes the point, less where it should see it.
        starts: (K + 1,) int64: entries ``starts[k]`` to ``starts[k + 1]`` are of image k.
    """

    point: np.ndarray
    mask: np.ndarray
    weight: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, held: sparse.csr_matrix, mask_view: np.ndarray) -> MaskEntries:
        """Of the weights of points in masks (S, P), and the image of each mask (S,)."""
        table = held.tocoo()
        order = np.lexsort((table.col, table.row, mask_view[table.row]))
        view = mask_view[table.row[order]]
        count = int(mask_view.max(initial=-1)) + 1
        starts = np.searchsorted(view, np.arange(count + 1))
        return cls(
            table.col[order].astype(np.int64), table.row[order].astype(np.int64), table.data[order].astype(np.float32), starts
        )

    def of_images(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,) the entries of these images, and (n,) which of the images each belongs to, 0, 1, …"""
        spans = [np.arange(self.starts[k], self.starts[k + 1]) for k in images.tolist()]
        owner = np.repeat(np.arange(len(images)), [len(span) for span in spans])
        return (np.concatenate(spans) if spans else np.empty(0, np.int64)), owner
