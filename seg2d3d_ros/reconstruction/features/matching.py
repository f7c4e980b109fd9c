"""Match and verify pairs of images inside the database."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seg2d3d_ros.colmap import load_pycolmap, thread_count

BATCH = 64
"""Pairs between two reports of progress; what is done is in the database and need not be done again."""


def match_pairs(
    database: Path,
    pairs: Sequence[tuple[int, int]],
    names: Mapping[int, str],
    *,
    min_inliers: int,
    seed: int,
    threads: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Match ``pairs`` of image ids (with the database's ``names``) and verify them by epipolar geometry.

    Each pair leaves a row in the database, an empty one where fewer than ``min_inliers`` matches agree.
    """
    pycolmap = load_pycolmap()
    matching: Any = pycolmap.FeatureMatchingOptions()
    matching.use_gpu = False
    matching.num_threads = thread_count(threads)
    verification: Any = pycolmap.TwoViewGeometryOptions()
    verification.min_num_inliers = min_inliers
    verification.ransac.random_seed = seed
    with tempfile.TemporaryDirectory(prefix="seg2d3d_") as folder:
        for start in range(0, len(pairs), BATCH):
            batch = pairs[start : start + BATCH]
            listing = Path(folder) / "pairs.txt"
            listing.write_text("".join(f"{names[a]} {names[b]}\n" for a, b in batch), encoding="utf-8")
            pairing: Any = pycolmap.ImportedPairingOptions()
            pairing.match_list_path = listing
            pycolmap.match_image_pairs(database, matching, pairing, verification, pycolmap.Device.cpu)
            if progress is not None:
                progress(min(start + BATCH, len(pairs)), len(pairs))
