"""The surface around a 3D point: its normal, from the nearest points, where these lie in a plane."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

NEIGHBOURS = 16
FLAT = 0.25
"""Largest ratio of the standard deviations across a surface and along its shorter side."""


def surface_normals(xyz: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Normals of the planes through the nearest points.

    Args:
        xyz: (N, 3) points.
        rays: (N, 3) the direction in which each point is seen: its surface faces the other way.

    Returns:
        (N, 3) unit normals that point to where the points are seen from; 0 where the nearest points are in no plane.
    """
    normal = np.zeros((len(xyz), 3))
    finite = np.flatnonzero(np.isfinite(xyz).all(axis=1))
    if len(finite) <= NEIGHBOURS:
        return normal
    known = xyz[finite]
    near = cKDTree(known).query(known, k=NEIGHBOURS)[1]
    variance, axes = principal_axes(known[near])
    flat = variance[:, 0] < FLAT**2 * variance[:, 1]
    found = axes[:, :, 0]
    away = (found * rays[finite]).sum(axis=1, keepdims=True) > 0
    normal[finite[flat]] = np.where(away, -found, found)[flat]
    return normal


def principal_axes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How N groups of K points (N, K, 3) spread.

    Returns:
        (N, 3) sums of squares along the axes, ascending, and (N, 3, 3) the axes as columns, of unit length: the first one is
        the normal of the plane that fits best; its sign means nothing.
    """
    offset = points - points.mean(axis=1, keepdims=True)
    spread, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", offset, offset))
    return spread, axes
