"""How well models fit all verified matches, whether these became points or not (MSAC: Torr and Zisserman, CVIU 2000).

The reprojection error of a model tells only of the points that it kept, so that a distorted model looks fine. The verified
matches of the pairs that it has torn apart did not become points, but the epipolar geometry of its poses contradicts them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose

TOLERANCE = 4.0
"""Pixels of Sampson error where a match counts nothing."""


def sampson_error(first: np.ndarray, second: np.ndarray, second_from_first: Pose) -> np.ndarray:
    """(N,) Sampson errors in units of the rays (Hartley and Zisserman, Multiple View Geometry, 11.4.3).

    Args:
        first: (N, 3) rays in the first camera, z = 1.
        second: (N, 3) rays in the second.
        second_from_first: a single pose; its length does not matter.
    """
    x, y, z = second_from_first.translation
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ second_from_first.rotation
    lines, back = first @ essential.T, second @ essential
    algebraic = np.einsum("ij,ij->i", second, lines)
    scale = lines[:, 0] ** 2 + lines[:, 1] ** 2 + back[:, 0] ** 2 + back[:, 1] ** 2
    return np.abs(algebraic) / np.sqrt(np.maximum(scale, 1e-30))


def msac_scores(
    model: pycolmap.Reconstruction,
    pairs: Iterable[tuple[int, int]],
    matches: Callable[[int, int], np.ndarray],
    keypoints: Callable[[int], np.ndarray],
) -> np.ndarray:
    """(P,) MSAC scores: verified matches whose epipolar geometry fits the poses, each counting ``1 - (error / tolerance)²``.

    Args:
        model: its poses are judged.
        pairs: image ids, smaller first; pairs with an image that is not registered count nothing.
        matches: (M, 2) keypoint indices of a pair.
        keypoints: (N, 2) pixel coordinates of an image.
    """
    registered = set(model.reg_image_ids())
    cameras: dict[int, Camera] = {}
    rays: dict[int, np.ndarray] = {}
    poses: dict[int, Pose] = {}
    counts: list[float] = []
    for first, second in pairs:
        if first not in registered or second not in registered:
            counts.append(0.0)
            continue
        for image_id in (first, second):
            if image_id not in rays:
                cameras[image_id] = Camera.from_colmap(model.camera(model.image(image_id).camera_id))
                rays[image_id] = cameras[image_id].rays(keypoints(image_id))
                poses[image_id] = Pose.from_colmap(model.image(image_id).cam_from_world())
        relative = poses[second] @ poses[first].inverse()
        found = matches(first, second)
        error = sampson_error(rays[first][found[:, 0]], rays[second][found[:, 1]], relative)
        focal = float(np.mean([cameras[i].focal_lengths for i in (first, second)]))
        weight = 1.0 - (error * focal / TOLERANCE) ** 2
        counts.append(float(np.nansum(np.maximum(weight, 0.0))))
    return np.array(counts)
