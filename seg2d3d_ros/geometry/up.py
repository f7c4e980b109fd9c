"""Which way is up: the vertical of a model's world frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seg2d3d_ros.types import SparseModel

UP = np.array([0.0, 0.0, 1.0])
UPRIGHT_WEIGHT = 0.05
"""How much the mean of the cameras' own up counts beside their horizontal axes: it decides what those leave open."""
LEVEL_WEIGHT = 0.2
"""How much it counts that cameras travel on about one level; forward-looking cameras on a straight road need it."""
MAX_CLIMB = 0.5
"""Cosine between the cameras' main direction of travel and their up beyond which they climb, as drones and lifts do."""


def up_of(model: SparseModel) -> np.ndarray:
    """(3,) unit vector: up in the model's world frame.

    Georeferenced models are east-north-up. Elsewhere photographs say it: cameras are rarely rolled, so that their x axes
    are horizontal and up is what is perpendicular to all of them (Brown and Lowe, Automatic panoramic image stitching
    using invariant features, IJCV 2007, section 5). One street seen forward has one x axis only; there the cameras' mean up
    and the level on which they travel decide. Without poses the z axis is taken.
    """
    if model.frame.kind == "enu" or len(model.names) == 0 or not np.isfinite(model.camera_from_world).all():
        return UP.copy()
    sideways, above = model.camera_from_world[:, 0, :3], -model.camera_from_world[:, 1, :3]
    mean_up = above.mean(axis=0)
    if np.linalg.norm(mean_up) < 1e-6:
        return UP.copy()
    mean_up /= np.linalg.norm(mean_up)
    # The vector u that minimises the sum of (x·u)² over the cameras, pulled towards the mean up and across the travel.
    cost = sideways.T @ sideways / len(sideways) - UPRIGHT_WEIGHT * np.outer(mean_up, mean_up)
    travel = model.centers - model.centers.mean(axis=0)
    spread = travel.T @ travel
    largest = np.linalg.eigh(spread)
    if largest[0][-1] > 0 and abs(largest[1][:, -1] @ mean_up) < MAX_CLIMB:
        cost = cost + LEVEL_WEIGHT * spread / largest[0][-1]
    up = np.linalg.eigh(cost)[1][:, 0]
    return up if up @ mean_up > 0 else -up


def stacked_up(models: Sequence[SparseModel]) -> np.ndarray:
    """(P, 3) float32 the up vector at each point of all components, in the incidence's order."""
    return np.concatenate(
        [np.empty((0, 3), np.float32), *(np.tile(up_of(m).astype(np.float32), (len(m.point_ids), 1)) for m in models)]
    )
