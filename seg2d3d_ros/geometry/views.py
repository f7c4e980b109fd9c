"""One posed camera: points of the world into its image, and pixels with a depth back into the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose


@dataclass(frozen=True, eq=False)
class View:
    """A keyframe's camera and pose.

    Attributes:
        camera: intrinsics.
        camera_from_world: a single pose.
        component: index of the model that the keyframe belongs to.
    """

    camera: Camera
    camera_from_world: Pose
    component: int = 0

    @property
    def center(self) -> np.ndarray:
        """(3,) the camera's centre in the world."""
        return self.camera_from_world.origin

    @property
    def axis(self) -> np.ndarray:
        """(3,) the viewing direction in the world, of unit length."""
        return self.camera_from_world.rotation[2]

    def depth(self, xyz: np.ndarray) -> np.ndarray:
        """(N,) distance of world points (N, 3) along the optical axis."""
        return xyz @ self.axis + self.camera_from_world.translation[2]

    def project(self, xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 2) pixels of world points (N, 3), NaN where a point lies behind the camera or beyond the lens; (N,) depths."""
        local = self.camera_from_world.apply(xyz)
        return self.camera.project(local), local[:, 2]

    def back_project(self, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """(N, 3) world points of pixels (N, 2) at depths (N,)."""
        return self.camera_from_world.inverse().apply(self.camera.rays(pixels) * depth[:, None])
