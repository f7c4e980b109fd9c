"""Poses and tracks → a model, adjusted to keypoints and positions together, from rough to fine."""

from __future__ import annotations

import copy
import logging
from collections.abc import Collection, Sequence

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.reconstruction.adjustment import robust_error, robust_options
from seg2d3d_ros.reconstruction.anchored.positioning import nearest_points
from seg2d3d_ros.reconstruction.anchored.tracks import KeypointTracks
from seg2d3d_ros.reconstruction.world.position_priors import adjust_to_priors

log = logging.getLogger(__name__)

ROUGH = ((8.0, 40.0), (3.0, 12.0))
"""Pixels where the loss turns, and beyond which observations are dropped afterwards, while poses are rough."""
FINE = ((1.0, 4.0),)
BACKBONE = 300
"""Tracks of an image that the rough rounds use."""
ITERATIONS = 20
MIN_ANGLE = 1.0
"""Degrees between the rays of a point, at least."""
MAX_ANGLE = np.deg2rad(5.0)
"""Between a ray and its point, when points are made."""
MOUNTS_WRONG = 1.1
"""Mounts that are refined must lower the reprojection error by this factor, else they stay as given."""


def adjust_anchored(
    model: pycolmap.Reconstruction,
    tracks: KeypointTracks,
    priors: Sequence[pycolmap.PosePrior],
    sigma: float,
    fixed_cameras: Collection[int],
    threads: int,
    *,
    refine: bool,
    exact: bool = False,
) -> tuple[pycolmap.Reconstruction, bool]:
    """The model with points, adjusted, and whether its mounts are no longer those that were given.

    Args:
        model: poses, in the positions' frame, and no points; in rig frames where a rig is known. It is changed.
        tracks: of its images, with rays in the cameras' frames.
        priors: positions that are not wrong.
        sigma: their typical standard deviation in metres.
        fixed_cameras: ids of cameras whose intrinsics stay.
        threads: 0 = all cores.
        refine: whether the mounts may be corrected anyway.
        exact: whether they cannot be wrong.
    """

    def rounds(target: pycolmap.Reconstruction, stages: Sequence[tuple[float, float]], *, free: bool) -> None:
        for loss, limit in stages:
            options = robust_options(pycolmap.LossFunctionType.CAUCHY, ITERATIONS, threads)
            options.ceres.loss_function_scale = loss
            options.refine_sensor_from_rig = free
            adjust_to_priors(target, priors, options, fixed_cameras, sigma, pycolmap.LossFunctionType.HUBER)
            pycolmap.ObservationManager(target).filter_all_points3D(limit, MIN_ANGLE)

    add_points(model, tracks.longest(BACKBONE))
    rounds(model, ROUGH, free=refine)
    for point_id in list(model.points3D):
        model.delete_point3D(point_id)
    add_points(model, tracks)
    rounds(model, FINE, free=refine)
    if not refine and not exact and any(rig.num_sensors() > 1 for rig in model.rigs.values()):
        refined = copy.deepcopy(model)
        rounds(refined, FINE, free=True)
        held, freed = robust_error(model), robust_error(refined)
        log.info("reprojection error %.2f pixels with the mounts as given, %.2f with refined ones", held, freed)
        if held > MOUNTS_WRONG * freed:
            return refined, True
    rounds(model, FINE, free=refine)
    return model, refine


def add_points(model: pycolmap.Reconstruction, tracks: KeypointTracks) -> None:
    """Add the points in which the rays of tracks meet, with the observations that are near to them.

    Args:
        model: all images of the tracks are registered.
        tracks: with rays in the cameras' frames.
    """
    ids = np.unique(tracks.images)
    poses = Pose.stack([Pose.from_colmap(model.image(i).cam_from_world()) for i in ids.tolist()])
    turned = tracks.turned(dict(zip(ids.tolist(), poses.rotation, strict=True)))
    origins = poses.origin[np.searchsorted(ids, tracks.images)]
    points = nearest_points(turned, origins)
    offset = points[tracks.tracks] - origins
    cosine = np.einsum("ij,ij->i", offset, turned.rays) / np.maximum(np.linalg.norm(offset, axis=1), 1e-9)
    near = cosine > np.cos(MAX_ANGLE)
    starts = np.concatenate([[0], np.cumsum(np.bincount(tracks.tracks, minlength=len(tracks)))])
    images, keypoints = tracks.images.tolist(), tracks.keypoints.tolist()
    for number in np.flatnonzero(np.bincount(tracks.tracks[near], minlength=len(tracks)) >= 2).tolist():
        track = pycolmap.Track()
        for row in range(starts[number], starts[number + 1]):
            if near[row]:
                track.add_element(images[row], keypoints[row])
        model.add_point3D(points[number], track)
    model.update_point_3d_errors()
