"""What features of any kind have to offer, and how their matches are verified."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.disk.leftovers import ScratchFolder
from seg2d3d_ros.reconstruction.database import FeatureDatabase
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig


class LocalFeatures(Protocol):
    """Finds keypoints in one image, and matches those of two."""

    def find(self, gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The features of (H, W) uint8 grey, the most useful ones where there are too many.

        Returns:
            (N, 4) float32 keypoints x, y, scale, orientation in pixels of ``gray`` (first pixel's centre at 0.5, 0.5), and
            (N, D) descriptors, uint8 or float32.
        """
        ...

    def match(self, database: FeatureDatabase, pairs: Sequence[tuple[int, int]], names: Mapping[int, str]) -> None:
        """Match pairs of image ids (smaller first) that were not tried before, and verify them by epipolar geometry.

        Each pair leaves a row in the database, an empty one where too few matches fit the geometry.

        Args:
            names: image id -> name in the database.
        """
        ...


def verification(config: ReconstructionConfig) -> pycolmap.TwoViewGeometryOptions:
    """How matches of any features are verified."""
    options = pycolmap.TwoViewGeometryOptions()
    options.min_num_inliers = config.min_pair_inliers
    options.ransac.random_seed = config.seed
    return options


@contextmanager
def pair_list(pairs: Sequence[tuple[int, int]], names: Mapping[int, str]) -> Iterator[Path]:
    """A file that names pairs of images as COLMAP reads them."""
    with (scratch := ScratchFolder()) as folder:
        path = Path(folder) / "pairs.txt"
        try:
            path.write_text("".join(f"{names[a]} {names[b]}\n" for a, b in pairs), encoding="utf-8")
        except OSError as error:
            raise scratch.failure(error) from error
        yield path
