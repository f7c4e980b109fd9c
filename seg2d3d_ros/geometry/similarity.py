"""Similarities (rotation, translation, scale) between two frames, and the one that fits two sets of points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.colmap import pycolmap

ROUNDS = 20
MIN_POINTS = 10


@dataclass(frozen=True, eq=False)
class Similarity:
    """``target_from_source``: ``target = scale * rotation @ source + translation``.

    Attributes:
        scale: > 0.
        rotation: (3, 3).
        translation: (3,) in the unit of the target frame.
    """

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, xyz: np.ndarray) -> np.ndarray:
        """(N, 3) points of the source frame in the target frame."""
        return self.scale * xyz @ self.rotation.T + self.translation

    def inverse(self) -> Similarity:
        """``source_from_target``."""
        rotation = self.rotation.T
        return Similarity(1 / self.scale, rotation, -(rotation @ self.translation) / self.scale)

    def to_colmap(self) -> pycolmap.Sim3d:
        """The same for COLMAP."""
        return pycolmap.Sim3d(self.scale, pycolmap.Rotation3d(np.ascontiguousarray(self.rotation)), self.translation)


def weighted_similarity(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray, rotation: np.ndarray | None = None
) -> Similarity | None:
    """The least-squares similarity ``target ≈ similarity(source)``; None where the points lie in one place, or on
    a line that leaves an unknown rotation open.

    Umeyama, Least-squares estimation of transformation parameters between two point patterns, PAMI 1991.

    Args:
        source: (N, 3).
        target: (N, 3).
        weights: (N,) not negative.
        rotation: (3, 3), where it is known.
    """
    share = weights / weights.sum()
    a, b = source - share @ source, target - share @ target
    spread = float(share @ (a**2).sum(1))
    if spread <= 0 or not np.isfinite(spread):
        return None
    covariance = (b * share[:, None]).T @ a
    if rotation is None:
        u, singular, vt = np.linalg.svd(covariance)
        if singular[1] <= 1e-12 * singular[0]:
            return None
        rotation = (u * [1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    scale = float((rotation * covariance).sum()) / spread
    if scale <= 0:
        return None
    return Similarity(scale, rotation, share @ target - scale * rotation @ (share @ source))


def fit_points(
    source: np.ndarray, target: np.ndarray, *, rotation: np.ndarray | None = None, min_points: int = MIN_POINTS
) -> Similarity | None:
    """``target ≈ similarity(source)`` for (N, 3) points each, with Cauchy weights at the median distance.

    ``weighted_similarity``, iteratively reweighted; None where the points are too few or in one place.
    """
    if len(source) < min_points:
        return None
    weights = np.ones(len(source))
    similarity = None
    for _ in range(ROUNDS):
        similarity = weighted_similarity(source, target, weights, rotation)
        if similarity is None:
            return None
        distance = np.linalg.norm(similarity.apply(source) - target, axis=1)
        weights = 1.0 / (1.0 + (distance / max(float(np.median(distance)), 1e-12)) ** 2)
    return similarity
