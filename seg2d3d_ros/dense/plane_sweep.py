"""Depth of a view from a few posed neighbours, on the CPU.

Plane sweep (Collins, A space-sweep approach to true multi-image matching, CVPR 1996): the neighbours are warped over planes at
many depths, and at each pixel the plane wins where they look most like the view (normalised cross-correlation, which ignores
brightness). It needs no rectification, so it works for any motion, also forwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from seg2d3d_ros.geometry.pose import Pose

PLANES = 64
"""Evenly spaced in inverse depth."""
WINDOW = 7
"""Pixels on a side that are compared."""
MIN_SCORE = 0.6
"""Correlation below which a depth is not believed."""
MIN_CONTRAST = 2.0
"""Standard deviation of grey values (0 … 255) in a window, below which it looks like any other."""


@dataclass(frozen=True)
class Picture:
    """An undistorted view of a reduced size, h × w pixels.

    Attributes:
        gray: (h, w) float32.
        matrix: (3, 3) pinhole intrinsics of this size.
        camera_from_world: a single pose.
        near, far: depths between which the view sees something.
    """

    gray: np.ndarray
    matrix: np.ndarray
    camera_from_world: Pose
    near: float
    far: float

    def points(self, depth: np.ndarray) -> np.ndarray:
        """(h, w, 3) world points of a depth map (h, w)."""
        height, width = depth.shape
        column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        rays = np.stack([column, row, np.ones_like(column)], axis=-1) @ np.linalg.inv(self.matrix).T
        return self.camera_from_world.inverse().apply(rays * depth[..., None])

    def project(self, xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Column and row (…) int and depth of world points (…, 3); -1 where they lie outside."""
        local = self.camera_from_world.apply(xyz)
        depth = local[..., 2]
        with np.errstate(invalid="ignore", divide="ignore"):
            pixel = (local @ self.matrix.T)[..., :2] / depth[..., None]
        height, width = self.gray.shape
        inside = (depth > 0) & (pixel >= 0).all(axis=-1) & (pixel[..., 0] < width) & (pixel[..., 1] < height)
        column, row = (np.where(inside, pixel[..., k], -1).astype(int) for k in (0, 1))
        return column, row, depth


def sweep(view: Picture, neighbours: Sequence[Picture]) -> np.ndarray:
    """(h, w) float32 depth of a view, NaN where nothing is certain.

    At each depth the two neighbours that agree best count: in the others the place may be hidden.
    """
    height, width = view.gray.shape
    mean, deviation = _moments(view.gray)
    inverse = np.linspace(1 / view.far, 1 / view.near, PLANES)
    scores = np.full((PLANES, height, width), -1.0, np.float32)
    relative = [other.camera_from_world @ view.camera_from_world.inverse() for other in neighbours]
    back = np.linalg.inv(view.matrix)
    # From pixel centres at half integers to OpenCV's at integers and back.
    half = np.array([[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    for k, inverse_depth in enumerate(inverse):
        best = np.full((2, height, width), -1.0, np.float32)
        for other, pose in zip(neighbours, relative, strict=True):
            onto = other.matrix @ (pose.rotation + np.outer(pose.translation, [0, 0, inverse_depth])) @ back
            homography = np.linalg.inv(half) @ onto @ half
            warped = cv2.warpPerspective(
                other.gray, homography, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderValue=-1e4
            )
            score = _correlation(view.gray, mean, deviation, warped)
            best[1] = np.maximum(best[1], np.minimum(best[0], score))
            best[0] = np.maximum(best[0], score)
        scores[k] = best.mean(axis=0) if len(neighbours) > 1 else best[0]
    return _winner(scores, inverse, deviation)


def _winner(scores: np.ndarray, inverse: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Depth of the best plane, refined by the parabola through its neighbours; NaN at the range's ends and below the limits."""
    best = scores.argmax(axis=0)
    middle = np.clip(best, 1, PLANES - 2)
    low, top, high = (np.take_along_axis(scores, (middle + d)[None], axis=0)[0] for d in (-1, 0, 1))
    curve = low - 2 * top + high
    shift = np.where(curve < -1e-6, 0.5 * (low - high) / np.minimum(curve, -1e-6), 0.0)
    step = inverse[1] - inverse[0]
    depth = 1.0 / (inverse[0] + (middle + np.clip(shift, -0.5, 0.5)) * step)
    sure = (best == middle) & (top > MIN_SCORE) & (deviation > MIN_CONTRAST)
    return np.where(sure, depth, np.nan).astype(np.float32)


def _box(image: np.ndarray) -> np.ndarray:
    return cv2.boxFilter(image, cv2.CV_32F, (WINDOW, WINDOW), borderType=cv2.BORDER_REFLECT)


def _moments(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (h, w) of each window."""
    mean = _box(image)
    return mean, np.sqrt(np.maximum(_box(image * image) - mean * mean, 0.0))


def _correlation(view: np.ndarray, mean: np.ndarray, deviation: np.ndarray, warped: np.ndarray) -> np.ndarray:
    """(h, w) normalised cross-correlation of each window, -1 where the neighbour ends."""
    other_mean, other_deviation = _moments(warped)
    covariance = _box(view * warped) - mean * other_mean
    score = covariance / np.maximum(deviation * other_deviation, 1.0)
    return np.where(other_mean < 0, -1.0, score).astype(np.float32)
