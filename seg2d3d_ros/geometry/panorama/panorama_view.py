"""The virtual pinhole cameras that look around from a panorama's centre: pictures and labels to them and back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.geometry.attitude import FLU_FROM_CAMERA
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.panorama.equirectangular import Equirectangular
from seg2d3d_ros.geometry.pose import Pose

HALF_WIDTH = np.deg2rad(45.0)
"""A view reaches so far to either side."""
ABOVE, BELOW = np.deg2rad(55.0), np.deg2rad(35.0)
"""And so far above and below the horizon, in its middle: façades reach up, and below are the road and the vehicle."""
LARGEST_SIDE = 2400
"""Pixels of a view; larger panoramas are scaled down."""


@dataclass(frozen=True)
class PanoramaView:
    """One of the virtual pinhole cameras that a panorama is cut into.

    Attributes:
        panorama: the panorama's name, the key of its labels.
        camera_name: of the camera that took the panorama.
        file_name: the panorama's file below its folder; empty where it came in a stream.
        source: path of the panorama's file, or its topic.
        shape: of the panorama.
        number, count: the view is the ``number``-th, from 0, of ``count`` that look around from the middle column to the right.
    """

    panorama: str
    camera_name: str
    file_name: str
    source: str
    shape: Equirectangular
    number: int
    count: int

    @property
    def degrees(self) -> float:
        """By how much it looks to the right of the panorama's middle column."""
        return 360.0 * self.number / self.count

    @property
    def tag(self) -> str:
        """What distinguishes its name and its camera's from those of the panorama: ``060``."""
        return f"{round(self.degrees):03d}"

    @property
    def panorama_from_view(self) -> Pose:
        """A rotation: all views have one centre."""
        turn = Rotation.from_euler("z", -self.degrees, degrees=True).as_matrix()
        return Pose(turn @ FLU_FROM_CAMERA, np.zeros(3))

    @property
    def mounted_from_view(self) -> Pose:
        """The same from the optical frame of the panorama's camera, in which mounts are stated (x right, y down, z forward)."""
        return Pose(FLU_FROM_CAMERA.T, np.zeros(3)) @ self.panorama_from_view

    @property
    def reach(self) -> tuple[float, float]:
        """Radians above the horizon that its middle column shows, from and to."""
        lower, upper = self.shape.elevations
        return max(-BELOW, lower), min(ABOVE, upper)

    @cached_property
    def camera(self) -> Camera:
        """Exact intrinsics: in its middle a view has the panorama's pixels, or fewer where that would be too many."""
        below, above = np.tan(np.abs(self.reach))
        across = 2 * np.tan(HALF_WIDTH)
        focal = min(self.shape.pixels_per_radian, LARGEST_SIDE / max(across, above + below))
        width, height = max(1, int(across * focal)), max(1, int((above + below) * focal))
        return Camera("PINHOLE", width, height, (float(focal), float(focal), width / 2, float(above * focal)))

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """This view of a panorama: (H, W, 3) uint8 colours, interpolated, or (H, W) uint16 labels, the nearest each."""
        labels = picture.ndim == 2
        scale = self.camera.params[0] / self.shape.pixels_per_radian
        if scale < 1.0 and not labels:
            size = round(self.shape.width * scale), round(self.shape.height * scale)
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        per_pixel = np.array([picture.shape[1] / self.shape.width, picture.shape[0] / self.shape.height])
        columns, rows = np.meshgrid(np.arange(self.camera.width) + 0.5, np.arange(self.camera.height) + 0.5)
        fx, fy, cx, cy = self.camera.params
        rays = np.stack([(columns - cx) / fx, (rows - cy) / fy, np.ones_like(rows)], axis=-1)
        pixels = self.shape.pixels(rays @ self.panorama_from_view.rotation.T) * per_pixel
        if labels:
            row = np.clip(pixels[..., 1].astype(np.int64), 0, picture.shape[0] - 1)
            return picture[row, pixels[..., 0].astype(np.int64) % picture.shape[1]]
        maps = (pixels - 0.5).astype(np.float32)
        maps[..., 1] = np.clip(maps[..., 1], 0, picture.shape[0] - 1)
        return cv2.remap(picture, maps[..., 0], maps[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)

    def paste(self, labels: np.ndarray, panorama: np.ndarray) -> None:
        """Write what a view shows into its sector of the panorama, in place: the columns to which no other view is nearer.

        Args:
            labels: (H, W) of the view.
            panorama: (H, W) of the same type; rows that the view does not reach stay.
        """
        half = self.shape.width / (2 * self.count)
        middle = self.shape.width / 2 + self.number * 2 * half
        columns = np.arange(np.ceil(middle - half - 0.5), np.ceil(middle + half - 0.5)).astype(np.int64) % self.shape.width
        right = (columns + 0.5 - middle + self.shape.width / 2) % self.shape.width - self.shape.width / 2
        right = right / self.shape.pixels_per_radian
        up = np.pi / 2 - (np.arange(self.shape.height) + 0.5 + self.shape.top) / self.shape.pixels_per_radian
        fx, fy, cx, cy = self.camera.params
        u = np.floor(cx + fx * np.tan(right)).astype(np.int64)
        v = np.floor(cy - fy * np.tan(up)[:, None] / np.cos(right)).astype(np.int64)
        inside = (v >= 0) & (v < labels.shape[0])
        found = labels[np.clip(v, 0, labels.shape[0] - 1), np.clip(u, 0, labels.shape[1] - 1)[None, :]]
        panorama[:, columns] = np.where(inside, found, panorama[:, columns])
