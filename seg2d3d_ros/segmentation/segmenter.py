"""What every segmenter offers and checks, and how a label image becomes ``Segments``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.types import Keyframe, Segments


class Segmenter(Protocol):
    """Cuts out the objects that the prompts name, one keyframe at a time."""

    def segment(self, keyframe: Keyframe) -> Segments | None:
        """The objects of one keyframe, in the size of its image; None where nobody looked for objects in it.

        Raises:
            DataError: this keyframe cannot be segmented; others may still work.
        """
        ...

    def close(self) -> None:
        """Free what the segmenter holds; it is not used afterwards."""
        ...


def require_prompts(prompts: Sequence[str]) -> None:
    """Raise ``UsageError`` where there are no prompts."""
    if not prompts:
        raise UsageError("no prompts: name at least one class of objects, e.g. --label building")


def no_segments(name: str, shape: tuple[int, int]) -> Segments:
    """The answer "nothing found" for an image of ``shape`` (H, W)."""
    return Segments(name, np.zeros(shape, np.uint16), np.zeros(0, np.uint16), np.zeros(0, np.int32), np.zeros(0, np.float32))


def segments_from_labels(
    name: str, labels: np.ndarray, class_and_score: Callable[[int], tuple[int, float] | None], min_area: float = 0.0
) -> Segments:
    """Build ``Segments`` from a label image.

    Args:
        labels: (H, W) unsigned, 0 = none.
        class_and_score: for a segment id its 1-based class and its score, or None to drop the segment.
        min_area: segments with fewer than this share of the image's pixels are dropped.
    """
    counts = np.bincount(labels.ravel())
    kept: list[tuple[int, int, float]] = []
    for segment in np.flatnonzero(counts):
        facts = class_and_score(int(segment)) if segment > 0 and counts[segment] >= min_area * labels.size else None
        if facts is not None:
            kept.append((int(segment), *facts))
    table = np.zeros(len(counts), np.uint16)
    ids = np.array([row[0] for row in kept], np.uint16)
    table[ids] = ids
    return Segments(
        name, table[labels], ids, np.array([row[1] for row in kept], np.int32), np.array([row[2] for row in kept], np.float32)
    )
