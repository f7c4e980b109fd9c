"""One posed keyframe: points of the world into its image, and pixels with a depth back into the world."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from seg2d3d_ros.types import Camera, SparseModel


class View:
    """A keyframe's camera and pose.

    Attributes:
        camera: intrinsics.
        camera_from_world: (3, 4) float64.
        component: index of the model that the keyframe belongs to.
    """

    def __init__(self, camera: Camera, camera_from_world: np.ndarray, component: int) -> None:
        self.camera, self.camera_from_world, self.component = camera, camera_from_world, component

    @cached_property
    def _lens(self) -> Any:
        import pycolmap

        camera = self.camera
        return pycolmap.Camera(model=camera.model, width=camera.width, height=camera.height, params=list(camera.params))

    @property
    def center(self) -> np.ndarray:
        """(3,) the camera's centre in the world."""
        return -self.camera_from_world[:, :3].T @ self.camera_from_world[:, 3]

    def depth(self, xyz: np.ndarray) -> np.ndarray:
        """(N,) distance of world points (N, 3) along the optical axis."""
        return xyz @ self.camera_from_world[2, :3] + self.camera_from_world[2, 3]

    def project(self, xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 2) pixels of world points (N, 3), NaN where a point lies behind the camera or beyond the lens; (N,) depths."""
        local = np.ascontiguousarray(xyz @ self.camera_from_world[:, :3].T + self.camera_from_world[:, 3])
        pixels = np.full((len(local), 2), np.nan)
        front = local[:, 2] > 1e-9
        if front.any():
            pixels[front] = self._lens.img_from_cam(np.ascontiguousarray(local[front]))
        return pixels, local[:, 2]

    def inside(self, pixels: np.ndarray) -> np.ndarray:
        """(N,) bool, whether pixels (N, 2) lie in the image; NaN does not."""
        return (pixels >= 0).all(axis=1) & (pixels[:, 0] < self.camera.width) & (pixels[:, 1] < self.camera.height)

    def back_project(self, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """(N, 3) world points of pixels (N, 2) at depths (N,)."""
        plane = np.asarray(self._lens.cam_from_img(np.ascontiguousarray(pixels, np.float64))).reshape(-1, 2)
        local = np.column_stack([plane, np.ones(len(plane))]) * depth[:, None]
        return (local - self.camera_from_world[:, 3]) @ self.camera_from_world[:, :3]


def posed_views(models: Sequence[SparseModel]) -> Iterator[tuple[str, View | None]]:
    """Name and view of each keyframe of all components, in the incidence's order; None where the pose is unknown."""
    for component, model in enumerate(models):
        known = len(model.cameras) == len(model.names)
        for k, name in enumerate(model.names):
            pose = model.camera_from_world[k]
            yield name, View(model.cameras[k], pose, component) if known and np.isfinite(pose).all() else None
