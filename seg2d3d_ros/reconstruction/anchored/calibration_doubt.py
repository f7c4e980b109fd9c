"""Whether the images agree with the calibration of their cameras: what the focal length becomes when it is free."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.findings import EXAMPLES, Finding, Findings, Kind
from seg2d3d_ros.reconstruction.adjustment import PLAUSIBLE, robust_options
from seg2d3d_ros.reconstruction.world.position_priors import adjust_to_priors

CALIBRATION_DOUBTED = Kind(
    "calibration_doubted",
    "cameras whose calibration the images contradict",
    cause="left free, their focal lengths move by {percent} % at most",
    remedy="check which calibration belongs to which camera, for which image size it is (binning, scaling), and its lens "
    "model; the map was made with the calibration as given",
)
ITERATIONS = 15


def doubt_calibrations(
    model: pycolmap.Reconstruction,
    priors: Sequence[pycolmap.PosePrior],
    sigma: float,
    cameras: Collection[int],
    names: Mapping[int, str],
    threads: int,
    findings: Findings,
) -> None:
    """Name the calibrated cameras whose focal length moves by more than 15 % when it is free.

    Positions tell how far the cameras moved, so that the focal length follows from the images even of a vehicle that looks
    where it drives.

    Args:
        model: in the positions' frame; not changed.
        priors: positions of its images.
        sigma: their typical standard deviation in metres.
        cameras: ids of the calibrated cameras.
        names: camera id -> the camera's name.
        threads: 0 = all cores.
        findings: gets the cameras.
    """
    cameras = set(cameras) & {model.image(i).camera_id for i in model.reg_image_ids()}
    if not cameras:
        return
    freed = copy.deepcopy(model)
    options = robust_options(pycolmap.LossFunctionType.CAUCHY, ITERATIONS, threads)
    options.refine_extra_params = False
    options.refine_sensor_from_rig = True
    adjust_to_priors(freed, priors, options, (), sigma, pycolmap.LossFunctionType.HUBER)
    change = {i: float(np.log(freed.camera(i).mean_focal_length() / model.camera(i).mean_focal_length())) for i in cameras}
    moved = sorted((i for i in cameras if abs(change[i]) > np.log(PLAUSIBLE)), key=lambda i: -abs(change[i]))
    if moved:
        shown = tuple(f"{names.get(i, i)} by {100 * np.expm1(change[i]):+.0f} %" for i in moved[:EXAMPLES])
        largest = f"{100 * np.expm1(abs(change[moved[0]])):.0f}"
        findings.put(Finding(CALIBRATION_DOUBTED, len(moved), len(cameras), shown, {"percent": largest}))
