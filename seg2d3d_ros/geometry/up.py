"""Which way is up, by how cameras are held and moved; the one estimate that everything uses.

Three things are known of cameras on streets, each with a standard deviation: they are hardly rolled, so that the rows of
their images are level (Brown and Lowe, Automatic panoramic image stitching using invariant features, IJCV 2007,
section 5); they are seldom pitched far; and they travel on about one level. The direction that fits all three best
weighs each by its variance. Where the cameras look in different directions the rows decide alone; along a street seen
forward the rows leave a pitch open, and the level of the travel decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.geometry.pose import Pose

Z = np.array([0.0, 0.0, 1.0])
ROLL_SIGMA = np.deg2rad(2.0)
"""Of the rows of images against the horizon, common to the images of one mount."""
SLOPE_SIGMA = np.deg2rad(4.5)
"""Of the longest way against the horizon: an 8 % slope."""
PITCH_SIGMA = np.deg2rad(9.0)
"""Of the mean viewing direction against the horizon."""
MAX_CLIMB = 0.5
"""Cosine between the cameras' main direction of travel and their up beyond which they climb, as drones and lifts do."""


@dataclass(frozen=True, eq=False)
class Up:
    """An estimate of the vertical.

    Attributes:
        direction: (3,) unit vector in the world frame.
        precision: (3, 3) inverse covariance (1/rad²) of its deviations, which lie across it; zero along it.
        against: squared standard deviations that speak against it as a whole, where it is one of several (``verticals``).
    """

    direction: np.ndarray
    precision: np.ndarray
    against: float = 0.0

    @classmethod
    def exact(cls, direction: np.ndarray) -> Up:
        """A vertical that is known."""
        return cls(direction, 1e12 * (np.eye(3) - np.outer(direction, direction)))

    @property
    def sigma(self) -> float:
        """Standard deviation in radians across the direction that is known worst; infinite where nothing is known."""
        least = float(np.linalg.eigvalsh(self.precision)[1])
        return 1.0 / np.sqrt(least) if least > 0 else float("inf")

    def residuals(self, direction: np.ndarray) -> np.ndarray:
        """(3,) how many standard deviations another unit vector is away, as a vector for least squares."""
        values, vectors = np.linalg.eigh(self.precision)
        return np.sqrt(np.maximum(values, 0.0)) * (vectors.T @ direction)


UNKNOWN = Up(Z, np.zeros((3, 3)))


def up_of_cameras(camera_from_world: Pose, measured: np.ndarray | None = None) -> Up:
    """The vertical of the world frame of these cameras (K,), which are upright; ``UNKNOWN`` without cameras.

    Args:
        camera_from_world: (K,) poses.
        measured: (3, 3) precision (1/rad²) of what sensors say of it.
    """
    if len(camera_from_world.rotation) == 0 or not camera_from_world.finite.all():
        return UNKNOWN
    rows, down = camera_from_world.rotation[:, 0], camera_from_world.rotation[:, 1]
    mean_up = -down.mean(axis=0)
    if np.linalg.norm(mean_up) < 1e-6:
        return UNKNOWN
    mean_up /= np.linalg.norm(mean_up)
    across = np.eye(3) - np.outer(mean_up, mean_up)
    cost = rows.T @ rows / len(rows) / ROLL_SIGMA**2 + across / PITCH_SIGMA**2
    centers = camera_from_world.origin
    travel = centers - centers.mean(axis=0)
    spread, axes = np.linalg.eigh(travel.T @ travel)
    if spread[-1] > 0 and abs(axes[:, -1] @ mean_up) < MAX_CLIMB:
        cost += (axes * (spread / spread[-1])) @ axes.T / SLOPE_SIGMA**2
    if measured is not None:
        cost += measured
    values, vectors = np.linalg.eigh(cost)
    up = vectors[:, 0] if vectors[:, 0] @ mean_up > 0 else -vectors[:, 0]
    # The cost of a deviation d across the vertical is dᵀ (cost - least) d: its second derivative is the precision.
    precision = (vectors[:, 1:] * (values[1:] - values[0])) @ vectors[:, 1:].T
    return Up(up, precision)


def rotation_between(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(3, 3) the smallest rotation that takes one unit vector (3,) to another; half a turn is about any axis across.

    The axis goes along as a second pair: SciPy before 1.12 turns a single pair by any angle about it.
    """
    axis = np.cross(source, target)
    if np.linalg.norm(axis) < 1e-9:
        if source @ target > 0:
            return np.eye(3)
        axis = np.cross(source, np.eye(3)[np.argmin(np.abs(source))])
        axis /= np.linalg.norm(axis)
        return 2 * np.outer(axis, axis) - np.eye(3)
    axis /= np.linalg.norm(axis)
    return Rotation.align_vectors(np.stack([target, axis]), np.stack([source, axis]))[0].as_matrix()


def level_frame(up: np.ndarray) -> np.ndarray:
    """(3, 3) ``world_from_level``, the smallest rotation that takes the z axis to ``up`` (3,)."""
    return rotation_between(Z, np.asarray(up, float) / np.linalg.norm(up))
