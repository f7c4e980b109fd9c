"""Positions as evidence in the adjustment, once the robust similarity has brought the model near them."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.reconstruction.adjustment import robust_error, whole_model

LOSS_SCALE = 2.8
"""Standard deviations where a position's pull turns from square to logarithmic: 95 % of three normal coordinates."""
OUTLIER = 4.0
"""Positions further off than this many standard deviations are left out; else the solver's own alignment follows them."""
MIN_POSITIONS = 6
UNMEASURED = 1000.0
"""Standard deviations of an unknown height in units of the horizontal one: it holds nothing in place."""
WORSE = 1.05
"""The reprojection error may grow by this factor at most: positions may distort a model only where its points allow it."""


def adjust_with_positions(
    model: pycolmap.Reconstruction,
    positions: Mapping[int, np.ndarray],
    sigmas: Mapping[int, float],
    options: pycolmap.BundleAdjustmentOptions,
    fixed_cameras: Collection[int],
    heights: Collection[int] | None = None,
) -> pycolmap.Reconstruction | None:
    """A copy of a georeferenced model, adjusted to its keypoints and to the positions of its cameras.

    Args:
        model: in the positions' frame; not changed.
        positions: image id -> (3,) metres.
        sigmas: image id -> standard deviation in metres.
        options: of the adjustment to the keypoints.
        fixed_cameras: ids of cameras whose intrinsics stay.
        heights: ids of the images whose third coordinate is measured; None = all.

    Returns:
        None where there are too few positions, or where the keypoints would fit clearly worse.
    """
    adjusted, priors = copy.deepcopy(model), []
    for image_id in sorted(adjusted.reg_image_ids()):
        image = adjusted.image(image_id)
        if image_id in positions:
            center, position, variances = image.projection_center(), positions[image_id].copy(), np.ones(3)
            if heights is not None and image_id not in heights:
                position[2], variances[2] = center[2], UNMEASURED**2
            if np.linalg.norm(center - position) <= OUTLIER * sigmas[image_id]:
                prior = pycolmap.PosePrior()
                prior.corr_data_id = image.data_id
                prior.position = position
                prior.position_covariance = np.diag(variances) * sigmas[image_id] ** 2
                prior.coordinate_system = pycolmap.PosePriorCoordinateSystem.CARTESIAN
                priors.append(prior)
    if len(priors) < MIN_POSITIONS:
        return None
    prior_options = pycolmap.PosePriorBundleAdjustmentOptions()
    prior_options.alignment_ransac.max_error = OUTLIER * float(np.median([sigmas[i] for i in positions]))
    prior_options.alignment_ransac.random_seed = 0
    prior_options.ceres.prior_position_loss_function_type = pycolmap.LossFunctionType.CAUCHY
    prior_options.ceres.prior_position_loss_scale = LOSS_SCALE
    before, config = robust_error(model), whole_model(adjusted, fixed_cameras)
    pycolmap.create_pose_prior_bundle_adjuster(options, prior_options, config, priors, adjusted).solve()
    return adjusted if robust_error(adjusted) <= WORSE * before else None
