"""The covariance of a model's poses by its keypoints alone, from COLMAP's bundle adjustment.

The adjustment is set up as a free network: no image and no point is held. Keypoints leave seven directions open (three shifts,
three turns, a stretch), in which COLMAP's damping gives a huge variance instead of an infinite one; they are taken out
afterwards (``without_gauge``), which is what holding two cameras and moving the result to the same datum gives, too (the
S-transformation of Baarda, S-transformations and criterion matrices, 1973).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.mapstore.pose_covariance import center_rows, gauge_directions, skew
from seg2d3d_ros.reconstruction.adjustment import robust_options, whole_model

DAMPINGS = (1e-8, 1e-6, 1e-4, 1e-2)
"""Added to the diagonal of the poses' part of the normal equations (1/unit², 1/rad²): the least with which it can be factored.
What the keypoints hold has 1 and more there, up to 1e8."""


def free_covariance(
    model: pycolmap.Reconstruction, fixed_cameras: Collection[int], threads: int
) -> tuple[list[int], np.ndarray] | None:
    """Covariance of the poses for keypoints good to one pixel; None where COLMAP finds none.

    Cost: COLMAP eliminates the points and factors the poses' part, whose inverse it keeps as a full matrix: the cube of the
    number of images in time, its square in memory (a thousand images: 300 MB and more).

    Args:
        model: every image a frame of its own, with a pose; not changed.
        fixed_cameras: ids of cameras whose intrinsics are known; the others' are unknowns, too.
        threads: 0 = all cores.

    Returns:
        Image ids (K,) ascending, and (6K, 6K) in the order of ``PoseWindow``; the gauge is not taken out.
    """
    ids = sorted(model.reg_image_ids())
    config = whole_model(model, fixed_cameras)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.UNSPECIFIED)
    options = robust_options(pycolmap.LossFunctionType.TRIVIAL, 1, threads)
    adjuster = pycolmap.create_default_ceres_bundle_adjuster(options, config, model)
    for damping in DAMPINGS:
        wanted = pycolmap.BACovarianceOptions(params=pycolmap.BACovarianceOptionsParams.POSES, damping=damping)
        try:
            found = pycolmap.estimate_ba_covariance(wanted, model, adjuster)
        except (RuntimeError, ValueError):  # COLMAP's checks
            return None
        matrix = None if found is None else _whole(found, model, ids)
        if matrix is not None and np.isfinite(matrix).all():
            return ids, matrix
    return None


def _whole(found: pycolmap.BACovariance, model: pycolmap.Reconstruction, ids: Sequence[int]) -> np.ndarray | None:
    """(6K, 6K) of COLMAP's blocks, in the order of ``PoseWindow``; None where a pose has none."""
    whole = np.empty((len(ids), 6, len(ids), 6))
    turned = _world_from_tangent(Pose.stack([Pose.from_colmap(model.image(i).cam_from_world()) for i in ids]))
    for row, first in enumerate(ids):
        for column, second in enumerate(ids[row:], row):
            block = found.get_cam_cov_from_world(first) if row == column else found.get_cam_cross_cov_from_world(first, second)
            if block is None or block.shape != (6, 6) or not np.isfinite(block).all():
                return None
            block = turned[row] @ block @ turned[column].T
            whole[row, :, column], whole[column, :, row] = block, block.T
    return whole.reshape(6 * len(ids), 6 * len(ids))


def _world_from_tangent(camera_from_world: Pose) -> np.ndarray:
    """(K, 6, 6) from COLMAP's errors of a pose to those of the camera's centre and of its rotation about the world's axes.

    COLMAP's are those of Ceres' quaternions, half of a rotation vector that turns after ``camera_from_world``, and then those
    of the translation.
    """
    world_from_camera = np.swapaxes(camera_from_world.rotation, 1, 2)
    found = np.zeros((len(world_from_camera), 6, 6))
    found[:, :3, :3] = -2.0 * world_from_camera @ skew(camera_from_world.translation)
    found[:, :3, 3:] = -world_from_camera
    found[:, 3:, :3] = -2.0 * world_from_camera
    return found


def without_gauge(matrix: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """A pose covariance (6K, 6K) after the best similarity between the cameras' centres (K, 3) and their true places."""
    directions, rows = gauge_directions(centers), center_rows(np.arange(len(centers)))
    shift = np.linalg.pinv(directions[rows])
    found = matrix - directions @ (shift @ matrix[rows])
    return np.asarray(found - (found[:, rows] @ shift.T) @ directions.T)


def pixel_sigma(model: pycolmap.Reconstruction, unknowns: int = 0) -> float:
    """Standard deviation of a keypoint's coordinate in pixels, by the residuals of a model that is adjusted to them.

    The sum of their squares over the redundancy: two numbers for each observation, less three for each point, six for each
    image, and ``unknowns``. Wrong matches that are left count with what they are, so that the noise is the effective one.
    """
    total, count = 0.0, 0
    places = {int(i): point.xyz for i, point in model.points3D.items()}
    for image_id in model.reg_image_ids():
        image = model.image(image_id)
        seen = image.get_observation_points2D()
        if seen:
            xyz = np.array([places[int(p.point3D_id)] for p in seen])
            inside = Pose.from_colmap(image.cam_from_world()).apply(xyz)
            front = inside[:, 2] > 0
            pixels = np.asarray(model.camera(image.camera_id).img_from_cam(np.ascontiguousarray(inside[front])))
            apart = pixels - np.array([p.xy for p in seen])[front]
            total, count = total + float((apart**2).sum()), count + int(front.sum())
    redundancy = 2 * count - 3 * len(places) - 6 * model.num_reg_images() - unknowns + 7
    return float(np.sqrt(total / redundancy)) if redundancy > 0 else float("nan")
