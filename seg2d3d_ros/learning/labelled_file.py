"""A labelled cloud as a PLY file; places in double precision, since surveyors' coordinates need it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from seg2d3d_ros.disk.atomic import write_bytes
from seg2d3d_ros.findings import printable
from seg2d3d_ros.learning.cloud_segmentation import SegmentedCloud
from seg2d3d_ros.learning.scene_building import Cloud
from seg2d3d_ros.mapstore.point_cloud import COMMENT, encode
from seg2d3d_ros.palette import instance_colors

GREY = 96
LABELLED_POINT = np.dtype(
    [("x", "<f8"), ("y", "<f8"), ("z", "<f8"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
    + [("instance", "<i4"), ("confidence", "<f4"), ("superpoint", "<i4")]
)
CLASS = ("class", "<i4")


def write_labelled(path: Path, cloud: Cloud, found: SegmentedCloud, classes: Mapping[int, str] | None = None) -> None:
    """Write all points of a cloud in order: instances in their colours, the others in their own, dimmed.

    Args:
        classes: what instances are called. Points then have a property ``class`` too, 0 = none, and the header says in
            comments what the others are.
    """
    names = sorted(set((classes or {}).values()))
    points = np.empty(len(cloud.xyz), LABELLED_POINT if classes is None else [*LABELLED_POINT.descr, CLASS])
    points["x"], points["y"], points["z"] = cloud.xyz.T
    own = np.full((len(cloud.xyz), 3), GREY, np.uint8) if cloud.rgb is None else cloud.rgb // 2
    color = np.where(found.instance[:, None] > 0, instance_colors(found.instance), own)
    points["red"], points["green"], points["blue"] = color.T
    points["instance"], points["confidence"], points["superpoint"] = found.instance, found.confidence, found.superpoint
    comments = [COMMENT]
    if classes is not None:
        table = np.zeros(int(found.instance.max(initial=0)) + 1, np.int32)
        for instance, name in classes.items():
            table[instance] = names.index(name) + 1
        points["class"] = table[found.instance]
        comments += [f"class {number}: {printable(name)}" for number, name in enumerate(names, 1)]
    write_bytes(path, encode(points, comments))
