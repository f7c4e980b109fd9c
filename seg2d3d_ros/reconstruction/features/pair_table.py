"""Which pairs of images were tried, and how many verified matches each has: the database's table, read once."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np


class PairTable:
    """Pairs that were tried. An image's own pairs are found at once.

    Args:
        pairs: (M, 3) image id, image id, verified matches.
        min_matches: verified matches that make a pair.
    """

    def __init__(self, pairs: np.ndarray, min_matches: int) -> None:
        self._matches: dict[int, dict[int, int]] = {}
        self._min_matches = min_matches
        self.note(pairs)

    def note(self, pairs: np.ndarray) -> None:
        """Add or correct pairs, (M, 3) as above."""
        for first, second, matches in pairs.tolist():
            self._matches.setdefault(first, {})[second] = matches
            self._matches.setdefault(second, {})[first] = matches

    def of(self, image_id: int) -> Mapping[int, int]:
        """Partner -> verified matches, of every pair of an image that was tried."""
        return self._matches.get(image_id, {})

    def verified(self, image_id: int, others: Collection[int]) -> dict[int, int]:
        """Partner -> verified matches, of the pairs of an image with ``others`` that have enough of them."""
        tried = self.of(image_id)
        return {other: tried[other] for other in others if tried.get(other, 0) >= self._min_matches}

    def rows(self, at_least: int = 0) -> np.ndarray:
        """(M, 3) int64 smaller image id, larger image id, verified matches, in order; those with ``at_least`` so many."""
        rows = [
            (first, second, matches)
            for first, tried in self._matches.items()
            for second, matches in tried.items()
            if first < second and matches >= at_least
        ]
        return np.array(sorted(rows), np.int64).reshape(-1, 3)
