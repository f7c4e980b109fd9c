"""The robust similarity between two models of the same images, by the points they have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from seg2d3d_ros.reconstruction.world.georeference import Similarity

ROUNDS = 20
MIN_POINTS = 10


def common_points(source: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) and (N, 3): the points of two ``pycolmap.Reconstruction`` that a keypoint has in both, each pair once."""
    pairs: set[tuple[int, int]] = set()
    for image_id in set(source.reg_image_ids()) & set(target.reg_image_ids()):
        there = _points(target.image(image_id))
        pairs.update((p, there[k]) for k, p in _points(source.image(image_id)).items() if k in there)
    ordered = sorted(pairs)
    first = np.array([source.point3D(a).xyz for a, _ in ordered]).reshape(-1, 3)
    second = np.array([target.point3D(b).xyz for _, b in ordered]).reshape(-1, 3)
    return first, second


def _points(image: Any) -> Mapping[int, int]:
    return dict(
        zip(image.get_observation_point2D_idxs(), (p.point3D_id for p in image.get_observation_points2D()), strict=True)
    )


def weighted_similarity(source: np.ndarray, target: np.ndarray, weights: np.ndarray) -> Similarity | None:
    """The least-squares similarity ``target ≈ similarity(source)``; None where the points lie in one place or on a line.

    Umeyama, Least-squares estimation of transformation parameters between two point patterns, PAMI 1991.

    Args:
        source: (N, 3).
        target: (N, 3).
        weights: (N,) not negative.
    """
    share = weights / weights.sum()
    a, b = source - share @ source, target - share @ target
    spread = float(share @ (a**2).sum(1))
    if spread <= 0 or not np.isfinite(spread):
        return None
    u, singular, vt = np.linalg.svd((b * share[:, None]).T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float(singular @ sign) / spread
    if scale <= 0 or singular[1] <= 1e-12 * singular[0]:
        return None
    return Similarity(scale, rotation, share @ target - scale * rotation @ (share @ source))


def fit_points(source: np.ndarray, target: np.ndarray) -> Similarity | None:
    """``target ≈ similarity(source)`` for (N, 3) points each, with Cauchy weights at the median distance.

    ``weighted_similarity``, iteratively reweighted; None where the points are too few or in one place.
    """
    if len(source) < MIN_POINTS:
        return None
    weights = np.ones(len(source))
    similarity = None
    for _ in range(ROUNDS):
        similarity = weighted_similarity(source, target, weights)
        if similarity is None:
            return None
        distance = np.linalg.norm(similarity.apply(source) - target, axis=1)
        weights = 1.0 / (1.0 + (distance / max(float(np.median(distance)), 1e-12)) ** 2)
    return similarity
