"""Images drawn as text: each character is one object or label, ``.`` is none, ``#`` is ignored."""

from __future__ import annotations

import numpy as np

from seg2d3d_ros.evaluation.overlaps import IGNORE, Overlaps, count_overlaps


def picture(text: str) -> np.ndarray:
    """(H, W) uint16 of rows separated by ``/``; digits are themselves, letters a = 10, b = 11, ..."""
    values = {".": 0, "#": IGNORE}
    return np.array([[values[c] if c in values else int(c, 36) for c in row] for row in text.split("/")], np.uint16)


def overlaps(*images: tuple[str, str]) -> Overlaps:
    """Overlaps of (truth, regions) text images, named 0, 1, 2, ..."""
    return count_overlaps((str(k), picture(truth), picture(regions)) for k, (truth, regions) in enumerate(images))


def random_images(seed: int, images: int = 6, objects: int = 5, labels: int = 6) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Truth stripes, and regions that follow them with errors: jittered borders, swaps, misses, ignored pixels."""
    rng = np.random.default_rng(seed)
    made = []
    for k in range(images):
        edges = np.sort(rng.choice(np.arange(1, 40), objects, replace=False))
        truth = rng.permutation(objects + 1)[np.searchsorted(edges, np.arange(40), side="right")]
        moved = np.clip(edges + rng.integers(-2, 3, objects), 0, 40)
        region = np.where(rng.random(objects + 1) < 0.8, truth_ids(truth, edges), rng.integers(0, labels + 1, objects + 1))
        regions = region[np.searchsorted(np.sort(moved), np.arange(40), side="right")]
        truth = np.where(rng.random(40) < 0.03, IGNORE, truth)
        made.append((f"image{k}", np.tile(truth, (3, 1)).astype(np.uint16), np.tile(regions, (3, 1)).astype(np.uint16)))
    return made


def truth_ids(truth: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The value of each stripe."""
    return truth[np.concatenate([[0], edges])]
