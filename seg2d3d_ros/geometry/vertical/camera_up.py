"""Which way is up in a camera's own frame: by its mount, a sensor, the EXIF orientation, or as cameras are usually held."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from seg2d3d_ros.geometry.attitude import FLU_FROM_CAMERA
from seg2d3d_ros.geometry.pose import Pose

EXIF, MOUNT, IMU = "EXIF orientation", "mount", "IMU"
"""Who may tell it."""
MEASURED = np.deg2rad(15.0)
"""A direction that is known better than this says more than which edge of a picture is its top."""
QUARTER = np.deg2rad(45.0)
"""How far the vertical may lie from the edge of the picture that the EXIF orientation calls its top."""
STEEPEST = 0.85
"""Sine of the steepest view that tells how a camera is rolled. A mount that says a steeper one is likely that of the camera's
body (x ahead) and not of its optical frame (z ahead), a frequent mistake."""
QUARTERS = np.array([[[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]] for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))], float)
"""(4, 3, 3) turns about the viewing axis by 0, 90, 180 and 270 degrees."""
_TOP = {1: (0, -1), 2: (0, -1), 3: (0, 1), 4: (0, 1), 5: (-1, 0), 6: (-1, 0), 7: (1, 0), 8: (1, 0)}
"""EXIF orientation (2.32, section 4.6.4) -> x and y of the way to the top of the picture as it should be seen."""


@dataclass(frozen=True)
class CameraUp:
    """The vertical as somebody tells it.

    Attributes:
        direction: unit vector (x, y, z) in the camera frame (x right, y down, z ahead, of the stored pixels).
        sigma: radians, one standard deviation across it.
        source: who tells it.
    """

    direction: tuple[float, float, float]
    sigma: float
    source: str

    @classmethod
    def of_exif(cls, orientation: int) -> CameraUp | None:
        """By an EXIF orientation (1 … 8). None for 1: cameras write it, too, that do not know how they are held."""
        if orientation not in _TOP or orientation == 1:
            return None
        x, y = _TOP[orientation]
        return cls((float(x), float(y), 0.0), QUARTER, EXIF)


@dataclass(frozen=True, eq=False)
class Held:
    """How a camera was held when it took an image, before the images themselves are asked.

    Attributes:
        rotation: (3, 3) ``level_from_camera``: to a camera that is not rolled, and not pitched where that is known.
        source: who says so; empty where nobody does.
        up: (3,) unit vector in the camera frame where it was measured, else None.
        sigma: of ``up`` in radians.
    """

    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))
    source: str = ""
    up: np.ndarray | None = None
    sigma: float = float("inf")


UNTOLD = Held()


def held_as(up: CameraUp | None, mount: Pose | None) -> Held:
    """By what is known, the best first: a measured vertical, the mount ``base_from_camera``, the EXIF orientation."""
    if up is not None and up.sigma < MEASURED:
        direction = np.array(up.direction)
        return Held(_level(direction), up.source, direction, up.sigma)
    if mount is not None and tells_roll(mount):
        return Held(FLU_FROM_CAMERA.T @ mount.rotation, MOUNT)
    return UNTOLD if up is None else Held(_level(np.array(up.direction)), up.source)


def tells_roll(mount: Pose) -> bool:
    """Whether a mount ``base_from_camera`` says how a camera is rolled."""
    return bool(abs(mount.rotation[2, 2]) < STEEPEST)


def quarter_turns(level_from_world: np.ndarray, up: np.ndarray) -> np.ndarray:
    """(K,) int, 0 … 3: which of ``QUARTERS`` brings the tops of level cameras (K, 3, 3) nearest to the vertical ``up`` (3,).

    0 where a camera looks so steeply up or down that this cannot be told.
    """
    x, y, z = (level_from_world @ up).T
    turns = np.rint(np.arctan2(-x, -y) / (np.pi / 2)).astype(int) % 4
    return np.where(np.abs(z) > STEEPEST, 0, turns)


def _level(up: np.ndarray) -> np.ndarray:
    """(3, 3) ``level_from_camera`` for a vertical (3,) in the camera frame: the view stays as far as it may."""
    ahead = np.array([0.0, 0.0, 1.0])
    if abs(up @ ahead) > STEEPEST:
        ahead = np.array([0.0, -np.sign(up[2]), 0.0])
    ahead = ahead - (ahead @ up) * up
    ahead /= np.linalg.norm(ahead)
    return np.stack([np.cross(-up, ahead), -up, ahead])
