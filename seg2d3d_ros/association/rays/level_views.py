"""The cameras of one component in a level frame in metres: z is up, so that upright things are points in its plane."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.association.judging.impossible import opening
from seg2d3d_ros.geometry.up import level_frame, up_of_cameras
from seg2d3d_ros.types import SparseModel

LEVEL_SIGMA = np.radians(3.0)
"""Standard deviation of the cameras' own vertical up to which it is taken rather than the axis of a georeferenced model."""
NEIGHBOURS, REACH = 40, 60.0
"""A view is compared with so many nearest ones, within so many metres."""


@dataclass(frozen=True, eq=False)
class LevelViews:
    """K posed cameras.

    Attributes:
        world_from_level: (3, 3) rotation.
        metre: world units in a metre.
        rotation: (K, 3, 3) ``camera_from_level``.
        center: (K, 3) in metres in the level frame.
        opening: (K, 4) left, top, right and bottom of what each sees at depth 1.
        pixel: (K,) radians that a pixel spans at the image's centre.
    """

    world_from_level: np.ndarray
    metre: float
    rotation: np.ndarray
    center: np.ndarray
    opening: np.ndarray
    pixel: np.ndarray

    @classmethod
    def of(cls, model: SparseModel, metre: float = 1.0) -> LevelViews:
        """Of a model whose poses are all known."""
        world_from_level = level_frame(_upright(model))
        return cls(
            world_from_level,
            metre,
            model.pose.rotation @ world_from_level,
            model.centers @ world_from_level / metre,
            np.array([opening(camera) for camera in model.cameras]),
            np.array([1.0 / camera.pixels_per_tangent for camera in model.cameras]),
        )

    def from_world(self, xyz: np.ndarray) -> np.ndarray:
        """(N, 3) points of the world in metres in the level frame."""
        return np.asarray(xyz @ self.world_from_level / self.metre)

    def to_world(self, xyz: np.ndarray) -> np.ndarray:
        """The other way round."""
        return np.asarray(xyz @ self.world_from_level.T * self.metre)

    @cached_property
    def neighbours(self) -> list[np.ndarray]:
        """Of each view the nearest ones, itself among them, ascending."""
        count = min(NEIGHBOURS + 1, len(self.center))
        distance, place = cKDTree(self.center).query(self.center, k=count, distance_upper_bound=REACH)
        near = np.isfinite(distance).reshape(len(self.center), count)
        place = np.reshape(place, near.shape)
        return [np.sort(row[kept]) for row, kept in zip(place, near, strict=True)]

    def sees(self, view: np.ndarray, xyz: np.ndarray, margin: float = 0.03) -> np.ndarray:
        """(N,) bool, whether points (N, 3) lie inside the picture of a view (N,), ``margin`` (tangent) from its border."""
        local = np.einsum("nij,nj->ni", self.rotation[view], xyz - self.center[view])
        left, top, right, bottom = self.opening[view].T
        depth = local[:, 2]
        x, y = local[:, 0], local[:, 1]
        with np.errstate(invalid="ignore"):  # an infinite opening at depth 0
            across = (x > (left + margin) * depth) & (x < (right - margin) * depth)
            down = (y > (top + margin) * depth) & (y < (bottom - margin) * depth)
        return np.asarray((depth > 0.1) & across & down)


def _upright(model: SparseModel) -> np.ndarray:
    """(3,) up, as near to the plumb line as is known.

    The z axis of a georeferenced model of a short street leans by degrees with the errors of its positions; posts and cameras
    stand upright all the same.
    """
    cameras = up_of_cameras(model.pose)
    return cameras.direction if model.frame.kind == "enu" and cameras.sigma < LEVEL_SIGMA else model.up.direction
