"""Reliability of masks, and cannot-link weights of pairs of masks in one image, estimated from the other views.

A detector glues neighbours into one mask and breaks one house into several. The reliability of a mask, in [0, 1], says how
sure it is that the mask shows one object: it depends on how the *other* views divide its points. The cannot-link weight of two
masks of one image, in [0, 1], says how sure it is that they show two objects: it depends on whether other views hold the points
of both in one mask. The votes of these views are weighed by the same quantities, so a few rounds are needed.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from seg2d3d_ros.association.evidence import Groups, common_weight, sample, shares, votes

ROUNDS = 4
RELIABILITY_PRIOR = 1.0
"""Weight, in views, of the prior that a mask shows one object."""
APART_PRIOR = 0.5
"""How sure it is that two objects are two where no other view sees both: nobody knows."""
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


def reliability_by_objects(groups: Groups, pairs: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The same where objects are known.

    A mask is the less reliable, the more it mixes objects that the *other* views hold apart. That it holds two objects is by
    itself no reason to doubt it: it may be the only view of both halves of one house, which its vote then unites. The
    cannot-link weight of two masks follows from the cosine of their objects.

    Args:
        groups: the objects, as groups of points; their ``inside`` (objects, M) is what each mask holds of them.

    Returns:
        (M,) and (n,) in [0, 1].
    """
    first, second = pairs
    held = groups.inside.T.tocsr()
    total = np.asarray(held.sum(axis=1)).ravel()
    squares = np.asarray(held.multiply(held).sum(axis=1)).ravel()
    normalized = (sparse.diags(1.0 / np.sqrt(np.maximum(squares, 1e-12))) @ held).tocsr()
    cosine = np.asarray(normalized[first].multiply(normalized[second]).sum(axis=1)).ravel()
    known = np.minimum(total[first], total[second])
    cosine *= known / (known + RELIABILITY_PRIOR)
    cannot_link = np.clip(1 - 2 * cosine, 0.0, 1.0)

    def reliability(mixed: np.ndarray) -> np.ndarray:
        doubt = mixed * total / (total + RELIABILITY_PRIOR)
        return np.clip(1 - 2 * doubt, 0.0, 1.0)

    mask, left, right, share = _mixtures(held, total)
    impure = reliability(np.bincount(mask, share, len(total)))
    apart = _apart_elsewhere(groups, weight_matrix(impure, pairs, cannot_link), mask, left, right)
    return reliability(np.bincount(mask, share * apart, len(total))), cannot_link


def _mixtures(held: sparse.csr_matrix, total: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Every ordered pair of different objects in a mask: the mask, the two objects, and the product of their shares."""
    size = np.diff(held.indptr).astype(np.int64)
    entry = np.arange(held.nnz)
    row = np.repeat(np.arange(held.shape[0]), size)
    left = np.repeat(entry, size[row])
    place = np.arange(len(left)) - np.repeat(np.cumsum(size[row]) - size[row], size[row])
    right = held.indptr[row[left]] + place
    left, right = left[left != right], right[left != right]
    share = held.data / np.maximum(total, 1e-9)[row]
    return row[left], held.indices[left], held.indices[right], share[left] * share[right]


def _apart_elsewhere(
    groups: Groups, weights: sparse.csr_matrix, mask: np.ndarray, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """(n,) in [0, 1]: how sure the other views are that two objects, which a mask holds, are two."""
    group_shares = shares(groups)
    view = groups.mask_view[mask]
    total = sample(votes(group_shares, weights, outside=0.0), left, right)
    common = common_weight(group_shares, left, right)
    # The shares of one view alone, a row for each object and view: the vote of the mask's own view is what is being tested.
    entries = group_shares.inside.tocoo()
    keys, row = np.unique(groups.mask_view[entries.col] * len(groups) + entries.row, return_inverse=True)
    of_view = sparse.csr_matrix((entries.data, (row, entries.col)), (len(keys), len(groups.mask_view)))
    first, second = (of_view[np.searchsorted(keys, view * len(groups) + objects)] for objects in (left, right))
    own = np.asarray((first @ weights).multiply(second).sum(axis=1)).ravel()
    own_weight = sample(group_shares.weight, left, view) * sample(group_shares.weight, right, view)
    return np.clip((APART_PRIOR - (total - own)) / (1.0 + np.maximum(common - own_weight, 0.0)), 0.0, 1.0)
