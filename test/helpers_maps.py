"""A small made-up map whose answer is known: three keyframes that see two houses."""

import numpy as np

from seg2d3d_ros.association.masks.repair import Repair
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.types import Segments, SparseModel, WorldFrame

WIDTH, HEIGHT, POINTS = 64, 48, 40


def two_houses(images: int = 4) -> tuple[SparseModel, dict[str, Segments]]:
    """Points 0–19 lie on the left house, 20–39 on the right one; every keyframe sees all of them, each house in its half.

    Local segment ids change from image to image and mean nothing.
    """
    rng = np.random.default_rng(3)
    names = tuple(f"view{k}" for k in range(images))
    left = np.arange(POINTS) < POINTS // 2
    xy = np.stack([np.where(left, 8.5, 40.5) + rng.uniform(0, 12, POINTS), rng.uniform(5, 40, POINTS)], axis=1)
    model = SparseModel(
        names=names,
        cameras=(Camera("PINHOLE", WIDTH, HEIGHT, (60.0, 60.0, 32.0, 24.0)),) * images,
        camera_from_world=np.tile(np.eye(3, 4), (images, 1, 1)),
        xyz=np.stack([np.where(left, -5.0, 5.0) + rng.uniform(-1, 1, POINTS), xy[:, 1], np.full(POINTS, 9.0)], axis=1),
        rgb=np.full((POINTS, 3), 100, np.uint8),
        error=np.full(POINTS, 0.5, np.float32),
        point_ids=np.arange(POINTS, dtype=np.int64) + 7,
        obs_keyframe=np.repeat(np.arange(images, dtype=np.int32), POINTS),
        obs_point=np.tile(np.arange(POINTS, dtype=np.int32), images),
        obs_xy=np.tile(xy, (images, 1)).astype(np.float32),
        frame=WorldFrame("enu", (55.7, 13.2, 40.0)),
    )
    segments = {}
    for k, name in enumerate(names):
        first, second = (3 + k, 11 + k) if k % 2 == 0 else (11 + k, 3 + k)
        labels = np.zeros((HEIGHT, WIDTH), np.uint16)
        labels[2:46, 4:30], labels[2:46, 34:60] = first, second
        ids = np.array(sorted((first, second)), np.uint16)
        segments[name] = Segments(name, labels, ids, np.ones(2, np.int32), np.array([0.9, 0.7], np.float32))
    return model, segments


def write_result(store, models, segments, incidence, instances, class_names, repair=None) -> None:
    """Label images, tracks.json and points.ply of a map, as a session writes them."""
    repair, observations = repair or Repair(incidence, instances), []
    for item in segments.values():
        repaired = repair(item)
        store.write_labels(item.name, repaired.labels)
        observations += repaired.observations()
    store.write_summary(models, observations, instances, class_names)
