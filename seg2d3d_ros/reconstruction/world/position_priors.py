"""Positions as evidence in the adjustment, once the robust similarity has brought the model near them."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.reconstruction.adjustment import robust_error, whole_model

LOSS_SCALE = 2.8
"""Standard deviations where a position's pull grows no longer with its distance: 95 % of three normal coordinates."""
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
    adjusted = copy.deepcopy(model)
    priors = [
        prior
        for prior in make_priors(adjusted, positions, sigmas, heights)
        if np.linalg.norm(adjusted.image(prior.corr_data_id.id).projection_center() - prior.position)
        <= OUTLIER * sigmas[prior.corr_data_id.id]
    ]
    if len(priors) < MIN_POSITIONS:
        return None
    before = robust_error(model)
    typical = float(np.median([sigmas[i] for i in positions]))
    adjust_to_priors(adjusted, priors, options, fixed_cameras, typical, pycolmap.LossFunctionType.CAUCHY)
    return adjusted if robust_error(adjusted) <= WORSE * before else None


def make_priors(
    model: pycolmap.Reconstruction,
    positions: Mapping[int, np.ndarray],
    sigmas: Mapping[int, float],
    heights: Collection[int] | None = None,
) -> list[pycolmap.PosePrior]:
    """Priors of the registered images that have a position; a height that is not measured is that of the model.

    Args:
        model: in the positions' frame.
        positions: image id -> (3,) metres.
        sigmas: image id -> standard deviation in metres.
        heights: ids of the images whose third coordinate is measured; None = all.
    """
    priors = []
    for image_id in sorted(set(model.reg_image_ids()) & positions.keys()):
        image = model.image(image_id)
        position, variances = positions[image_id].copy(), np.ones(3)
        if heights is not None and image_id not in heights:
            position[2], variances[2] = image.projection_center()[2], UNMEASURED**2
        prior = pycolmap.PosePrior()
        prior.corr_data_id = image.data_id
        prior.position = position
        prior.position_covariance = np.diag(variances) * sigmas[image_id] ** 2
        prior.coordinate_system = pycolmap.PosePriorCoordinateSystem.CARTESIAN
        priors.append(prior)
    return priors


def adjust_to_priors(
    model: pycolmap.Reconstruction,
    priors: Sequence[pycolmap.PosePrior],
    options: pycolmap.BundleAdjustmentOptions,
    fixed_cameras: Collection[int],
    sigma: float,
    loss: pycolmap.LossFunctionType,
) -> None:
    """Adjust a model in place to its keypoints and to the positions of its cameras.

    Args:
        model: in the positions' frame.
        priors: of its images.
        options: of the adjustment to the keypoints.
        fixed_cameras: ids of cameras whose intrinsics stay.
        sigma: typical standard deviation of the positions in metres.
        loss: of the positions, which turns at ``LOSS_SCALE``.
    """
    of_priors = pycolmap.PosePriorBundleAdjustmentOptions()
    of_priors.alignment_ransac.max_error = OUTLIER * sigma
    of_priors.alignment_ransac.random_seed = 0
    of_priors.ceres.prior_position_loss_function_type = loss
    of_priors.ceres.prior_position_loss_scale = LOSS_SCALE
    config = whole_model(model, fixed_cameras)
    pycolmap.create_pose_prior_bundle_adjuster(options, of_priors, config, list(priors), model).solve()
