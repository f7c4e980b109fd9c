"""The whole model turned and shifted to positions and given rotations: positions along a street leave its roll open."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.geometry.similarity import Similarity

ROUNDS = 10
CAUCHY = 3.0
"""Standard deviations where the loss turns from square to logarithmic."""


def settle(
    model: pycolmap.Reconstruction,
    positions: Mapping[int, np.ndarray],
    sigmas: Mapping[int, float],
    heights: Collection[int],
    rotations: Mapping[int, np.ndarray],
    rotation_sigma: float,
) -> None:
    """Move a model rigidly, in place, to where positions and rotations together say.

    The errors of positions are independent, those of rotations alike in all images (a mount that is slightly off, the axes of
    the grid): all rotations together count as one, so that they decide only what positions leave open.

    Args:
        model: near there.
        positions: image id -> (3,) metres, of registered images.
        sigmas: image id -> standard deviation in metres.
        heights: ids of the images whose third coordinate is measured.
        rotations: image id -> (3, 3) ``camera_from_world``.
        rotation_sigma: standard deviation of the rotations, in radians.
    """
    turned = sorted(set(rotations) & set(model.reg_image_ids()))
    placed = sorted(positions)
    metres = np.array([positions[i] for i in placed])
    measured = np.ones((len(placed), 3))
    measured[:, 2] = [i in heights for i in placed]
    measured /= np.array([sigmas[i] for i in placed])[:, None]
    for _ in range(ROUNDS):
        now = np.array([model.image(i).cam_from_world().rotation.matrix() for i in turned]).reshape(-1, 3, 3)
        given = np.array([rotations[i] for i in turned]).reshape(-1, 3, 3)
        turns = Rotation.from_matrix(np.einsum("kji,kjl->kil", given, now)).as_rotvec() / rotation_sigma
        origins = np.array([model.image(i).projection_center() for i in placed])
        middle = origins.mean(0)
        off = (metres - origins) * measured
        of_positions = _weights(off)
        of_turns = _weights(turns) / np.sqrt(max(len(turns), 1))
        levers = np.zeros((len(placed), 3, 3))
        x, y, z = (origins - middle).T
        levers[:, 0, 1], levers[:, 0, 2], levers[:, 1, 2] = z, -y, x
        levers -= np.swapaxes(levers, 1, 2)
        derivative = np.concatenate([levers, np.broadcast_to(np.eye(3), levers.shape)], axis=2) * measured[..., None]
        left = np.vstack(
            [
                (derivative * of_positions[:, None, None]).reshape(-1, 6),
                np.hstack([np.kron(of_turns[:, None], np.eye(3)) / rotation_sigma, np.zeros((3 * len(turned), 3))]),
            ]
        )
        right = np.concatenate([(off * of_positions[:, None]).ravel(), (turns * of_turns[:, None]).ravel()])
        step = np.linalg.lstsq(left, right, rcond=None)[0]
        rotation = Rotation.from_rotvec(step[:3]).as_matrix()
        model.transform(Similarity(1.0, rotation, middle + step[3:] - rotation @ middle).to_colmap())
        if np.abs(step).max() < 1e-9:
            break


def _weights(residuals: np.ndarray) -> np.ndarray:
    """(N,) square roots of the weights of a Cauchy loss of residuals (N, 3)."""
    return np.asarray(1.0 / np.sqrt(1.0 + (residuals**2).sum(1) / CAUCHY**2))
