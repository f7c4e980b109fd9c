"""Labels of points by the votes of the views: each point for itself, or completed over superpoints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seg2d3d_ros.association.votes import vote_labels
from seg2d3d_ros.superpoints.shown_labels import ShownLabels, votes


def voted_labels(shown: Sequence[ShownLabels], count: int) -> tuple[np.ndarray, np.ndarray]:
    """What most views show at each of ``count`` points; near views count more, by the inverse of their distance.

    Returns:
        (count,) int32 labels, 0 = none, and (count,) float32 the winners' shares of the votes; 0 where no view sees a point.
    """
    return vote_labels(*votes(shown), count)


def completed_labels(shown: Sequence[ShownLabels], superpoint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same with the votes of all points of a superpoint counted together.

    So a point that no view sees gets the label of its superpoint, and one that most views show as another thing, at a ragged
    border or behind a twig, that of its neighbours. Superpoints that no view sees have no label.

    Args:
        superpoint: (N,) int32 of each point.
    """
    label, point, weight = votes(shown)
    winner, share = vote_labels(label, superpoint[point], weight, int(superpoint.max(initial=-1)) + 1)
    return winner[superpoint], share[superpoint]
