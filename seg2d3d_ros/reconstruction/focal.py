"""Focal lengths that come with the photographs, and when self-calibration is not to be believed against them.

A vehicle that looks where it drives hardly constrains its focal length: a shorter one with a deeper scene explains the
images as well (critical motions, Sturm, CVPR 1997), and small lens errors decide. A focal length from EXIF is right to a few
per cent, so a refined one far from it tells of the motion, not of the lens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from seg2d3d_ros.colmap import load_pycolmap, thread_count
from seg2d3d_ros.reconstruction.adjustment import whole_model

if TYPE_CHECKING:
    import pycolmap

PLAUSIBLE = 1.15
"""A refined focal length may differ from the known one by this factor: EXIF rounds, phones crop and stabilise."""
ITERATIONS = 100


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
    pycolmap = load_pycolmap()
    for camera_id in cameras.keys() & set(model.cameras):
        model.camera(camera_id).params = cameras[camera_id]
    config = whole_model(model, cameras)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.HUBER
    options.ceres.solver_options.num_threads = thread_count(threads)
    options.ceres.solver_options.max_num_iterations = ITERATIONS
    pycolmap.create_default_bundle_adjuster(options, config, model).solve()
    model.update_point_3d_errors()
