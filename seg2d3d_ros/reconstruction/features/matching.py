"""From likely pairs to verified matches, and the table of the pairs that were tried."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from seg2d3d_ros.progress import Progress, Stopwatch
from seg2d3d_ros.reconstruction.database import FeatureDatabase, ImageRow, database_name
from seg2d3d_ros.reconstruction.features.local_features import LocalFeatures
from seg2d3d_ros.reconstruction.features.pairs import RICH_MATCHES, RICH_PARTNERS, candidate_pairs, partners_of, poor_images
from seg2d3d_ros.reconstruction.features.place_recognition import PlaceRecognition
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig

BATCH = 64
"""Pairs between two reports of progress; what is done is in the database and need not be done again."""


class PairTable:
    """Pairs that were tried, as the database has them, read once. An image's own pairs are found at once.

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


class PairMatcher:
    """Chooses pairs, matches and verifies those that were not tried before, and knows what was tried.

    Args:
        database: of the keypoints; gets the matches.
        features: match them.
        config: how many pairs, and what makes one.
        watch: gets the stages ``pairs`` and ``matching``.

    Attributes:
        tried: every pair in the database.
        recognition: how alike images look.
    """

    def __init__(
        self, database: FeatureDatabase, features: LocalFeatures, config: ReconstructionConfig, watch: Stopwatch
    ) -> None:
        self.tried = PairTable(database.matched_pairs(), config.min_pair_inliers)
        self.recognition = PlaceRecognition(database.descriptors, config.seed)
        self._database, self._features, self._config, self._watch = database, features, config, watch

    def match_all(
        self, rows: Sequence[ImageRow], positions: Mapping[int, np.ndarray], *, more: bool, progress: Progress | None = None
    ) -> list[tuple[int, int]]:
        """Match likely pairs among all images; returns those that are new, smaller image id first.

        Args:
            rows: the images.
            positions: image id -> (3,) metres, for the images whose place is known.
            more: twice as many pairs for the images that found too few good ones.
            progress: called with the stage ``matching``.
        """
        with self._watch("pairs"):
            tried = self.tried.rows()
            poor = poor_images(rows, tried) if more else set()
            wanted = candidate_pairs(rows, positions, self.recognition, self._config.max_pairs, poor)
            new = sorted(wanted - {(first, second) for first, second, _ in tried.tolist()})
        self.match(new, rows, progress)
        return new

    def match_image(
        self, row: ImageRow, there: Sequence[ImageRow], positions: Mapping[int, np.ndarray], checkpoint: Callable[[], None]
    ) -> None:
        """Match a new image with likely partners, and with twice as many where too few of them are good.

        Args:
            row: the new image.
            there: the images to match it with.
            positions: image id -> (3,) metres, for the images whose place is known.
            checkpoint: called before each round; it may raise.
        """
        for count in (max(1, self._config.max_pairs // 2), self._config.max_pairs):
            checkpoint()
            tried = self.tried.of(row.image_id)
            if sum(matches >= RICH_MATCHES for matches in tried.values()) >= RICH_PARTNERS:
                break
            with self._watch("pairs"):
                partners = [i for i in partners_of(row, there, positions, self.recognition, count) if i not in tried]
            self.match(sorted((min(row.image_id, i), max(row.image_id, i)) for i in partners), [row, *there])

    def match(self, pairs: Sequence[tuple[int, int]], rows: Sequence[ImageRow], progress: Progress | None = None) -> None:
        """Match pairs of image ids (smaller first) of ``rows``, verify them by epipolar geometry, and note what came of it.

        Each pair leaves a row in the database, an empty one where too few matches fit the geometry.
        """
        names = {row.image_id: database_name(row.file_name) for row in rows}
        with self._watch("matching"):
            for start in range(0, len(pairs), BATCH):
                batch = pairs[start : start + BATCH]
                self._features.match(self._database, batch, names)
                self.tried.note(self._database.verified(batch))
                if progress is not None:
                    progress("matching", min(start + BATCH, len(pairs)), len(pairs))
