"""A labelled cloud as a PLY file; places in double precision, since surveyors' coordinates need it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seg2d3d_ros.learning.cloud_segmentation import SegmentedCloud
from seg2d3d_ros.learning.scene_building import Cloud
from seg2d3d_ros.mapstore.point_cloud import write_points
from seg2d3d_ros.palette import instance_colors

GREY = 96
LABELLED_POINT = np.dtype(
    [("x", "<f8"), ("y", "<f8"), ("z", "<f8"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
    + [("instance", "<i4"), ("confidence", "<f4"), ("superpoint", "<i4")]
)


def write_labelled(path: Path, cloud: Cloud, found: SegmentedCloud) -> None:
    """Write all points of a cloud in order: instances in their colours, the others in their own, dimmed."""
    points = np.empty(len(cloud.xyz), LABELLED_POINT)
    points["x"], points["y"], points["z"] = cloud.xyz.T
    own = np.full((len(cloud.xyz), 3), GREY, np.uint8) if cloud.rgb is None else cloud.rgb // 2
    color = np.where(found.instance[:, None] > 0, instance_colors(found.instance), own)
    points["red"], points["green"], points["blue"] = color.T
    points["instance"], points["confidence"], points["superpoint"] = found.instance, found.confidence, found.superpoint
    write_points(path, points)
