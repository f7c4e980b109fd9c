"""How well the poses of a map's images are known, and what that does to points that these images see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.arrays import check_array


def skew(vectors: np.ndarray) -> np.ndarray:
    """(N, 3, 3) of (N, 3): ``skew(a) @ b`` is the cross product of a and b."""
    found = np.zeros((len(vectors), 3, 3))
    x, y, z = np.asarray(vectors, float).T
    found[:, 0, 1], found[:, 0, 2], found[:, 1, 2] = -z, y, -x
    found[:, 1, 0], found[:, 2, 0], found[:, 2, 1] = z, -y, x
    return found


@dataclass(frozen=True, eq=False)
class PoseWindow:
    """Some images of a model, whose errors are known together.

    Attributes:
        rows: (n,) int32 places of the images among the model's names, ascending.
        matrix: (6n, 6n) float32 covariance; of each image three numbers for its centre (world units) and three for a small
            rotation of the camera about the world's axes (radians).
    """

    rows: np.ndarray
    matrix: np.ndarray

    def __post_init__(self) -> None:
        check_array("rows", self.rows, (None,), "i")
        check_array("matrix", self.matrix, (6 * len(self.rows), 6 * len(self.rows)), "f")


@dataclass(frozen=True, eq=False)
class PoseCovariance:
    """Of the K images of one model.

    Attributes:
        names: (K,) keyframe names, in the model's order.
        windows: that hold every image; of a small model one.
        pixel_sigma: standard deviation of a keypoint's coordinate in pixels, as the model's residuals show it.
        absolute: the errors are those of places on the Earth; False: against the model's own cameras, after the best similarity
            between these and their true places.
    """

    names: tuple[str, ...]
    windows: tuple[PoseWindow, ...]
    pixel_sigma: float
    absolute: bool

    def window_of(self, rows: np.ndarray) -> PoseWindow:
        """The window that holds most of these images, (n,) places among the names; one that occurs twice counts twice."""
        return max(self.windows, key=lambda window: int(np.isin(rows, window.rows).sum()))


def gauge_directions(centers: np.ndarray) -> np.ndarray:
    """(6K, 7) what the images of a model can do together without that a keypoint moves: three shifts, three turns, a stretch.

    Args:
        centers: (K, 3) of the cameras, whose mean the turns and the stretch leave where it is.
    """
    offset = centers - centers.mean(axis=0)
    found = np.zeros((len(centers), 6, 7))
    found[:, :3, :3] = np.eye(3)
    found[:, :3, 3:6] = -skew(offset)
    found[:, 3:, 3:6] = np.eye(3)
    found[:, :3, 6] = offset
    return found.reshape(-1, 7)


def center_rows(images: Sequence[int] | np.ndarray) -> np.ndarray:
    """(3n,) rows of a pose covariance that are the centres of these images."""
    return (6 * np.asarray(images, np.int64)[:, None] + np.arange(3)).ravel()
