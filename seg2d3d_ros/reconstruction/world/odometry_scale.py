"""The scale of a model by odometry: over short stretches, so that its drift does no harm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.reconstruction.database import ImageRow

STRETCH = 5
"""Consecutive images of a camera that are compared with odometry at once."""
MIN_STRETCHES = 3
MIN_MOTION = 0.05
"""Metres (rms around the middle) that a stretch must move: at rest there is noise only."""
MAX_ERROR = 0.1
"""Largest relative standard error with which the scale is called known."""


def positions(odometry: Mapping[int, Pose], mounts: Mapping[str, Pose], rows: Sequence[ImageRow]) -> dict[int, np.ndarray]:
    """Image id -> (3,) metres in the odometry's frame, of the camera where its mount is known, else of the vehicle.

    Args:
        odometry: image id -> ``odom_from_base``.
        mounts: camera name -> ``base_from_camera``.
        rows: all images.
    """
    at_base = Pose.identity()
    return {
        r.image_id: (odometry[r.image_id] @ mounts.get(r.camera_name, at_base)).translation
        for r in rows
        if r.image_id in odometry
    }


def scale_by_odometry(
    centers: Mapping[int, np.ndarray], known: Mapping[int, np.ndarray], rows: Sequence[ImageRow]
) -> float | None:
    """Metres per model unit, or None where the stretches are too few or contradict each other.

    Each stretch of ``STRETCH`` images gives the ratio of the two paths' extents (the scale of Umeyama, Least-squares
    estimation of transformation parameters between two point patterns, PAMI 1991, with the roles of the two symmetric);
    the median over the stretches is not moved by a slipping wheel or a wrong pose.

    Args:
        centers: image id -> (3,) in the model.
        known: image id -> (3,) metres by odometry.
        rows: all images.
    """
    by_camera: dict[str, list[ImageRow]] = {}
    for row in rows:
        if row.image_id in centers and row.image_id in known and row.stamp_ns > 0:
            by_camera.setdefault(row.camera_name, []).append(row)
    ratios = []
    for own in by_camera.values():
        own.sort(key=lambda r: r.stamp_ns)
        for begin in range(0, len(own) - STRETCH + 1):
            ids = [r.image_id for r in own[begin : begin + STRETCH]]
            model, metres = (_extent(np.array([place[i] for i in ids])) for place in (centers, known))
            if metres > MIN_MOTION and model > 0.0:
                ratios.append(np.log(metres / model))
    if len(ratios) < MIN_STRETCHES:
        return None
    middle = float(np.median(ratios))
    error = 1.4826 * float(np.median(np.abs(np.array(ratios) - middle))) / np.sqrt(len(ratios) / STRETCH)
    return float(np.exp(middle)) if error < MAX_ERROR else None


def _extent(points: np.ndarray) -> float:
    return float(np.sqrt(((points - points.mean(0)) ** 2).sum(1).mean()))
