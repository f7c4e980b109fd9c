"""Bundle adjustment of a whole model, how well it fits its keypoints, and cameras held where self-calibration went astray.

A vehicle that looks where it drives hardly constrains its focal length: a shorter one with a deeper scene explains the
images as well (critical motions, Sturm, CVPR 1997), and small lens errors decide. A focal length from EXIF is right to a few
per cent, so a refined one far from it tells of the motion, not of the lens.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from seg2d3d_ros.colmap import pycolmap, thread_count

MAX_ERROR = 4.0
"""Pixels that the error of a point counts at most."""
PLAUSIBLE = 1.15
"""A refined focal length may differ from the known one by this factor: EXIF rounds, phones crop and stabilise."""
HOLD_ITERATIONS = 100


def whole_model(model: pycolmap.Reconstruction, fixed_cameras: Collection[int]) -> pycolmap.BundleAdjustmentConfig:
    """The adjustment of all registered images, with the intrinsics of ``fixed_cameras`` (ids) held."""
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in sorted(model.reg_image_ids()):
        config.add_image(image_id)
    for camera_id in sorted(set(fixed_cameras) & set(model.cameras)):
        config.set_constant_cam_intrinsics(camera_id)
    return config


def robust_options(loss: pycolmap.LossFunctionType, iterations: int, threads: int) -> pycolmap.BundleAdjustmentOptions:
    """Options of an adjustment with a robust loss, on so many threads (0 = all cores)."""
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.ceres.loss_function_type = loss
    options.ceres.solver_options.max_num_iterations = iterations
    options.ceres.solver_options.num_threads = thread_count(threads)
    return options


def robust_error(model: pycolmap.Reconstruction) -> float:
    """Mean over the points of their reprojection errors in pixels, each counted up to ``MAX_ERROR``; 0 without points."""
    model.update_point_3d_errors()
    errors = np.fromiter((p.error for p in model.points3D.values()), float, model.num_points3D())
    return float(np.minimum(errors, MAX_ERROR).mean()) if len(errors) else 0.0


def strayed(model: pycolmap.Reconstruction, priors: Mapping[int, Sequence[float]]) -> dict[int, Sequence[float]]:
    """The cameras of a ``pycolmap.Reconstruction`` whose focal length has left what is plausible.

    Args:
        model: see above.
        priors: camera id -> COLMAP's parameters with a known focal length, of cameras that are refined.

    Returns:
        camera id -> the parameters to go back to.
    """
    gone = {}
    for camera_id, params in priors.items():
        if camera_id in model.cameras:
            camera = model.camera(camera_id)
            places = camera.focal_length_idxs()
            ratio = np.asarray(camera.params)[places] / np.asarray(params)[places]
            if (np.maximum(ratio, 1.0 / ratio) > PLAUSIBLE).any():
                gone[camera_id] = params
    return gone


def hold_cameras(model: pycolmap.Reconstruction, cameras: Mapping[int, Sequence[float]], threads: int) -> None:
    """Set cameras of a model to these parameters and adjust poses, points and the other cameras to that.

    Args:
        model: ``pycolmap.Reconstruction``, changed in place.
        cameras: camera id -> COLMAP's parameters.
        threads: 0 = all cores.
    """
    for camera_id in cameras.keys() & set(model.cameras):
        model.camera(camera_id).params = cameras[camera_id]
    config = whole_model(model, cameras)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    options = robust_options(pycolmap.LossFunctionType.HUBER, HOLD_ITERATIONS, threads)
    pycolmap.create_default_bundle_adjuster(options, config, model).solve()
    model.update_point_3d_errors()
