"""Images drawn as text: each character is one object or label, ``.`` is none, ``#`` is ignored."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from seg2d3d_ros.evaluation.overlaps import IGNORE, OverlapCounter, Overlaps


def picture(text: str) -> np.ndarray:
    """(H, W) uint16 of rows separated by ``/``; digits are themselves, letters a = 10, b = 11, ..."""
    values = {".": 0, "#": IGNORE}
    return np.array([[values[c] if c in values else int(c, 36) for c in row] for row in text.split("/")], np.uint16)


def count_overlaps(images: Iterable[tuple[str, np.ndarray, np.ndarray]]) -> Overlaps:
    """Overlaps of (name, truth, regions) images; see ``OverlapCounter.add``."""
    counter = OverlapCounter()
    for name, truth, regions in images:
        counter.add(name, truth, regions)
    return counter.finish()


def overlaps(*images: tuple[str, str]) -> Overlaps:
    """Overlaps of (truth, regions) text images, named 0, 1, 2, ..."""
    return count_overlaps((str(k), picture(truth), picture(regions)) for k, (truth, regions) in enumerate(images))


WIDTH = 400
"""Wide enough that two overlaps are rarely equal: which of two equals wins depends on the ids."""


def random_images(seed: int, images: int = 6, objects: int = 5, labels: int = 6) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Truth stripes, and regions that follow them with errors: jittered borders, swaps, misses, ignored pixels."""
    rng = np.random.default_rng(seed)
    made = []
    for k in range(images):
        edges = np.sort(rng.choice(np.arange(10, WIDTH), objects, replace=False))
        moved = np.sort(np.clip(edges + rng.integers(-20, 21, objects), 0, WIDTH))
        stripe_object = rng.permutation(objects + 1)
        stripe_label = np.where(rng.random(objects + 1) < 0.8, stripe_object, rng.integers(0, labels + 1, objects + 1))
        truth = stripe_object[np.searchsorted(edges, np.arange(WIDTH), side="right")]
        truth = np.where(rng.random(WIDTH) < 0.03, IGNORE, truth)
        regions = stripe_label[np.searchsorted(moved, np.arange(WIDTH), side="right")]
        made.append((f"image{k}", np.tile(truth, (2, 1)).astype(np.uint16), np.tile(regions, (2, 1)).astype(np.uint16)))
    return made
