"""The path of a vehicle's sensor, by the keyframes' poses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.trajectory import Trajectory
from seg2d3d_ros.types import SparseModel


def sensor_trajectory(
    model: SparseModel,
    moments: Mapping[str, tuple[str, int]],
    camera_from_sensor: Mapping[str, Pose],
    max_gap: float,
) -> Trajectory:
    """The path of a sensor that is fixed to the cameras of one component.

    Args:
        model: metric.
        moments: camera name and stamp in ns of each keyframe; those without a stamp (0) say nothing.
        camera_from_sensor: by camera name; other cameras are left out.
    """
    stamps: list[int] = []
    poses: list[Pose] = []
    for name, camera_from_world in zip(model.names, model.pose, strict=True):
        camera, stamp_ns = moments.get(name, ("", 0))
        if stamp_ns and camera in camera_from_sensor and camera_from_world.finite:
            stamps.append(stamp_ns)
            poses.append(camera_from_world.inverse() @ camera_from_sensor[camera])
    return Trajectory(np.array(stamps, np.int64), Pose.stack(poses), max_gap)


def check_metric(models: Sequence[SparseModel]) -> None:
    """Raise ``DataError`` unless the largest component is metric."""
    if not models:
        raise DataError("there is no map to carry labels from")
    if models[0].frame.kind == "arbitrary":
        raise DataError(
            "labels cannot be carried to a LiDAR cloud: the map's scale is arbitrary, and the cloud is in metres. Positions "
            "(a NavSatFix topic), odometry, or the cameras' places on the vehicle (reconstruction.rig) give the map its scale"
        )
