"""Positions as evidence in the adjustment, once the robust similarity has brought the model near them."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from seg2d3d_ros.colmap import load_pycolmap

LOSS_SCALE = 2.8
"""Standard deviations where a position's pull turns from square to logarithmic: 95 % of three normal coordinates."""
OUTLIER = 4.0
"""Positions further off than this many standard deviations say nothing; else the solver's own alignment follows them."""
MIN_POSITIONS = 6
WORSE = 1.05
"""The reprojection error may grow by this factor at most: positions may bend a model only where its points allow it."""


def adjust_with_positions(
    reconstruction: Any,
    positions: Mapping[int, np.ndarray],
    sigmas: Mapping[int, float],
    options: Any,
    fixed_cameras: Collection[int],
) -> Any | None:
    """A copy of a georeferenced model, adjusted to its keypoints and to the positions of its cameras.

    Args:
        reconstruction: a ``pycolmap.Reconstruction`` in the positions' frame; not changed.
        positions: image id -> (3,) metres.
        sigmas: image id -> standard deviation in metres.
        options: ``pycolmap.BundleAdjustmentOptions`` for the keypoints.
        fixed_cameras: ids of cameras whose intrinsics stay.

    Returns:
        None where there are too few positions, or where the keypoints would fit clearly worse.
    """
    pycolmap = load_pycolmap()
    adjusted = copy.deepcopy(reconstruction)
    config, priors = pycolmap.BundleAdjustmentConfig(), []
    for image_id in sorted(adjusted.reg_image_ids()):
        config.add_image(image_id)
        image = adjusted.image(image_id)
        if image_id in positions:
            away = np.linalg.norm(image.projection_center() - positions[image_id])
            if away <= OUTLIER * sigmas[image_id]:
                prior = pycolmap.PosePrior()
                prior.corr_data_id = image.data_id
                prior.position = positions[image_id]
                prior.position_covariance = np.eye(3) * sigmas[image_id] ** 2
                prior.coordinate_system = pycolmap.PosePriorCoordinateSystem.CARTESIAN
                priors.append(prior)
    if len(priors) < MIN_POSITIONS:
        return None
    for camera_id in set(fixed_cameras) & set(adjusted.cameras):
        config.set_constant_cam_intrinsics(camera_id)
    prior_options: Any = pycolmap.PosePriorBundleAdjustmentOptions()
    prior_options.alignment_ransac.max_error = OUTLIER * float(np.median([sigmas[i] for i in positions]))
    prior_options.alignment_ransac.random_seed = 0
    prior_options.ceres.prior_position_loss_function_type = pycolmap.LossFunctionType.CAUCHY
    prior_options.ceres.prior_position_loss_scale = LOSS_SCALE
    before = _robust_error(reconstruction)
    pycolmap.create_pose_prior_bundle_adjuster(options, prior_options, config, priors, adjusted).solve()
    adjusted.update_point_3d_errors()
    return adjusted if _robust_error(adjusted) <= WORSE * before else None


def _robust_error(reconstruction: Any) -> float:
    """Mean over the points of their reprojection errors in pixels, each counted up to 4."""
    reconstruction.update_point_3d_errors()
    errors = np.fromiter((p.error for p in reconstruction.points3D.values()), float, reconstruction.num_points3D())
    return float(np.minimum(errors, 4.0).mean()) if len(errors) else float("inf")
