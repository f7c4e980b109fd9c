"""A tiny street to learn from: walls of three houses side by side, seen by cameras that stand before them."""

import numpy as np

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.learning.scene_building import Cloud, SceneView, build_scene, prepare_cloud
from seg2d3d_ros.superpoints.shown_labels import ShownLabels

VOXEL = 0.5
UP = np.array([0.0, 0.0, 1.0])
CAMERA = Camera("PINHOLE", 200, 160, (100.0, 100.0, 100.0, 80.0))
FACING = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""Rotation of ``camera_from_world`` of a camera that looks along y."""


def street_cloud(seed: int = 0, houses: int = 3) -> tuple[Cloud, np.ndarray]:
    """A cloud with ground, and the owner of each point (N,): 1 … ``houses``, 0 = the ground."""
    rng = np.random.default_rng(seed)
    parts, owners, colors = [], [], []
    for k in range(houses):
        depth, height = 3.0 * (k % 2), rng.uniform(5, 9)
        x, z = np.meshgrid(np.arange(0, 7.4, 0.4), np.arange(0.4, height, 0.4))
        front = np.stack([8.0 * k + x.ravel(), np.full(x.size, depth), z.ravel()], axis=1)
        parts.append(front + rng.normal(0, 0.02, front.shape))
        owners.append(np.full(len(front), k + 1))
        colors.append(np.tile(rng.integers(40, 220, 3), (len(front), 1)))
    x, y = np.meshgrid(np.arange(-2, 8.0 * houses, 0.6), np.arange(-6, 0, 0.6))
    parts.append(np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1))
    owners.append(np.zeros(x.size, int))
    colors.append(np.full((x.size, 3), 90))
    return Cloud(np.concatenate(parts), np.concatenate(colors).astype(np.uint8), UP), np.concatenate(owners)


def street_views(xyz: np.ndarray, owner: np.ndarray, places: tuple[float, ...], seed: int = 0) -> list[SceneView]:
    """What cameras at these x show: what lies within 6 m of them, each house under an id of the image's own."""
    rng = np.random.default_rng(seed)
    found = []
    for number, x in enumerate(places):
        view = View(CAMERA, Pose(FACING, -FACING @ np.array([x, -9.0, 2.0])))
        point = np.flatnonzero(np.abs(xyz[:, 0] - x) < 6).astype(np.int32)
        own = np.append(0, rng.permutation(np.arange(1, 20)))[owner[point]].astype(np.int32)
        pixels, depth = view.project(xyz[point])
        shown = ShownLabels(view, point, own, pixels.astype(np.float32), depth.astype(np.float32))
        found.append(SceneView(f"view{number}", shown, owner[point].astype(np.int32)))
    return found


def street_scene(seed: int = 0, places: tuple[float, ...] = (2.0, 6.0, 10.0, 14.0, 18.0, 22.0)):
    """The scene, and the owner of each of its points."""
    cloud, owner = street_cloud(seed)
    prepared = prepare_cloud(cloud, VOXEL / 2, Findings())
    mine = owner[prepared.row]
    views = street_views(prepared.xyz.astype(float) + prepared.origin, mine, places, seed)
    return build_scene(f"street{seed}", prepared, views, Findings()), mine
