"""A street that is revealed view by view, with poses, points and masks that are partly wrong."""

from __future__ import annotations

import numpy as np

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.types import Segments, SparseModel

WIDTH, HEIGHT, FOCAL = 96, 64, 48.0
HOUSE, DEPTH = 8.0, 10.0


def street(seed: int, *, houses: int = 5, views: int = 10, errors: bool = True, far: float = 0.0):
    """A model of all views that look at a row of houses, and the masks of each.

    Args:
        errors: some masks are glued, some are missing.
        far: where the street begins.
    """
    rng = np.random.default_rng(seed)
    per_house = 30
    house = np.repeat(np.arange(houses), per_house)
    xyz = np.column_stack(
        [
            far + (house + rng.uniform(0.05, 0.95, len(house))) * HOUSE,
            rng.uniform(-5, 5, len(house)),
            np.full(len(house), DEPTH),
        ]
    )
    centers = far + np.linspace(0.5, houses - 0.5, views) * HOUSE
    names = tuple(f"view{int(far)}_{k}" for k in range(views))
    keyframe, point, pixels, segments = [], [], [], {}
    for k, (name, center) in enumerate(zip(names, centers, strict=True)):
        xy = FOCAL * (xyz[:, :2] - [center, 0.0]) / DEPTH + [WIDTH / 2, HEIGHT / 2]
        inside = np.flatnonzero((xy > 0).all(axis=1) & (xy < [WIDTH, HEIGHT]).all(axis=1) & (rng.random(len(xy)) < 0.6))
        keyframe += [k] * len(inside)
        point += inside.tolist()
        pixels.append(xy[inside])
        labels = np.zeros((HEIGHT, WIDTH), np.uint16)
        glue = errors and rng.random() < 0.25
        for h in range(houses):
            edges = FOCAL * (far + np.array([h, h + 1]) * HOUSE - center) / DEPTH + WIDTH / 2
            first, last = np.clip(np.round(edges).astype(int), 0, WIDTH)
            if last - first > 4 and not (errors and rng.random() < 0.1):
                labels[2:-2, first:last] = 10 + h - (h % 2 if glue else 0)
        ids = np.unique(labels[labels > 0])
        segments[name] = Segments(name, labels, ids, np.ones(len(ids), np.int32), np.full(len(ids), 0.8, np.float32))
    poses = np.tile(np.eye(3, 4), (views, 1, 1))
    poses[:, 0, 3] = -centers
    model = SparseModel(
        names,
        (Camera("PINHOLE", WIDTH, HEIGHT, (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2)),) * views,
        poses,
        xyz,
        np.full((len(xyz), 3), 90, np.uint8),
        np.full(len(xyz), 0.4, np.float32),
        np.arange(len(xyz), dtype=np.int64) + int(far) * 1000,
        np.array(keyframe, np.int32),
        np.array(point, np.int32),
        np.concatenate(pixels).astype(np.float32),
    )
    return model, segments


def reveal(model: SparseModel, shown: np.ndarray) -> SparseModel:
    """The model as if only these views, (K,) bool, had come: a point needs two of them."""
    seen = np.zeros((len(model.xyz), len(shown)), bool)
    seen[model.obs_point, model.obs_keyframe] = True
    points = seen[:, shown].sum(axis=1) >= 2
    kept = shown[model.obs_keyframe] & points[model.obs_point]
    keyframe, point = np.cumsum(shown) - 1, np.cumsum(points) - 1
    return SparseModel(
        tuple(name for name, there in zip(model.names, shown, strict=True) if there),
        model.cameras[: int(shown.sum())],
        model.camera_from_world[shown],
        model.xyz[points],
        model.rgb[points],
        model.error[points],
        model.point_ids[points],
        keyframe[model.obs_keyframe[kept]].astype(np.int32),
        point[model.obs_point[kept]].astype(np.int32),
        model.obs_xy[kept],
        model.frame,
    )
