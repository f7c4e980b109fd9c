"""A small map for tests of messages, and what their clouds look like."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import PointField

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.ros.messages.conversion import make_header
from seg2d3d_ros.types import SparseModel, WorldFrame

STAMP = 1_700_000_000_123_456_789
MAP = make_header(STAMP, "map")
CAMERA = Camera("PINHOLE", 64, 48, (50.0, 50.0, 32.0, 24.0))


def model(
    names: list[str], first_id: int, *, seed: int = 0, frame: WorldFrame | None = None, component: int = 0
) -> SparseModel:
    """Six points, every keyframe sees all of them."""
    rng = np.random.default_rng(seed)
    count, keyframes = 6, len(names)
    turns = Rotation.random(keyframes, random_state=seed).as_matrix()
    return SparseModel(
        names=tuple(names),
        cameras=(CAMERA,) * keyframes,
        camera_from_world=np.concatenate([turns, rng.normal(size=(keyframes, 3, 1))], axis=2),
        xyz=rng.normal(size=(count, 3)),
        rgb=rng.integers(0, 256, (count, 3)).astype(np.uint8),
        error=np.ones(count, np.float32),
        point_ids=first_id + np.array([5, 0, 3, 1, 4, 2], np.int64),
        obs_keyframe=np.repeat(np.arange(keyframes, dtype=np.int32), count),
        obs_point=np.tile(np.arange(count, dtype=np.int32), keyframes),
        obs_xy=rng.uniform([0, 0], [64, 48], (keyframes * count, 2)).astype(np.float32),
        frame=frame or WorldFrame(),
        component=component,
    )


def layout(cloud) -> list[tuple[str, int, int, int]]:
    return [(field.name, field.offset, field.datatype, field.count) for field in cloud.fields]


F, U4, U2, I4 = PointField.FLOAT32, PointField.UINT32, PointField.UINT16, PointField.INT32
