"""A LiDAR's labelled points as PointCloud2, and the classes of instances from the labelled map."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.lidar.labeller import LabelledPoints
from seg2d3d_ros.ros.messages.conversion import array_to_cloud
from seg2d3d_ros.ros.messages.map_messages import wanted_fields

LABELLED_POINT = np.dtype(
    {
        "names": ["x", "y", "z", "intensity", "instance_id", "class_id", "confidence"],
        "formats": ["f4", "f4", "f4", "f4", "i4", "u2", "f4"],
        "offsets": [0, 4, 8, 12, 16, 20, 24],
        "itemsize": 28,
    }
)
_CLASS_OF = np.dtype([("instance_id", "i4"), ("class_id", "u2")])


def labelled_cloud(found: LabelledPoints, rows: np.ndarray, classes: np.ndarray, header: Header) -> PointCloud2:
    """``instances/cloud``: some points (n,) of a labelled stretch.

    ``intensity`` is NaN where the sensor gives none. ``confidence`` 0: no keyframe sees the point; above 0 with
    ``instance_id`` 0: the keyframes say that it belongs to none.

    Args:
        classes: table from instance id to class id (``classes_of``); ids beyond it have class 0.
    """
    points = np.zeros(len(rows), LABELLED_POINT)
    points["x"], points["y"], points["z"] = found.xyz[rows].T
    points["intensity"], points["confidence"] = found.intensity[rows], found.confidence[rows]
    instance = found.instance[rows]
    points["instance_id"] = instance
    points["class_id"] = classes[np.where(instance < len(classes), instance, 0)]
    return array_to_cloud(points, header)


def classes_of(message: PointCloud2) -> np.ndarray:
    """Table (I,) uint16 from instance id to class id, from ``instances/points``; 0 for none.

    Raises:
        DataError: another layout, or ids that no label image could hold.
    """
    points = wanted_fields(message, _CLASS_OF, "instances/points")
    if len(points) and not 0 <= points["instance_id"].min() <= points["instance_id"].max() <= np.iinfo(np.uint16).max:
        raise DataError("instances/points: instance ids beyond those of a label image; it is not from this package")
    table = np.zeros(int(points["instance_id"].max(initial=0)) + 1, np.uint16)
    table[points["instance_id"]] = points["class_id"]
    table[0] = 0
    return table
