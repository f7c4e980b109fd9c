"""Labels of points: a weighted vote of the segments that hold a point."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def vote_points(
    matrix: sparse.csr_matrix, segment_instance: np.ndarray, entry_instance: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The instance of each point and how sure it is.

    Args:
        matrix: (S, P) weights.
        segment_instance: (S,) instance ids, 0 = none. Segments without an instance vote for "none".
        entry_instance: (N,) for segments that show several instances: which one each non-zero of the matrix votes for, in
            the matrix's order.

    Returns:
        (P,) int32 instance with the most weight (ties: the lower id), 0 where no segment with an instance holds the point;
        (P,) float32 confidence, the winner's share of all segments' votes, 0 where there is no instance.
    """
    points = matrix.shape[1]
    entries = matrix.tocoo()
    total = np.bincount(entries.col, entries.data, points)
    instance = segment_instance[entries.row] if entry_instance is None else entry_instance
    named = instance > 0
    if not named.any():
        return np.zeros(points, np.int32), np.zeros(points, np.float32)
    size = (int(instance.max()) + 1, points)
    votes = (
        sparse.coo_matrix((entries.data[named].astype(np.float64), (instance[named], entries.col[named])), size).tocsr().tocoo()
    )
    # Sorted by point, then weight descending, then id ascending: the first row of each point is its winner.
    order = np.lexsort((votes.row, -votes.data, votes.col))
    winners = order[np.concatenate([[True], np.diff(votes.col[order]) > 0])]
    point_instance = np.zeros(points, np.int32)
    confidence = np.zeros(points, np.float32)
    point_instance[votes.col[winners]] = votes.row[winners]
    confidence[votes.col[winners]] = votes.data[winners] / total[votes.col[winners]]
    return point_instance, confidence


def agreement(matrix: sparse.csr_matrix, segment_instance: np.ndarray, point_instance: np.ndarray) -> np.ndarray:
    """(S,) float64 of the labelled points in each segment, the share that have the segment's instance; near 1 for few points.

    Args:
        matrix: (S, P), whatever the weights.
        segment_instance: (S,) 0 = none: then the share is that of nothing, 1 / (1 + labelled points).
        point_instance: (P,) 0 = none.
    """
    entries = matrix.tocoo()
    mask, point = segment_instance[entries.row], point_instance[entries.col]
    held = np.bincount(entries.row[point > 0], minlength=len(segment_instance))
    mine = np.bincount(entries.row[(point > 0) & (mask == point)], minlength=len(segment_instance))
    return np.asarray((mine + 1.0) / (held + 1.0))


def vote_labels(label: np.ndarray, point: np.ndarray, weight: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The label that each of ``count`` points gets by N votes (point, label, weight), label 0 among them.

    Returns:
        (count,) int32 labels, 0 without votes, and (count,) float32 winners' shares of the votes.
    """
    ids, place = np.unique(label, return_inverse=True)
    votes = sparse.csr_matrix((weight, (place, point)), (len(ids), count), dtype=np.float32)
    winner, share = vote_points(votes, np.arange(1, len(ids) + 1))
    return np.append(ids, 0)[winner - 1].astype(np.int32), share
