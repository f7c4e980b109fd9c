"""The images of a large model in overlapping groups, each small enough for a full covariance matrix."""

from __future__ import annotations

import numpy as np
from scipy import sparse

WHOLE = 300
"""Images up to which a model is taken as a whole: 1800 unknowns, 26 MB a matrix, seconds of time."""
CORE = WHOLE // 2


def image_windows(centers: np.ndarray, seen: sparse.csr_matrix) -> list[np.ndarray]:
    """(n,) ascending rows of the images of each window; every image is in one at least.

    The images are halved across the longest side of their places until at most ``CORE`` are left; to each such core come
    the images that see most of its points, so that what a window leaves out says little about its core.

    Args:
        centers: (K, 3) of the cameras.
        seen: (K, P) CSR, which points each sees.
    """
    count = len(centers)
    if count <= WHOLE:
        return [np.arange(count, dtype=np.int32)]
    seen = (seen > 0).astype(np.int64)
    windows = []
    parts = [np.arange(count)]
    while parts:
        part = parts.pop()
        if len(part) > CORE:
            order = part[np.argsort(centers[part, np.ptp(centers[part], axis=0).argmax()], kind="stable")]
            parts += [order[: len(order) // 2], order[len(order) // 2 :]]
            continue
        points = np.asarray(seen[part].sum(axis=0)).ravel() > 0
        shared = np.asarray(seen[:, points].sum(axis=1)).ravel()
        shared[part] = 0
        others = np.argsort(-shared, kind="stable")[: WHOLE - len(part)]
        windows.append(np.sort(np.concatenate([part, others[shared[others] > 0]])).astype(np.int32))
    return windows
