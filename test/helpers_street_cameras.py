"""Poses of cameras on a vehicle that drives along streets."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.geometry.pose import Pose

OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
"""``vehicle_from_camera`` of a camera that looks forward."""


def drive(path: np.ndarray, yaws: list[float], pitch: float, seed: int, roll: float = 1.0) -> tuple[Pose, np.ndarray]:
    """Cameras (K,) on a vehicle that follows (K, 3) metres, and the true up, in a world that lies on its side.

    The vehicle tilts with the road; cameras look to ``yaws`` (degrees from forward) and are pitched up by ``pitch``.
    """
    rng = np.random.default_rng(seed)
    spin = Rotation.random(random_state=seed).as_matrix()
    ahead = np.gradient(path, axis=0)
    found = []
    for k in range(len(path)):
        heading = np.degrees(np.arctan2(ahead[k, 1], ahead[k, 0]))
        slope = np.degrees(np.arctan2(ahead[k, 2], np.hypot(*ahead[k, :2])))
        road = Rotation.from_euler("ZYX", [heading, -slope, 0], degrees=True)
        angles = [yaws[k % len(yaws)] + rng.normal(0, 2), -pitch + rng.normal(0, 1), rng.normal(0, roll)]
        world_from_camera = spin @ (road * Rotation.from_euler("ZYX", angles, degrees=True)).as_matrix() @ OPTICAL
        center = spin @ (path[k] + rng.normal(0, [0.3, 0.3, 0.05]))
        found.append(Pose(world_from_camera, center).inverse())
    return Pose.stack(found), spin[:, 2]


T = np.linspace(0, 1, 30)
FLAT = np.column_stack([60 * T, 0 * T, 0 * T])
SLOPE = np.column_stack([60 * T, 0 * T, 6 * T])
HILLS = np.column_stack([200 * T, 40 * np.sin(3 * T), 5 * np.sin(4 * np.pi * T)])
COURT = np.column_stack([15 * np.cos(2 * np.pi * T), 15 * np.sin(2 * np.pi * T), 0 * T])

FORWARD, SIDES, AROUND = [0.0], [90.0, -90.0], [0.0, 62.0, -62.0]
