"""The published two-stage method, exact: the baseline to beat (arXiv 2605.26725, algorithm 1).

J(A, B) = |A n B| / |A u B| over the 3D points that two segments hold. Stage 1 takes the unassigned segment with the
most points as a fixed reference; its track is the reference and every unassigned segment with J > tau. Tracks with too
few points or images are dropped. Stage 2 merges tracks whose point unions have J >= tau_M, to a fixed point.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from seg2d3d_ros.sections.association_config import AssociationConfig


def published_tracks(matrix: sparse.csr_matrix, keyframes: np.ndarray, config: AssociationConfig) -> np.ndarray:
    """Assign segments to tracks.

    Args:
        matrix: (S, P) segments × points, non-zero where the segment holds the point.
        keyframes: (S,) the keyframe of each segment.

    Returns:
        (S,) int64 track of each segment, 0 = none, else 1, 2, … in the order of discovery (largest reference first).
    """
    held = matrix.astype(bool).astype(np.int32)
    track = _stage_one(held, config.similarity)
    track = _keep_supported(held, keyframes, track, config.min_points, config.min_images)
    return _stage_two(held, track, config.merge_similarity)


def _stage_one(held: sparse.csr_matrix, similarity: float) -> np.ndarray:
    """Seeded greedy association; (S,) track numbers from 1. Segments without points stay 0."""
    size = np.diff(held.indptr)
    common = (held @ held.T).tocsr()
    track = np.zeros(held.shape[0], np.int64)
    count = 0
    for reference in np.argsort(-size, kind="stable"):
        if track[reference] or size[reference] == 0:
            continue
        count += 1
        row = slice(common.indptr[reference], common.indptr[reference + 1])
        others, shared = common.indices[row], common.data[row]
        jaccard = shared / (size[reference] + size[others] - shared)
        track[others[(jaccard > similarity) & (track[others] == 0)]] = count
        track[reference] = count
    return track


def _unions(held: sparse.csr_matrix, track: np.ndarray) -> sparse.csr_matrix:
    """(T + 1, P) int32 CSR, one where a track holds a point; row 0 is empty."""
    rows = np.flatnonzero(track)
    member = sparse.csr_matrix(
        (np.ones(len(rows), np.int32), (track[rows], rows)), (int(track.max(initial=0)) + 1, held.shape[0])
    )
    unions = (member @ held).tocsr()
    unions.data[:] = 1
    return unions


def _keep_supported(
    held: sparse.csr_matrix, keyframes: np.ndarray, track: np.ndarray, min_points: int, min_images: int
) -> np.ndarray:
    """Drop tracks with fewer distinct points or images; the numbers stay ascending without gaps."""
    points = np.diff(_unions(held, track).indptr)
    pairs = np.unique(np.stack([track, keyframes]), axis=1)
    images = np.bincount(pairs[0].astype(np.int64), minlength=len(points))
    keep = (points >= min_points) & (images >= min_images)
    keep[0] = False
    return np.where(keep, np.cumsum(keep), 0)[track]


def _stage_two(held: sparse.csr_matrix, track: np.ndarray, merge_similarity: float) -> np.ndarray:
    """Merge tracks until no two point unions are that similar; the earlier track absorbs the later one."""
    while True:
        unions = _unions(held, track)
        size = np.diff(unions.indptr)
        common = sparse.triu(unions @ unions.T, k=1).tocoo()
        jaccard = common.data / (size[common.row] + size[common.col] - common.data)
        similar = np.flatnonzero(jaccard >= merge_similarity)
        if len(similar) == 0:
            return track
        # One merge at a time, first pair first: the union has grown, so the others must be judged anew.
        first = similar[np.lexsort((common.col[similar], common.row[similar]))[0]]
        keep, gone = common.row[first], common.col[first]
        track = np.where(track == gone, keep, track)
        track = np.where(track > gone, track - 1, track)
