"""The images of a database as a model without poses, and how those of each verified pair lie to each other."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.reconstruction.anchored.relative_poses import Pair, RelativePose, keypoints_of, relative_poses


def load_images(
    database: Path, pairs: np.ndarray, image_ids: Collection[int], min_matches: int, posed: Collection[int]
) -> tuple[pycolmap.Reconstruction, dict[Pair, RelativePose]]:
    """All images that are in pairs, without poses, and those pairs.

    Args:
        database: COLMAP's.
        pairs: (M, 3) image id, image id (the smaller one first), verified matches.
        image_ids: the images whose pairs count.
        min_matches: verified matches that make a pair.
        posed: images that are taken even without a pair, because their pose was given.
    """
    chosen = pairs[(pairs[:, 2] >= min_matches) & np.isin(pairs[:, :2], list(image_ids)).all(1)]
    handle = pycolmap.Database.open(database)
    try:
        options = pycolmap.DatabaseCacheOptions()
        options.min_num_matches = min_matches
        model = pycolmap.Reconstruction()
        model.load(pycolmap.DatabaseCache.create(handle, options))
        for image_id in sorted(set(posed) - set(model.images)):
            _add_image(model, handle, image_id)
        return model, relative_poses(handle, model, chosen.tolist())
    finally:
        handle.close()


def _add_image(model: pycolmap.Reconstruction, handle: pycolmap.Database, image_id: int) -> None:
    image = handle.read_image(image_id)
    camera = handle.read_camera(image.camera_id)
    if not model.exists_camera(camera.camera_id):
        rig = handle.read_rig_with_sensor(camera.sensor_id)
        assert rig is not None, "FeatureDatabase.camera_id writes both"
        model.add_camera(camera)
        model.add_rig(rig)
    keypoints = np.asarray(handle.read_keypoints(image_id), np.float64)[:, :2]
    added = pycolmap.Image(name=image.name, keypoints=keypoints, camera_id=image.camera_id, image_id=image_id)
    added.frame_id = image.frame_id
    model.add_frame(handle.read_frame(image.frame_id))
    model.add_image(added)


def image_rays(model: pycolmap.Reconstruction, image_id: int) -> np.ndarray:
    """(N, 3) unit vectors of an image's keypoints in the camera frame."""
    image = model.image(image_id)
    rays = Camera.from_colmap(model.camera(image.camera_id)).rays(keypoints_of(image))
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))
