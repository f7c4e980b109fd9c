"""Neighbourhoods of a cloud at coarser and coarser levels: all that the network must know of geometry, computed beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

LEVELS = 4
NEIGHBOURS = 10
"""Of each point at its level, itself among them."""


@dataclass(frozen=True)
class Level:
    """N points and their neighbours; the first level's are the cloud's own.

    Attributes:
        xyz: (N, 3) float32.
        near: (N, K) int64 nearest points, itself first.
        offset: (N, K, 3) float32 to them, in units of the level's voxel.
        parent: (N,) int64 the point of the next level that stands for each one; empty at the last.
    """

    xyz: np.ndarray
    near: np.ndarray
    offset: np.ndarray
    parent: np.ndarray


def point_pyramid(xyz: np.ndarray, voxel: float) -> list[Level]:
    """``LEVELS`` levels of a cloud (N, 3) float32 in which points are about ``voxel`` metres apart; each next level has the
    means of the points in cubes twice as large."""
    levels = []
    for number in range(LEVELS):
        side = voxel * 2**number
        wanted = min(NEIGHBOURS, len(xyz))
        near = cKDTree(xyz).query(xyz, k=[*range(1, wanted + 1)])[1].astype(np.int64)
        offset = ((xyz[near] - xyz[:, None]) / side).astype(np.float32)
        parent = np.empty(0, np.int64)
        coarse = xyz
        if number + 1 < LEVELS:
            cell = np.floor(xyz / (2 * side)).astype(np.int64)
            cell -= cell.min(axis=0)
            size = cell.max(axis=0) + 1
            key = (cell[:, 0] * size[1] + cell[:, 1]) * size[2] + cell[:, 2]
            _, parent, count = np.unique(key, return_inverse=True, return_counts=True)
            parent = parent.ravel()
            coarse = np.stack([np.bincount(parent, xyz[:, axis]) for axis in range(3)], axis=1) / count[:, None]
        levels.append(Level(xyz, near, offset, parent))
        xyz = coarse.astype(np.float32)
    return levels
