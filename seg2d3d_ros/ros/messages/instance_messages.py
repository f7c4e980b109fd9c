"""Instances as standard messages: the labelled cloud, boxes for RViz, and vision_msgs where they are installed."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Quaternion, Vector3
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from seg2d3d_ros.palette import instance_colors
from seg2d3d_ros.ros.messages.conversion import array_to_cloud, pack_rgb
from seg2d3d_ros.types import Instances, Observation, SparseModel

log = logging.getLogger(__name__)

LABELLED_POINT = np.dtype(
    [("x", "f4"), ("y", "f4"), ("z", "f4"), ("rgb", "f4"), ("instance_id", "i4"), ("class_id", "u2"), ("confidence", "f4")],
    align=True,
)


def labelled_cloud(models: Sequence[SparseModel], instances: Instances, header: Header) -> PointCloud2:
    """``instances/points``: every point of the map with its instance, class and confidence.

    ``rgb`` is the **instance's** colour (``seg2d3d_ros.palette``, grey for none), the same as in labels and reports,
    because RViz shows it without any setting; the photographs' colours are in ``map/points``.
    """
    points = np.zeros(len(instances.point_instance), LABELLED_POINT)
    points["x"], points["y"], points["z"] = np.concatenate([np.empty((0, 3)), *(model.xyz for model in models)]).T
    points["rgb"] = pack_rgb(instance_colors(instances.point_instance))
    points["instance_id"] = instances.point_instance
    points["class_id"] = _class_of(instances)[instances.point_instance]
    points["confidence"] = instances.point_confidence
    return array_to_cloud(points, header)


def _class_of(instances: Instances) -> np.ndarray:
    """Table from instance id to class id; 0 for none."""
    table = np.zeros(int(instances.ids.max(initial=0)) + 1, np.uint16)
    table[instances.ids] = instances.classes
    return table


def instance_markers(instances: Instances, class_names: Sequence[str], header: Header) -> MarkerArray:
    """``instances/markers``: per instance with points a translucent upright box and, above it, ``<class> <id>``.

    The first marker deletes all earlier ones, so that instances that are gone vanish.
    """
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    rows = np.flatnonzero(instances.boxes.known)
    extents = instances.boxes.size[rows]
    quaternions = instances.boxes.quaternions[rows]
    # Scenes without GPS have any scale: the letters follow the boxes.
    letter = 0.15 * float(np.median(np.linalg.norm(extents, axis=1))) if len(rows) else 1.0
    colors = instance_colors(instances.ids) / 255.0
    for row, extent, quaternion in zip(rows, extents, quaternions, strict=True):
        instance_id, center = int(instances.ids[row]), instances.boxes.center[row]
        up = instances.boxes.rotation[row, :, 2]
        red, green, blue = map(float, colors[row])
        box = Marker(header=header, ns="box", id=instance_id, type=Marker.CUBE, action=Marker.ADD)
        box.pose.position, box.pose.orientation = _filled(Point, center), _filled(Quaternion, quaternion)
        box.scale = _filled(Vector3, np.maximum(extent, 1e-6))
        box.color = ColorRGBA(r=red, g=green, b=blue, a=0.25)
        name = Marker(header=header, ns="name", id=instance_id, type=Marker.TEXT_VIEW_FACING, action=Marker.ADD)
        name.text = f"{class_names[instances.classes[row] - 1]} {instance_id}"
        name.pose.position = _filled(Point, center + up * (extent[2] / 2 + letter))
        name.scale.z = max(letter, 1e-6)
        name.color = ColorRGBA(r=red, g=green, b=blue, a=1.0)
        markers += [box, name]
    return MarkerArray(markers=markers)


def _filled(kind: type, values: np.ndarray) -> Any:
    """A ``Point``, ``Vector3`` or ``Quaternion`` of numbers x y z (w)."""
    return kind(**dict(zip("xyzw", map(float, values), strict=False)))


def load_vision_msgs() -> Any | None:
    """``vision_msgs.msg``, or None, said once in the log, where it is not installed (it is not on PyPI)."""
    try:
        return importlib.import_module("vision_msgs.msg")
    except ImportError:
        log.info(
            "vision_msgs is not installed (apt install ros-$ROS_DISTRO-vision-msgs): instances/tracks and instances/boxes "
            "are not published; instances/labels and instances/markers say the same"
        )
        return None


def _hypothesis(vision: Any, class_name: str, score: float) -> Any:
    result = vision.ObjectHypothesisWithPose()
    result.hypothesis.class_id, result.hypothesis.score = class_name, float(score)
    return result


def tracks_message(
    vision: Any, observations: Sequence[Observation], instances: Instances, class_names: Sequence[str], header: Header
) -> Any:
    """``instances/tracks``: Detection2DArray of one keyframe, ``id`` = instance id; ROS pixels (first centre at 0, 0)."""
    message = vision.Detection2DArray(header=header)
    score_of = dict(zip(instances.ids.tolist(), instances.scores.tolist(), strict=True))
    for item in observations:
        detection = vision.Detection2D(header=header, id=str(item.instance))
        detection.results.append(_hypothesis(vision, class_names[item.class_id - 1], item.sureness(score_of[item.instance])))
        x0, y0, x1, y1 = map(float, item.box)
        detection.bbox.center.position.x, detection.bbox.center.position.y = (x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2
        detection.bbox.size_x, detection.bbox.size_y = x1 - x0, y1 - y0
        message.detections.append(detection)
    return message


def boxes_message(vision: Any, instances: Instances, class_names: Sequence[str], header: Header) -> Any:
    """``instances/boxes``: Detection3DArray of all instances with points, ``id`` = instance id.

    The pose of a result is that of the box, in the frame of ``header``; its covariance is that of the position (the middle of
    the lower face) in a finished map where it is known, else zero: not known.
    """
    message = vision.Detection3DArray(header=header)
    boxes, quaternions = instances.boxes, instances.boxes.quaternions
    for row in np.flatnonzero(boxes.known):
        detection = vision.Detection3D(header=header, id=str(int(instances.ids[row])))
        class_name = class_names[instances.classes[row] - 1]
        result = _hypothesis(vision, class_name, instances.scores[row])
        for pose in (detection.bbox.center, result.pose.pose):
            pose.position, pose.orientation = _filled(Point, boxes.center[row]), _filled(Quaternion, quaternions[row])
        if boxes.located[row]:
            covariance = np.zeros((6, 6))
            covariance[:3, :3] = boxes.covariance[row]
            result.pose.covariance = covariance.ravel()
        detection.results.append(result)
        detection.bbox.size = _filled(Vector3, boxes.size[row])
        message.detections.append(detection)
    return message
