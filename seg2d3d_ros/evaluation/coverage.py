"""Coverage: in how many of its images does an object carry one and the same id? (arXiv 2605.26725, over all objects)

m(g, p) = images of truth object g in which the mask of track p matches g (mask IoU ≥ θ); F_g = images of g;
D_g = images of g in which any raw mask matches g, so that an association alone could have been right.
The released evaluation averages over the pairs that its own tracker covers by 30 %; this one counts every object.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from seg2d3d_ros.evaluation.overlaps import THETA, Overlaps


def match_counts(overlaps: Overlaps, theta: float = THETA) -> sparse.csr_matrix:
    """(G, P) int64 CSR, m(g, p)."""
    return overlaps.count_pairs(overlaps.pair_iou >= theta)


def detected_images(raw: Overlaps, theta: float = THETA) -> np.ndarray:
    """(G,) |D_g| of the raw masks, whatever their labels."""
    matched = np.unique(raw.pair_truth[raw.pair_iou >= theta])
    return np.bincount(raw.truth_object[matched], minlength=len(raw.object_ids))


def coverage_metrics(overlaps: Overlaps, detected: np.ndarray, theta: float = THETA) -> dict[str, float | None]:
    """The three coverages.

    * ``coverage``: mean over all g of max_p m(g, p) / |F_g|.
    * ``adjusted_coverage``: mean over g with |D_g| > 0 of min(1, max_p m(g, p) / |D_g|).
    * ``coverage_one_to_one``: mean over all g of m(g, p) / |F_g| with each track serving at most one object: the
      one-to-one assignment with the largest such mean.

    Args:
        overlaps: of the tracks.
        detected: (G,) |D_g|.

    Returns:
        The figures; None where there is no object to average over.
    """
    counts = match_counts(overlaps, theta)
    best = _row_max(counts)
    images = overlaps.object_images
    found = detected > 0
    return {
        "coverage": mean(best / images),
        "adjusted_coverage": mean(np.minimum(1.0, best[found] / detected[found])),
        "coverage_one_to_one": mean(one_to_one(counts, 1.0 / images)),
    }


def one_to_one(counts: sparse.csr_matrix, row_weight: np.ndarray) -> np.ndarray:
    """(G,) weighted count of each row under the one-to-one assignment of rows and columns with the largest sum."""
    used = np.flatnonzero(np.diff(counts.tocsc().indptr))
    dense = counts[:, used].toarray() * row_weight[:, None]
    rows, columns = linear_sum_assignment(dense, maximize=True)
    served = np.zeros(counts.shape[0])
    served[rows] = dense[rows, columns]
    return served


def object_table(overlaps: Overlaps, detected: np.ndarray, theta: float = THETA) -> list[dict[str, Any]]:
    """One row per object: its id, images (|F_g|), images with a matching raw mask (|D_g|), the track that matches it in
    most images (lowest label of equals, None if none does), in how many, the share (coverage), and how many tracks
    match it anywhere."""
    counts = match_counts(overlaps, theta)
    table = []
    for row, object_id in enumerate(overlaps.object_ids):
        mine = counts.getrow(row).toarray()[0]
        best = int(mine.argmax()) if mine.any() else None
        matched = 0 if best is None else int(mine[best])
        table.append(
            {
                "id": int(object_id),
                "images": int(overlaps.object_images[row]),
                "detected_images": int(detected[row]),
                "best_track": None if best is None else int(overlaps.track_labels[best]),
                "matched_images": matched,
                "coverage": matched / int(overlaps.object_images[row]),
                "tracks": int(np.count_nonzero(mine)),
            }
        )
    return table


def mean(values: np.ndarray) -> float | None:
    """The mean, or None of nothing."""
    return float(np.mean(values)) if len(values) else None


def _row_max(counts: sparse.csr_matrix) -> np.ndarray:
    if counts.shape[1] == 0:
        return np.zeros(counts.shape[0], np.int64)
    return counts.max(axis=1).toarray().ravel()
