"""Bundle adjustment of a whole model, and how well a model fits its keypoints."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from seg2d3d_ros.colmap import load_pycolmap

if TYPE_CHECKING:
    import pycolmap

MAX_ERROR = 4.0
"""Pixels that the error of a point counts at most."""


def whole_model(model: pycolmap.Reconstruction, fixed_cameras: Collection[int]) -> pycolmap.BundleAdjustmentConfig:
    """The adjustment of all registered images, with the intrinsics of ``fixed_cameras`` (ids) held."""
    config = load_pycolmap().BundleAdjustmentConfig()
    for image_id in sorted(model.reg_image_ids()):
        config.add_image(image_id)
    for camera_id in sorted(set(fixed_cameras) & set(model.cameras)):
        config.set_constant_cam_intrinsics(camera_id)
    return config


def robust_error(model: pycolmap.Reconstruction) -> float:
    """Mean over the points of their reprojection errors in pixels, each counted up to ``MAX_ERROR``; 0 without points."""
    model.update_point_3d_errors()
    errors = np.fromiter((p.error for p in model.points3D.values()), float, model.num_points3D())
    return float(np.minimum(errors, MAX_ERROR).mean()) if len(errors) else 0.0
