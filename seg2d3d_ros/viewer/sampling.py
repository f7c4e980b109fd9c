"""A bounded share of a cloud that is fair to its instances and to its places."""

from __future__ import annotations

import numpy as np

from seg2d3d_ros.arrays import places

LABELLED_SHARE = 0.75
"""Of the points that may be shown, as many belong to instances, if there are so many."""
COARSER = 1.3
"""A grid of more cells than points are wanted is made so many times as coarse, until it has fewer."""
HALF_RANGE = 2**20
"""Cells on each side of the first one that are told apart."""


def choose_points(xyz: np.ndarray, instance: np.ndarray, most: int) -> np.ndarray:
    """(M,) ascending indices of at most ``most`` points (N, 3), with instance ids (N,), 0 = none.

    Instances with few points keep all of them; the others get equally many. Within an instance every cell of a grid gives one
    point before any gives a second one. The same cloud gives the same choice.
    """
    if len(xyz) <= most:
        return np.arange(len(xyz))
    ids, place = np.unique(instance, return_inverse=True)
    sizes = np.bincount(place.ravel(), minlength=len(ids))
    labelled, quota = ids != 0, np.zeros(len(ids), int)
    for_none = min(int(sizes[~labelled].sum()), max(most - int(sizes[labelled].sum()), round((1 - LABELLED_SHARE) * most)))
    quota[labelled] = equal_shares(sizes[labelled], most - for_none)
    quota[~labelled] = for_none
    groups = places(place.ravel(), len(ids))
    chosen = [mine[_spread(xyz[mine], int(count))] for mine, count in zip(groups, quota, strict=True)]
    return np.sort(np.concatenate(chosen))


def equal_shares(sizes: np.ndarray, total: int) -> np.ndarray:
    """(G,) how many each of G groups gets of ``total``: equally many, but none more than it has (G,)."""
    shares, left, order = np.zeros(len(sizes), int), max(total, 0), np.argsort(sizes, kind="stable")
    for rank, group in enumerate(order):
        shares[group] = min(int(sizes[group]), left // (len(sizes) - rank))
        left -= shares[group]
    return shares


def _spread(xyz: np.ndarray, count: int) -> np.ndarray:
    """Indices of ``count`` points: those first that are the first ones of their cell, of a grid of about ``count`` cells."""
    if count >= len(xyz):
        return np.arange(len(xyz))
    if count <= 0:
        return np.empty(0, int)
    shuffled = np.random.default_rng(0).permutation(len(xyz))
    low, high = np.percentile(xyz, [2, 98], axis=0)
    extent = np.sort(np.maximum(high - low, 1e-9))
    side = float(np.sqrt(extent[1] * extent[2] / count)) / COARSER**2
    while True:
        cell = (np.floor((xyz[shuffled] - low) / side) + HALF_RANGE).clip(0, 2 * HALF_RANGE - 1).astype(np.int64)
        keys = (cell[:, 0] << 42) | (cell[:, 1] << 21) | cell[:, 2]
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(keys[order]) > 0])
        if len(starts) <= count:
            break
        side *= COARSER
    rank = np.empty(len(xyz), np.int64)
    rank[order] = np.arange(len(xyz)) - np.repeat(starts, np.diff(np.r_[starts, len(xyz)]))
    return shuffled[np.argsort(rank, kind="stable")[:count]]
