"""How vehicles and cameras stand, by the three angles that navigation systems and photogrammetry write.

Worlds are east, north, up. Bodies are vehicles as ROS has them (x forward, y left, z up; REP 103) or cameras (x right, y down,
z forward). Angles are radians.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from scipy.spatial.transform import Rotation

AngleConvention: TypeAlias = Literal["ned", "enu"]
"""Of roll, pitch and yaw. ``ned``: of a body forward, right, down in north, east, down, as inertial navigation systems write
them: yaw clockwise from north, pitch up, roll to the right. ``enu``: of a body forward, left, up in east, north, up, as ROS
writes them: yaw counter-clockwise from east, pitch down, roll to the right."""

ENU_FROM_NED = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
FLU_FROM_FRD = np.diag([1.0, -1.0, -1.0])
FLU_FROM_CAMERA = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""``base_from_camera`` of a camera that looks forward, upright: x right, y down, z forward (REP 103)."""


def enu_from_vehicle(angles: np.ndarray, convention: AngleConvention) -> np.ndarray:
    """(3, 3) of roll, pitch, yaw (3,): about the body's x axis first, then y, then z."""
    turn = Rotation.from_euler("ZYX", np.asarray(angles, np.float64)[::-1]).as_matrix()
    return turn if convention == "enu" else ENU_FROM_NED @ turn @ FLU_FROM_FRD


def vehicle_angles(enu_from_vehicle: np.ndarray, convention: AngleConvention) -> np.ndarray:
    """(3,) roll, pitch, yaw of a rotation (3, 3): the inverse of ``enu_from_vehicle``."""
    turn = enu_from_vehicle if convention == "enu" else ENU_FROM_NED.T @ enu_from_vehicle @ FLU_FROM_FRD.T
    return np.asarray(Rotation.from_matrix(turn).as_euler("ZYX")[::-1])


def enu_from_camera(angles: np.ndarray) -> np.ndarray:
    """(3, 3) of omega, phi, kappa (3,), the angles of photogrammetry, whose camera looks along -z and has y up.

    Luhmann et al., Close-Range Photogrammetry, 2.2: R = R_x(omega) R_y(phi) R_z(kappa), image to world.
    """
    return Rotation.from_euler("XYZ", np.asarray(angles, np.float64)).as_matrix() @ FLU_FROM_FRD
