"""The rotations of all images from those of pairs (rotation averaging), and the one that takes them to east, north, up.

Chatterjee and Govindu, Efficient and robust large-scale rotation averaging, ICCV 2013, in COLMAP's form, which knows that
the images of one moment turn together.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.up import Up, Z
from seg2d3d_ros.reconstruction.anchored.anchor import Anchor
from seg2d3d_ros.reconstruction.anchored.relative_poses import Pair, RelativePose

CONSISTENT_DEGREES = 10.0
"""Pairs whose rotation contradicts the averaged ones by more are wrong."""
ROUNDS = 30
DIRECTION_SIGMA = np.deg2rad(3.0)
"""Of the direction of a pair's baseline; what positions err comes on top."""
CAUCHY = 3.0


def average_rotations(
    model: pycolmap.Reconstruction, relative: Mapping[Pair, RelativePose], seed: int
) -> dict[int, np.ndarray]:
    """Image id -> (3, 3) ``camera_from_world`` of the largest connected part, in a frame of its own.

    Args:
        model: all images, in rig frames where a rig is known; gets rotations.
        relative: verified pairs.
        seed: of random choices.
    """
    graph = pycolmap.PoseGraph()
    for (first, second), pair in relative.items():
        edge = pycolmap.PoseGraphEdge(pair.second_from_first.to_colmap())
        edge.num_matches = len(pair.matches)
        graph.add_edge(first, second, edge)
    options = pycolmap.RotationEstimatorOptions()
    options.random_seed = seed
    options.max_rotation_error_deg = CONSISTENT_DEGREES
    options.refine_sensor_from_rig = False
    if graph.empty or not pycolmap.run_rotation_averaging(options, graph, model, []):
        return {}
    return {i: model.image(i).cam_from_world().rotation.matrix() for i in model.reg_image_ids()}


def consistent_pairs(rotations: Mapping[int, np.ndarray], relative: Mapping[Pair, RelativePose]) -> dict[Pair, RelativePose]:
    """The pairs whose rotation the averaged ones confirm."""
    return {
        (a, b): pair
        for (a, b), pair in relative.items()
        if a in rotations and b in rotations
        if angle_between(rotations[b] @ rotations[a].T, pair.second_from_first.rotation) < np.deg2rad(CONSISTENT_DEGREES)
    }


def angle_between(one: np.ndarray, other: np.ndarray) -> float:
    """Radians between two rotations (3, 3)."""
    return float(Rotation.from_matrix(one @ other.T).magnitude())


def turn_to_positions(
    rotations: Mapping[int, np.ndarray], relative: Mapping[Pair, RelativePose], anchor: Anchor
) -> dict[int, np.ndarray]:
    """The rotations ``camera_from_world`` in east, north, up, so that the pairs' baselines point where the positions say.

    Along a straight street the baselines leave a turn about it open; there the vertical of the cameras decides.

    Args:
        rotations: of one connected part, in a frame of its own.
        relative: its pairs.
        anchor: positions, and the vertical.
    """
    source, target, weight = [], [], []
    for (a, b), pair in relative.items():
        if a in anchor.positions and b in anchor.positions:
            baseline = (anchor.positions[b] - anchor.positions[a]) * [1.0, 1.0, float({a, b} <= set(anchor.heights))]
            length = float(np.linalg.norm(baseline))
            error = np.hypot(anchor.sigmas[a], anchor.sigmas[b])
            direction = -rotations[b].T @ pair.second_from_first.translation
            norm = float(np.linalg.norm(direction))
            if length > 0.0 and norm > 0.0:
                source.append(direction / norm)
                target.append(baseline / length)
                weight.append(1.0 / (DIRECTION_SIGMA**2 + (error / length) ** 2))
    ids = sorted(rotations)
    verticals = anchor.verticals(ids, Pose(np.array([rotations[i] for i in ids]), np.zeros((len(ids), 3))))
    directions = np.array(source).reshape(-1, 3), np.array(target).reshape(-1, 3), np.array(weight)
    ways = [(*_align(*directions, up), up.against) for up in verticals]
    turned, _, _ = min(ways, key=lambda way: way[1] + way[2])  # along a bend the baselines tell cameras that are mounted rolled
    return {i: rotation @ turned.T for i, rotation in rotations.items()}


def _align(source: np.ndarray, target: np.ndarray, weight: np.ndarray, up: Up) -> tuple[np.ndarray, float]:
    """(3, 3) the rotation that takes directions to others and ``up`` to z, and the cost of the directions.

    Args:
        source: (N, 3).
        target: (N, 3).
        weight: (N,) 1/rad²; a Cauchy loss turns at three standard deviations.
        up: counts as much as all directions together, because it alone tells of the turn about them.
    """
    sources, targets = np.vstack([source, up.direction]), np.vstack([target, Z])
    weights = np.append(weight, max(len(weight), 1) / up.sigma**2)
    robust, rotation = weights, np.eye(3)
    for _ in range(ROUNDS):
        rotation = Rotation.align_vectors(targets, sources, weights=robust)[0].as_matrix()
        squares = ((sources @ rotation.T - targets) ** 2).sum(1) * np.append(weight, 1.0 / up.sigma**2)
        robust = weights / (1.0 + squares / CAUCHY**2)
    return np.asarray(rotation), float((CAUCHY**2 * np.log1p(squares[:-1] / CAUCHY**2)).sum())
