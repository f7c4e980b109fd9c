"""Which masks show one object, and which pairs of masks of one image show two: the other views know.

A detector glues neighbours into one mask and breaks one house into several. Each mask is judged by how the *other* views
divide its points, and each pair of masks of one image by whether other views hold both in one mask. The judges are weighed
by their own reliability, so a few rounds are needed.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from seg2d3d_ros.association.evidence import Groups, sample, shares, votes

ROUNDS = 4
WHOLE_PRIOR = 1.0
"""Views that a mask's own claim to show one object is worth."""
APART_PRIOR = 3.0
"""Views that two masks' claim to be two objects is worth: detectors glue (far away, nearly always) more than they split."""


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


def trust_matrix(whole: np.ndarray, pairs: tuple[np.ndarray, np.ndarray], apart: np.ndarray) -> sparse.csr_matrix:
    """(M, M) Q of ``evidence``: ``whole`` (M,) on the diagonal, minus ``apart`` (n,) at the pairs."""
    count = len(whole)
    masks = np.arange(count)
    data = np.concatenate([whole, -apart])
    place = (np.concatenate([masks, pairs[0]]), np.concatenate([masks, pairs[1]]))
    return sparse.csr_matrix((data, place), (count, count))


def judge_by_views(masks: Groups, pairs: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """How far each mask is one object, and each pair two.

    Args:
        masks: the points of each mask as a group; group i is mask i.

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
    whole, apart = np.ones(count), np.ones(len(first))
    for _ in range(ROUNDS):
        trust = trust_matrix(whole, pairs, apart)
        total = votes(mask_shares, trust, outside=0.0)
        # What a mask's own view says of it is the claim to be judged, no evidence.
        support = total.diagonal() - own**2 * whole
        union = sample(total, first, second) + own[first] * own[second] * apart
        whole = np.clip((WHOLE_PRIOR + support) / (WHOLE_PRIOR + others), 0.0, 1.0)
        apart = np.clip((APART_PRIOR - union) / (APART_PRIOR + both), 0.0, 1.0)
    return whole, apart


def judge_by_objects(held: sparse.csr_matrix, pairs: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The same, when the objects are known: masks of several objects, and pairs that show the same one.

    Args:
        held: (M, objects) CSR weight of each object's points in each mask.
    """
    first, second = pairs
    total = np.asarray(held.sum(axis=1)).ravel()
    squares = np.asarray(held.multiply(held).sum(axis=1)).ravel()
    purity = (squares / np.maximum(total, 1e-9) + WHOLE_PRIOR) / (total + WHOLE_PRIOR)
    unit = (sparse.diags(1.0 / np.sqrt(np.maximum(squares, 1e-12))) @ held).tocsr()
    alike = np.asarray(unit[first].multiply(unit[second]).sum(axis=1)).ravel()
    known = np.minimum(total[first], total[second])
    alike *= known / (known + WHOLE_PRIOR)
    return np.clip(2 * purity - 1, 0.0, 1.0), np.clip(1 - 2 * alike, 0.0, 1.0)
