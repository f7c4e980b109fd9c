"""What counts as enough for a pair, a pose and a first pair, by the evidence at hand.

Where pairs share plenty of matches, wrong poses are the danger (repeated façades): the strict thresholds hold. Where they
share few, missing poses are the danger: the lenient ones do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

PLENTY = 100
"""Evidence from which the strict thresholds hold."""
PARTNERS = 3
"""The evidence for an image is the number of matches with its third-best partner."""


@dataclass(frozen=True)
class Thresholds:
    """What counts as enough.

    Attributes:
        pair: verified matches of a pair that counts.
        pose: inliers of an absolute pose.
        init_inliers: verified matches of a first pair.
        init_angle: degrees between the rays of a first pair.
        init_points: points that a first pair must leave after its adjustment (online mapper only, as all below).
        init_forward: largest share of a first pair's motion along the viewing direction.
        two_view_tracks: whether points that only two images match are triangulated.
        angle: degrees between the rays of a point.
    """

    pair: int
    pose: int
    init_inliers: int
    init_angle: float
    init_points: int
    init_forward: float = 0.95
    two_view_tracks: bool = False
    angle: float = 1.5

    @classmethod
    def strict(cls, min_matches: int) -> Thresholds:
        """For plentiful evidence; ``min_matches`` is the smallest number of verified matches that makes a pair at all."""
        return cls(2 * min_matches, 60, 100, 16.0, 50)

    @classmethod
    def lenient(cls, min_matches: int) -> Thresholds:
        """For scarce evidence."""
        return cls(min_matches, 15, 50, 4.0, 40, two_view_tracks=True, angle=0.75)


def evidence(matches: Iterable[Collection[int]]) -> float:
    """Median over the images of the number of verified matches with the third-best partner; 0 without images.

    Args:
        matches: per image, its verified matches with each partner.
    """
    best = [sorted(counts, reverse=True) for counts in matches]
    return float(np.median([counts[min(PARTNERS, len(counts)) - 1] if counts else 0 for counts in best])) if best else 0.0
