"""A walk along façades that look alike, and the wrong matches between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.types import Segments, SparseModel, WorldFrame

WIDTH, HEIGHT, FOCAL = 640, 480, 600.0
CAMERA = Camera("PINHOLE", WIDTH, HEIGHT, (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2))
STEP, VIEWS, SIDE = 5.0, 8, -5.0
MASK = 7


def street(seed: int, per_meter: float = 8.0) -> SparseModel:
    """A walk along a façade on the left; each point is seen by the two to four views in front of it."""
    rng = np.random.default_rng(seed)
    length = STEP * VIEWS + 30.0
    count = int(length * per_meter)
    xyz = np.column_stack([np.full(count, SIDE), rng.uniform(-3.0, 2.0, count), rng.uniform(5.0, length, count)])
    pose = np.tile(np.eye(4)[:3], (VIEWS, 1, 1))
    pose[:, 2, 3] = -STEP * np.arange(VIEWS)
    keyframe, point, pixels = [], [], []
    for p, position in enumerate(xyz):
        depth = position[2] - STEP * np.arange(VIEWS)
        xy = FOCAL * position[None, :2] / np.maximum(depth, 1e-9)[:, None] + [WIDTH / 2, HEIGHT / 2]
        inside = (depth > 1) & (xy > 0).all(axis=1) & (xy < [WIDTH, HEIGHT]).all(axis=1)
        seen = np.flatnonzero(inside)[-int(rng.integers(2, 5)) :]
        if len(seen) >= 2:
            keyframe += seen.tolist()
            point += [p] * len(seen)
            pixels += xy[seen].tolist()
    return SparseModel(
        names=tuple(f"v{k}" for k in range(VIEWS)),
        cameras=(CAMERA,) * VIEWS,
        camera_from_world=pose,
        xyz=xyz,
        rgb=np.zeros((count, 3), np.uint8),
        error=np.ones(count, np.float32),
        point_ids=np.arange(count),
        obs_keyframe=np.array(keyframe, np.int32),
        obs_point=np.array(point, np.int32),
        obs_xy=np.array(pixels, np.float32),
        frame=WorldFrame(),
    )


def masks() -> dict[str, Segments]:
    """The whole image is one mask, in each view."""
    labels = np.full((HEIGHT, WIDTH), MASK, np.uint16)
    one = np.ones(1, np.int32)
    return {f"v{k}": Segments(f"v{k}", labels, np.array([MASK], np.uint16), one, one.astype(np.float32)) for k in range(VIEWS)}


def with_doppelgangers(model: SparseModel, first: int, second: int, count: int, seed: int, u: tuple[float, float] = (60, 180)):
    """The model with matches between two views at nearly the same pixel: points far behind the row."""
    rng = np.random.default_rng(seed)
    gap = STEP * (second - first)
    xy = np.column_stack([rng.uniform(*u, count), rng.uniform(200, 280, count)])
    depth = gap * rng.uniform(5.0, 7.0, count)
    xyz = np.column_stack([(xy - [WIDTH / 2, HEIGHT / 2]) / FOCAL * depth[:, None], depth]) + [0, 0, STEP * first]
    there = FOCAL * xyz[:, :2] / (xyz[:, 2:] - STEP * second) + [WIDTH / 2, HEIGHT / 2]
    return with_points(model, xyz, [first, second], np.stack([xy, there]))


def with_points(model: SparseModel, xyz: np.ndarray, views: list[int], xy: np.ndarray) -> SparseModel:
    """The model with points (n, 3) that these views see at (views, n, 2)."""
    count, before = len(xyz), len(model.xyz)
    return replace(
        model,
        xyz=np.concatenate([model.xyz, xyz]),
        rgb=np.concatenate([model.rgb, np.zeros((count, 3), np.uint8)]),
        error=np.concatenate([model.error, np.ones(count, np.float32)]),
        point_ids=np.arange(before + count),
        obs_keyframe=np.concatenate([model.obs_keyframe, np.repeat(np.array(views, np.int32), count)]),
        obs_point=np.concatenate([model.obs_point, np.tile(np.arange(before, before + count, dtype=np.int32), len(views))]),
        obs_xy=np.concatenate([model.obs_xy, xy.reshape(-1, 2).astype(np.float32)]),
    )
