"""The covariance of a model's poses where positions hold it: what the map's own shape, and what the positions leave open.

An adjustment weighs keypoints and positions as if both erred independently, by what they claim. That fixes, to first order, how
it carries errors of either into poses (the *gain*, as in a Kalman filter, with shift, turn and stretch as unknowns of which
nothing is known before: universal kriging). The covariance is that of the same gain under the errors that positions and
keypoints really have: those of neighbouring positions are alike, and do not average out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.mapstore.pose_covariance import center_rows, gauge_directions
from seg2d3d_ros.reconstruction.certainty.position_noise import PositionRests, position_noise

LOOSE = 1.0
"""Radians, and share of the scale: what is known of turn and stretch where nothing tells them."""
UNMEASURED = 1e3
"""Standard deviations of an unknown height in those of the horizontal position."""


@dataclass(frozen=True, eq=False)
class HeldPositions:
    """Positions that hold a model.

    Attributes:
        images: (n,) places of their images among the model's.
        rest: (n, 3) metres, positions less centres in the map.
        sigmas: (n,) standard deviations that the adjustment took them to have, metres.
        claimed: (n, 2) standard deviations that are claimed, in the plane and upwards, metres.
        heights: (n,) bool, whether the third coordinate was measured.
        times: (n,) of the images; equal ones are of one moment.
        pulled: whether they pulled at the model's shape, too; False: it was only laid over them.
        gauge: (7, 7) what else was known of shift, turn and stretch: an inverse covariance, in the order of
            ``gauge_directions``.
    """

    images: np.ndarray
    rest: np.ndarray
    sigmas: np.ndarray
    claimed: np.ndarray
    heights: np.ndarray
    times: np.ndarray
    pulled: bool
    gauge: np.ndarray


def held_covariance(free: np.ndarray, centers: np.ndarray, pixel_sigma: float, held: HeldPositions) -> np.ndarray:
    """(6K, 6K) covariance of the poses in the positions' frame.

    Args:
        free: (6K, 6K) by keypoints good to one pixel, without the gauge (``without_gauge``).
        centers: (K, 3) of the cameras in metres.
        pixel_sigma: how good keypoints really are, in pixels.
        held: at least three positions.
    """
    count = len(held.images)
    directions, rows = gauge_directions(centers), center_rows(held.images)
    noise = np.repeat(held.sigmas[:, None], 3, axis=1)
    noise[~held.heights, 2] *= UNMEASURED
    noise = np.square(noise).ravel()
    known = held.gauge + np.diag([0.0, 0.0, 0.0, *(4 * [1.0 / LOOSE**2])])
    shape = free[np.ix_(rows, rows)]
    weighed = np.diag(noise) + (shape if held.pulled else 0.0)
    inverse = np.linalg.inv(weighed)
    design = directions[rows]
    left = np.linalg.inv(design.T @ inverse @ design + known)
    to_gauge = left @ design.T @ inverse
    gain = directions @ to_gauge
    rest = held.rest.ravel()
    if held.pulled:
        gain = gain + free[:, rows] @ inverse @ (np.eye(3 * count) - design @ to_gauge)
        rest = weighed @ (rest / noise)  # before the positions pulled, but for what the map as a whole can do
    own = pixel_sigma**2 * shape
    errors = _errors(held, rest.reshape(count, 3), design.reshape(count, 3, -1), own.reshape(count, 3, count, 3))
    carried = -gain
    moved = np.eye(len(free))
    moved[:, rows] += carried
    found = pixel_sigma**2 * moved @ free @ moved.T + gain @ errors @ gain.T
    found += directions @ (left @ known @ left) @ directions.T
    return np.asarray((found + found.T) / 2)


def _errors(held: HeldPositions, rest: np.ndarray, design: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(3n, 3n) covariance of the positions' errors: one noise east and north, one upwards, where heights were measured."""
    count = len(rest)
    plane = position_noise(PositionRests(rest[:, :2], design[:, :2], own[:, :2][..., :2], held.claimed[:, 0], held.times))
    errors = np.zeros((count, 3, count, 3))
    errors[:, 0, :, 0] = errors[:, 1, :, 1] = plane
    errors[:, 2, :, 2] = np.diag(np.square(held.claimed[:, 1] * UNMEASURED))
    if (high := np.flatnonzero(held.heights)).size:
        upwards = PositionRests(
            rest[high][:, 2:],
            design[high][:, 2:],
            own[high][:, 2:][:, :, high][..., 2:],
            held.claimed[high, 1],
            held.times[high],
        )
        errors[high[:, None], 2, high[None], 2] = position_noise(upwards)
    return errors.reshape(3 * count, 3 * count)
