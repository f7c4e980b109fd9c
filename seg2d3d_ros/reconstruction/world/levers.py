"""Positions that were measured at another point of the vehicle than the camera: at its antenna, or its origin."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def camera_positions(
    positions: Mapping[int, np.ndarray], levers: Mapping[int, np.ndarray], rotations: Mapping[int, np.ndarray]
) -> dict[int, np.ndarray]:
    """The positions of the cameras; where a rotation is not known yet, that of the measured point.

    Args:
        positions: image id -> (3,) metres, of the measured points.
        levers: image id -> (3,) metres, the measured point in the camera's frame; none where that is the camera.
        rotations: image id -> (3, 3) ``camera_from_world``.
    """
    return {
        i: place - rotations[i].T @ levers[i] if i in levers and i in rotations else place for i, place in positions.items()
    }
