"""Reliability of masks, and cannot-link weights of pairs of masks in one image, estimated from the other views.

A detector glues neighbours into one mask and breaks one house into several. The reliability of a mask, in [0, 1], says how
sure it is that the mask shows one object: it depends on how the *other* views divide its points. The cannot-link weight of two
masks of one image, in [0, 1], says how sure it is that they show two objects: it depends on whether other views hold the points
of both in one mask. The votes of these views are weighed by the same quantities, so a few rounds are needed.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from seg2d3d_ros.association.evidence import Groups, sample, shares, votes

ROUNDS = 4
RELIABILITY_PRIOR = 1.0
"""Weight, in views, of the prior that a mask shows one object."""
CANNOT_LINK_PRIOR = 3.0
"""Weight, in views, of the prior that two masks show two objects: detectors glue more than they split, and far away they nearly
always glue."""


def same_view_pairs(mask_view: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All ordered pairs of different masks of one view, as two (n,) arrays."""
    order = np.argsort(mask_view, kind="stable")
    sizes = np.bincount(mask_view)
    size = sizes[mask_view[order]]
    start = (np.cumsum(sizes) - sizes)[mask_view[order]]
    first = np.repeat(np.arange(len(order)), size)
    place = np.arange(len(first)) - np.repeat(np.cumsum(size) - size, size)
    second = np.repeat(start, size) + place
    different = first != second
    return order[first[different]], order[second[different]]


def weight_matrix(reliability: np.ndarray, pairs: tuple[np.ndarray, np.ndarray], cannot_link: np.ndarray) -> sparse.csr_matrix:
    """(M, M) ``weights`` of ``evidence``: ``reliability`` (M,) on the diagonal, minus ``cannot_link`` (n,) at the pairs."""
    count = len(reliability)
    masks = np.arange(count)
    data = np.concatenate([reliability, -cannot_link])
    place = (np.concatenate([masks, pairs[0]]), np.concatenate([masks, pairs[1]]))
    return sparse.csr_matrix((data, place), (count, count))


def reliability_by_views(masks: Groups, pairs: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The reliability of each mask and the cannot-link weight of each pair, where no objects are known yet.

    Args:
        masks: the points of each mask as a group; group i is mask i.
        pairs: (n,) and (n,) masks of one view (``same_view_pairs``).

    Returns:
        (M,) and (n,) in [0, 1].
    """
    count = len(masks)
    first, second = pairs
    mask_shares = shares(masks)
    own = mask_shares.inside.diagonal()
    own_weight = sample(mask_shares.weight, np.arange(count), masks.mask_view)
    common = (mask_shares.weight @ mask_shares.weight.T).tocsr()
    others = np.maximum(common.diagonal() - own_weight**2, 0.0)
    both = np.maximum(sample(common, first, second) - own_weight[first] * own_weight[second], 0.0)
    reliability, cannot_link = np.ones(count), np.ones(len(first))
    for _ in range(ROUNDS):
        total = votes(mask_shares, weight_matrix(reliability, pairs, cannot_link), outside=0.0)
        # The vote of a mask's own view is what is being tested, so it is no evidence.
        support = total.diagonal() - own**2 * reliability
        union = sample(total, first, second) + own[first] * own[second] * cannot_link
        reliability = np.clip((RELIABILITY_PRIOR + support) / (RELIABILITY_PRIOR + others), 0.0, 1.0)
        cannot_link = np.clip((CANNOT_LINK_PRIOR - union) / (CANNOT_LINK_PRIOR + both), 0.0, 1.0)
    return reliability, cannot_link


def reliability_by_objects(held: sparse.csr_matrix, pairs: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The same where objects are known: from the purity of each mask, and from the cosine of two masks' objects.

    Args:
        held: (M, objects) CSR weight of each object's points in each mask.
    """
    first, second = pairs
    total = np.asarray(held.sum(axis=1)).ravel()
    squares = np.asarray(held.multiply(held).sum(axis=1)).ravel()
    purity = (squares / np.maximum(total, 1e-9) + RELIABILITY_PRIOR) / (total + RELIABILITY_PRIOR)
    normalized = (sparse.diags(1.0 / np.sqrt(np.maximum(squares, 1e-12))) @ held).tocsr()
    cosine = np.asarray(normalized[first].multiply(normalized[second]).sum(axis=1)).ravel()
    known = np.minimum(total[first], total[second])
    cosine *= known / (known + RELIABILITY_PRIOR)
    return np.clip(2 * purity - 1, 0.0, 1.0), np.clip(1 - 2 * cosine, 0.0, 1.0)
