"""Rigid motions, single or many at once, and the only place that does algebra with them.

Named ``target_from_source``: ``world_from_camera = camera_from_world.inverse()``,
``b_from_world = b_from_a @ a_from_world``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.colmap import pycolmap

UNIT_TOLERANCE = 1e-2
"""How far the norm of a quaternion in a message may be from 1: senders round, but zeros are no rotation."""


@dataclass(frozen=True, eq=False)
class Pose:
    """``target_from_source``, one (batch shape empty) or an array of them.

    Attributes:
        rotation: (..., 3, 3) float64.
        translation: (..., 3) float64, in the unit of the target frame.
    """

    rotation: np.ndarray
    translation: np.ndarray

    @classmethod
    def identity(cls) -> Pose:
        """The motion that moves nothing."""
        return cls(np.eye(3), np.zeros(3))

    @classmethod
    def from_matrix(cls, matrix: np.ndarray) -> Pose:
        """Of (..., 3, 4) or (..., 4, 4)."""
        matrix = np.asarray(matrix, np.float64)
        return cls(matrix[..., :3, :3], matrix[..., :3, 3])

    @classmethod
    def from_colmap(cls, rigid: pycolmap.Rigid3d) -> Pose:
        """Of COLMAP's rigid motion."""
        return cls.from_matrix(rigid.matrix())

    @classmethod
    def from_quaternion(cls, xyzw: np.ndarray, translation: np.ndarray) -> Pose:
        """Of a quaternion (..., 4) ``x y z w`` of any length but 0, and a translation (..., 3)."""
        xyzw = np.asarray(xyzw, np.float64)
        rotation = Rotation.from_quat(xyzw.reshape(-1, 4)).as_matrix()
        return cls(rotation.reshape(*xyzw.shape[:-1], 3, 3), np.asarray(translation, np.float64))

    @classmethod
    def from_ros(cls, translation: Any, rotation: Any) -> Pose | None:
        """Of a message's vector (``x y z``) and quaternion (``x y z w``); None where they are no rigid motion."""
        shift = np.array([translation.x, translation.y, translation.z], np.float64)
        turn = np.array([rotation.x, rotation.y, rotation.z, rotation.w], np.float64)
        if not np.isfinite([*shift, *turn]).all() or abs(np.linalg.norm(turn) - 1.0) > UNIT_TOLERANCE:
            return None
        return cls.from_quaternion(turn, shift)

    @classmethod
    def stack(cls, poses: Sequence[Pose]) -> Pose:
        """(K,) poses as one batch."""
        return cls(
            np.array([pose.rotation for pose in poses], np.float64).reshape(-1, 3, 3),
            np.array([pose.translation for pose in poses], np.float64).reshape(-1, 3),
        )

    def __len__(self) -> int:
        return len(self.rotation) if self.rotation.ndim > 2 else 1

    def __getitem__(self, rows: Any) -> Pose:
        """Of a batch: one pose, or some of them."""
        return Pose(self.rotation[rows], self.translation[rows])

    def __iter__(self) -> Iterator[Pose]:
        """Of a batch: pose by pose."""
        return (self[k] for k in range(len(self.rotation)))

    def inverse(self) -> Pose:
        """``source_from_target``."""
        return Pose(np.swapaxes(self.rotation, -1, -2), self.origin)

    @property
    def origin(self) -> np.ndarray:
        """(..., 3) the target's origin in the source frame: the camera centre of a ``camera_from_world``."""
        return -np.einsum("...ji,...j->...i", self.rotation, self.translation)

    def __matmul__(self, other: Pose) -> Pose:
        """``a_from_b @ b_from_c`` is ``a_from_c``; batches are matched as NumPy broadcasts them."""
        return Pose(self.rotation @ other.rotation, self.apply_each(other.translation))

    def apply(self, xyz: np.ndarray) -> np.ndarray:
        """(..., N, 3) points of the source frame in the target frame."""
        return np.asarray(xyz) @ np.swapaxes(self.rotation, -1, -2) + self.translation[..., None, :]

    def apply_each(self, xyz: np.ndarray) -> np.ndarray:
        """(..., 3) points of the source frame in the target frame, each by its own of (...) poses."""
        return np.einsum("...ij,...j->...i", self.rotation, xyz) + self.translation

    def mean(self, weights: np.ndarray | None = None) -> Pose:
        """Of a batch (K,): the mean rotation (chordal) with the mean translation, by weights (K,)."""
        return Pose(
            Rotation.from_matrix(self.rotation).mean(weights).as_matrix(), np.average(self.translation, axis=0, weights=weights)
        )

    def interpolate(self, other: Pose, share: np.ndarray | float) -> Pose:
        """The pose at ``share`` (...) of the way to another: the shortest turn at constant speed, and a straight line."""
        share = np.asarray(share, np.float64)[..., None]
        whole = (np.swapaxes(self.rotation, -1, -2) @ other.rotation).reshape(-1, 3, 3)
        turn = share * Rotation.from_matrix(whole).as_rotvec().reshape(self.translation.shape)
        rotation = Rotation.from_rotvec(turn.reshape(-1, 3)).as_matrix().reshape(*turn.shape, 3)
        return Pose(self.rotation @ rotation, (1 - share) * self.translation + share * other.translation)

    def scaled(self, factor: float) -> Pose:
        """The same motion where lengths count ``factor`` times as much."""
        return Pose(self.rotation, self.translation * factor)

    @property
    def matrix(self) -> np.ndarray:
        """(..., 4, 4) float64."""
        result = np.zeros((*self.rotation.shape[:-2], 4, 4))
        result[..., :3, :3], result[..., :3, 3], result[..., 3, 3] = self.rotation, self.translation, 1.0
        return result

    @property
    def quaternion(self) -> np.ndarray:
        """(..., 4) ``x y z w``, w ≥ 0."""
        flat = Rotation.from_matrix(self.rotation.reshape(-1, 3, 3)).as_quat(canonical=True)
        return flat.reshape(*self.rotation.shape[:-2], 4)

    @property
    def finite(self) -> np.ndarray:
        """(...) bool: poses that are known; unknown ones are NaN."""
        return np.isfinite(self.rotation).all(axis=(-1, -2)) & np.isfinite(self.translation).all(axis=-1)

    def to_colmap(self) -> pycolmap.Rigid3d:
        """A single pose as COLMAP's rigid motion."""
        return pycolmap.Rigid3d(pycolmap.Rotation3d(np.ascontiguousarray(self.rotation)), np.array(self.translation))
