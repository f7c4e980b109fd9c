"""How well models agree with all verified matches, whether these became points or not.

The reprojection error of a model only speaks of the points it kept, so a bent model looks fine. The verified matches of
pairs across the bend do not become points there, but they betray it: the epipolar geometry of the model contradicts them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

TOLERANCE = 4.0
"""Pixels of Sampson error where a match counts nothing."""


def _rays(reconstruction: Any, image_id: int, keypoints: np.ndarray) -> np.ndarray:
    """(N, 3) undistorted rays with z = 1; NaN where the camera model cannot say."""
    camera = reconstruction.camera(reconstruction.image(image_id).camera_id)
    flat = np.asarray(camera.cam_from_img(np.ascontiguousarray(keypoints, np.float64)), np.float64)
    return np.column_stack([flat, np.ones(len(flat))])


def sampson_error(first: np.ndarray, second: np.ndarray, second_from_first: np.ndarray) -> np.ndarray:
    """(N,) Sampson errors in units of the rays (Hartley and Zisserman, Multiple View Geometry, 11.4.3).

    Args:
        first: (N, 3) rays in the first camera, z = 1.
        second: (N, 3) rays in the second.
        second_from_first: (3, 4).
    """
    x, y, z = second_from_first[:, 3]
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ second_from_first[:, :3]
    lines, back = first @ essential.T, second @ essential
    algebraic = np.einsum("ij,ij->i", second, lines)
    scale = lines[:, 0] ** 2 + lines[:, 1] ** 2 + back[:, 0] ** 2 + back[:, 1] ** 2
    return np.abs(algebraic) / np.sqrt(np.maximum(scale, 1e-30))


def msac_score(
    reconstruction: Any,
    pairs: Iterable[tuple[int, int]],
    matches: Callable[[int, int], np.ndarray],
    keypoints: Callable[[int], np.ndarray],
) -> float:
    """The MSAC score over all pairs; see ``msac_scores``."""
    return float(msac_scores(reconstruction, pairs, matches, keypoints).sum())


def msac_scores(
    reconstruction: Any,
    pairs: Iterable[tuple[int, int]],
    matches: Callable[[int, int], np.ndarray],
    keypoints: Callable[[int], np.ndarray],
) -> np.ndarray:
    """(P,) MSAC scores: verified matches whose epipolar geometry fits the poses, each counting ``1 - (error / tolerance)²``.

    Args:
        reconstruction: a ``pycolmap.Reconstruction``.
        pairs: image ids, smaller first; pairs with an image that is not registered count nothing.
        matches: (M, 2) keypoint indices of a pair.
        keypoints: (N, 2) pixel coordinates of an image.
    """
    registered = set(reconstruction.reg_image_ids())
    rays: dict[int, np.ndarray] = {}
    poses: dict[int, np.ndarray] = {}
    counts: list[float] = []
    for first, second in pairs:
        if first not in registered or second not in registered:
            counts.append(0.0)
            continue
        for image_id in (first, second):
            if image_id not in rays:
                rays[image_id] = _rays(reconstruction, image_id, keypoints(image_id))
                poses[image_id] = np.vstack([reconstruction.image(image_id).cam_from_world().matrix(), [0, 0, 0, 1]])
        relative = (poses[second] @ np.linalg.inv(poses[first]))[:3]
        found = matches(first, second)
        error = sampson_error(rays[first][found[:, 0]], rays[second][found[:, 1]], relative)
        focal = [reconstruction.camera(reconstruction.image(i).camera_id).mean_focal_length() for i in (first, second)]
        weight = 1.0 - (error * float(np.mean(focal)) / TOLERANCE) ** 2
        counts.append(float(np.nansum(np.maximum(weight, 0.0))))
    return np.array(counts)
