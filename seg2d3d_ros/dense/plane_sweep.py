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

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.views import View

PLANES = 64
"""Evenly spaced in inverse depth."""
WINDOW = 7
"""Pixels on a side that are compared."""
MIN_SCORE = 0.6
"""Correlation below which a depth is not believed."""
MIN_CONTRAST = 2.0
"""Standard deviation of grey values (0 … 255) in a window, below which it looks like any other."""


@dataclass(frozen=True)
class UndistortedView:
    """A view with an image of a reduced size, h × w pixels, without lens distortion.

    Attributes:
        gray: (h, w) float32.
        view: a PINHOLE camera of this size, and its pose.
        near, far: depths between which the view sees something.
    """

    gray: np.ndarray
    view: View
    near: float
    far: float

    def points(self, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(N,) rows, (N,) columns and (N, 3) world points of a depth map (h, w), where that is finite."""
        row, column = np.nonzero(np.isfinite(depth))
        pixels = np.stack([column, row], axis=1) + 0.5
        return row, column, self.view.back_project(pixels, depth[row, column].astype(np.float64))

    def project(self, xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(N,) rows and columns, -1 where a world point (N, 3) lies outside the image, and (N,) depths."""
        pixels, depth = self.view.project(xyz)
        column, row = np.where(self.view.camera.inside(pixels)[:, None], pixels, -1).astype(int).T
        return row, column, depth


def sweep(view: UndistortedView, neighbours: Sequence[UndistortedView]) -> np.ndarray:
    """(h, w) float32 depth of a view, NaN where nothing is certain.

    At each depth the two neighbours that look most alike count: in the others the place may be hidden.
    """
    height, width = view.gray.shape
    mean, deviation = _moments(view.gray)
    inverse = np.linspace(1 / view.far, 1 / view.near, PLANES)
    scores = np.full((PLANES, height, width), -1.0, np.float32)
    world_from_view = view.view.camera_from_world.inverse()
    relative = [other.view.camera_from_world @ world_from_view for other in neighbours]
    back = np.linalg.inv(_matrix(view.view.camera))
    # From pixel centres at half integers to OpenCV's at integers and back.
    half = np.array([[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    for k, inverse_depth in enumerate(inverse):
        best = np.full((2, height, width), -1.0, np.float32)
        for other, pose in zip(neighbours, relative, strict=True):
            onto = _matrix(other.view.camera) @ (pose.rotation + np.outer(pose.translation, [0, 0, inverse_depth])) @ back
            homography = np.linalg.inv(half) @ onto @ half
            warped = cv2.warpPerspective(
                other.gray, homography, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderValue=-1e4
            )
            score = _correlation(view.gray, mean, deviation, warped)
            best[1] = np.maximum(best[1], np.minimum(best[0], score))
            best[0] = np.maximum(best[0], score)
        scores[k] = best.mean(axis=0) if len(neighbours) > 1 else best[0]
    return _winner(scores, inverse, deviation)


def _matrix(camera: Camera) -> np.ndarray:
    """(3, 3) from rays with z = 1 to pixels of a PINHOLE camera."""
    (fx, fy), (cx, cy) = camera.focal_lengths, camera.principal_point
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


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
