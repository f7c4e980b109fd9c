"""Which way is up in a model whose images were given rotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.up import Up, Z

AGREE = np.deg2rad(5.0)
"""Median of the angles between a model's rotations and given ones, turned as a whole, within which they agree."""
ENOUGH = 200
"""Images, evenly among them, that tell the vertical."""


def up_by_attitudes(poses: Pose, readings: Sequence[Mapping[str, np.ndarray]], sigma: float) -> Up | None:
    """The vertical of a model's frame by the given rotations of its images; None where it does not agree with them.

    Args:
        poses: (K,) ``camera_from_world`` of the model.
        readings: (K,) what the given rotations may mean -> (3, 3) ``world_from_camera``.
        sigma: standard deviation of the given rotations in radians, alike in all images.
    """
    chosen = np.unique(np.linspace(0, len(readings) - 1, min(len(readings), ENOUGH)).astype(np.int64)).tolist()
    best: tuple[float, np.ndarray] | None = None
    for name in dict.fromkeys(name for k in chosen for name in readings[k]):
        rows = [k for k in chosen if name in readings[k]]
        turns = Rotation.from_matrix(np.array([readings[k][name] @ poses.rotation[k] for k in rows]))
        off = (turns.mean().inv() * turns).magnitude()
        near = off <= np.median(off)
        middle = turns[near].mean()
        spread = float(np.median((middle.inv() * turns).magnitude()))
        if spread < AGREE and (best is None or spread < best[0]):
            best = spread, middle.as_matrix().T @ Z
    if best is None:
        return None
    return Up(best[1], (np.eye(3) - np.outer(best[1], best[1])) / sigma**2)
