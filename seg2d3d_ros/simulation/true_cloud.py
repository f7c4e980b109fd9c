"""A dense cloud of the simulated street's standing surfaces, as the cameras see them, with the true owner of each point."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.voxels import one_per_voxel
from seg2d3d_ros.mapstore.point_cloud import cloud_points
from seg2d3d_ros.simulation.scene.mesh import concatenate
from seg2d3d_ros.simulation.scene.render import Scene
from seg2d3d_ros.simulation.scene.street import Street
from seg2d3d_ros.simulation.scene.texture_atlas import TextureAtlas

FILE = "cloud.ply"
SPACING = 0.05
"""Metres: of the points in a cube of this side one is kept."""
NOISE = 0.02
"""Standard deviation along the ray, metres."""
RANGE = 40.0
"""Metres: what is farther away is left out."""


def true_cloud(
    street: Street, camera: Camera, street_from_cameras: Iterable[Pose], seeds: np.random.SeedSequence
) -> np.ndarray:
    """(N,) ``CLOUD_POINT`` in the street frame: colours as seen, ``instance`` the owner: 0 = none, ``FAR_HOUSE``.

    Args:
        camera: a ray is cast for each of its pixels.
        street_from_cameras: where from.
    """
    scene = Scene(street.mesh, concatenate([]), TextureAtlas(street.textures), street.sun)
    places, colors, owners = [np.empty((0, 3))], [np.empty((0, 3))], [np.empty(0, np.int32)]
    rng = np.random.default_rng(seeds)
    for pose in street_from_cameras:
        color, label = scene.render(camera, pose)
        ray = scene.surface(camera, pose) - pose.translation
        distance = np.linalg.norm(ray, axis=-1)
        seen = distance < RANGE
        error = rng.normal(0.0, NOISE, np.count_nonzero(seen))
        places.append(pose.translation + ray[seen] * (1 + error / distance[seen])[:, None])
        colors.append(color[seen])
        owners.append(label[seen])
    xyz, rgb, owner = (np.concatenate(column) for column in (places, colors, owners))
    kept = one_per_voxel(xyz, SPACING)
    return cloud_points(xyz[kept], np.clip(rgb[kept], 0, 255).astype(np.uint8), owner[kept], np.ones(len(kept)))
