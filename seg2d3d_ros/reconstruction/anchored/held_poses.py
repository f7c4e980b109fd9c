"""A model whose poses are those that the images were given: only its points, and cameras that are not calibrated, are found."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.reconstruction.adjustment import robust_options, whole_model
from seg2d3d_ros.reconstruction.anchored.adjusting import FINE, ITERATIONS, MIN_ANGLE, ROUGH, add_points
from seg2d3d_ros.reconstruction.anchored.anchor import Anchor
from seg2d3d_ros.reconstruction.anchored.anchored_solution import AnchoredSolution
from seg2d3d_ros.reconstruction.anchored.attitudes import POSES_UNCONFIRMED, believed_attitudes
from seg2d3d_ros.reconstruction.anchored.loading import image_rays, load_images
from seg2d3d_ros.reconstruction.anchored.rotations import consistent_pairs
from seg2d3d_ros.reconstruction.anchored.tracks import find_tracks

CONFIRMED = 0.5
"""Share of the verified matches that poses must confirm. On a real drive good ones confirm 0.87; with 0.1° of noise, 0.66."""
log = logging.getLogger(__name__)


def solve_held(
    database: Path,
    anchor: Anchor,
    pairs: np.ndarray,
    image_ids: Collection[int],
    *,
    min_matches: int,
    fixed_cameras: Collection[int],
    threads: int,
) -> AnchoredSolution | None:
    """The model of all images whose pose was given; None where none was. Arguments as of ``solve_anchored``."""
    posed = {i for i in image_ids if i in anchor.attitudes and i in anchor.positions}
    model, relative = load_images(database, pairs, image_ids, min_matches, posed)
    findings = Findings()
    rotations, _ = believed_attitudes(anchor, relative, {}, anchor.camera_names, findings)
    rotations = {i: turn for i, turn in rotations.items() if i in posed}
    if not rotations:
        return None
    anchor = anchor.at_cameras(rotations)
    for image_id, rotation in rotations.items():
        image = model.image(image_id)
        pose = Pose(rotation, -rotation @ anchor.positions[image_id])
        model.frame(image.frame_id).set_cam_from_world(image.camera_id, pose.to_colmap())
        model.register_frame(image.frame_id)
    tracks = find_tracks(consistent_pairs(rotations, relative), {i: image_rays(model, i) for i in rotations})
    add_points(model, tracks)
    options = robust_options(pycolmap.LossFunctionType.CAUCHY, ITERATIONS, threads)
    config = whole_model(model, fixed_cameras)
    for frame_id in model.reg_frame_ids():
        config.set_constant_rig_from_world_pose(frame_id)
    known = {model.image(i).camera_id for i in rotations} <= set(fixed_cameras)
    for loss, limit in FINE if known else (*ROUGH, *FINE):
        options.ceres.loss_function_scale = loss
        pycolmap.create_default_bundle_adjuster(options, config, model).solve()
        pycolmap.ObservationManager(model).filter_all_points3D(limit, MIN_ANGLE)
    solution = AnchoredSolution(model, relative, 1.0)
    if solution.support < CONFIRMED:
        matches = sum(len(pose.matches) for pair, pose in relative.items() if set(pair) <= rotations.keys())
        findings.add(POSES_UNCONFIRMED, count=round((1.0 - solution.support) * matches), of=matches)
    solution = replace(solution, findings=findings.list())
    log.info("%d images have the poses that they were given, %.3f of the matches confirmed", len(rotations), solution.support)
    return solution
