"""An octree over a cloud whose nodes are levels of detail: what a viewer loads first is a thin, even sample of the whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

GRID = 128
"""A node holds at most one point in each cell of a grid of so many cells along each side, the last level aside."""
DEEPEST = 12
FEW = 4096
"""A node with at most so many points left keeps them all."""


def root_cube(xyz: np.ndarray) -> tuple[np.ndarray, float]:
    """(3,) centre and half the side of the cube around (N, 3), N ≥ 1."""
    low, high = xyz.min(axis=0), xyz.max(axis=0)
    return (low + high) / 2.0, max(float((high - low).max()) / 2.0 * (1.0 + 1e-9), 1e-3)


def octree_nodes(xyz: np.ndarray, center: np.ndarray, half: float) -> Iterator[tuple[tuple[int, int, int, int], np.ndarray]]:
    """Every node as (level, x, y, z), and the places of its points in (N, 3); each point is in one node.

    The points of a cell come in an order by lot (with a fixed seed), so that a level is no strip of what was written first.
    """
    rest = np.random.default_rng(0).permutation(len(xyz))
    share = np.clip((xyz - (center - half)) / (2.0 * half), 0.0, np.nextafter(1.0, 0.0))
    for level in range(DEEPEST + 1):
        side = 2**level
        cell = (share[rest] * side).astype(np.int64)
        node = (cell[:, 0] * side + cell[:, 1]) * side + cell[:, 2]
        kept = np.ones(len(rest), bool)
        if level < DEEPEST:
            inside = (share[rest] * side - cell) * GRID
            place = inside.astype(np.int64).clip(0, GRID - 1)
            voxel = (place[:, 0] * GRID + place[:, 1]) * GRID + place[:, 2]
            _, owner, size = np.unique(node, return_inverse=True, return_counts=True)
            order = np.lexsort((voxel, node))
            new = np.ones(len(rest), bool)
            new[1:] = (np.diff(node[order]) != 0) | (np.diff(voxel[order]) != 0)
            kept[order] = new
            kept |= size[owner] <= FEW
        chosen = rest[kept]
        order = np.argsort(node[kept], kind="stable")
        keys, first = np.unique(node[kept][order], return_index=True)
        for key, places in zip(keys.tolist(), np.split(chosen[order], first[1:]), strict=False):
            yield (level, key // (side * side), key // side % side, key % side), places
        rest = rest[~kept]
        if len(rest) == 0:
            return
