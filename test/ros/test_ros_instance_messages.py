"""The instances as messages: the labelled cloud, markers, detections."""

from __future__ import annotations

import dataclasses
import sys
import types
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

from helpers_map_messages import I4, MAP, U2, F, layout, model  # noqa: E402
from scipy.spatial.transform import Rotation  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from visualization_msgs.msg import Marker  # noqa: E402

from seg2d3d_ros.geometry.oriented_boxes import OrientedBoxes  # noqa: E402
from seg2d3d_ros.lidar.scans import cloud_to_array  # noqa: E402
from seg2d3d_ros.palette import instance_colors  # noqa: E402
from seg2d3d_ros.ros.messages import instance_messages, map_messages  # noqa: E402
from seg2d3d_ros.ros.messages.conversion import make_header, unpack_rgb  # noqa: E402
from seg2d3d_ros.types import Instances, Observation, WorldFrame  # noqa: E402

TURN = Rotation.from_euler("z", 30, degrees=True).as_matrix()
INSTANCES = Instances(
    np.array([3, 7], np.int32),
    np.array([3, 0, 7, 3, 3, 7], np.int32),
    np.array([1, 0, 0.5, 1, 1, 0.75], np.float32),
    np.array([3, 7], np.int32),
    np.array([1, 2], np.int32),
    np.array([0.9, 0.8], np.float32),
    OrientedBoxes(
        np.array([[1, 2, 3], [np.nan] * 3]), np.array([[2, 4, 6], [np.nan] * 3]), np.stack([TURN, np.full((3, 3), np.nan)])
    ),
)


def test_labelled_cloud():
    one = model(["front_1"], 0)
    cloud = instance_messages.labelled_cloud([one], INSTANCES, MAP)
    assert layout(cloud) == [
        ("x", 0, F, 1),
        ("y", 4, F, 1),
        ("z", 8, F, 1),
        ("rgb", 12, F, 1),
        ("instance_id", 16, I4, 1),
        ("class_id", 20, U2, 1),
        ("confidence", 24, F, 1),
    ]
    points = cloud_to_array(cloud)
    np.testing.assert_array_equal(points["instance_id"], INSTANCES.point_instance)
    assert points["class_id"].tolist() == [1, 0, 2, 1, 1, 2]
    np.testing.assert_array_equal(points["confidence"], INSTANCES.point_confidence)
    np.testing.assert_array_equal(unpack_rgb(points["rgb"]), instance_colors(INSTANCES.point_instance))
    np.testing.assert_allclose(points["y"], one.xyz[:, 1], rtol=1e-6)


def test_markers():
    first, box, name = instance_messages.instance_markers(INSTANCES, ("house", "tree"), MAP).markers
    assert first.action == Marker.DELETEALL
    assert (box.type, box.ns, box.id, box.header) == (Marker.CUBE, "box", 3, MAP)
    assert (box.scale.x, box.scale.y, box.scale.z) == (2, 4, 6)
    assert (box.pose.position.x, box.pose.position.y, box.pose.position.z) == (1, 2, 3)
    turn = box.pose.orientation
    np.testing.assert_allclose([turn.x, turn.y, turn.z, turn.w], [0, 0, np.sin(np.pi / 12), np.cos(np.pi / 12)], atol=1e-12)
    assert name.text == "house 3"
    assert name.pose.position.z > 6


def test_empty_result():
    nothing = Instances(*(np.empty(0, t) for t in ("i4", "i4", "f4", "i4", "i4", "f4")), OrientedBoxes.none())
    assert instance_messages.labelled_cloud([], nothing, MAP).width == 0
    assert len(instance_messages.instance_markers(nothing, ("house",), MAP).markers) == 1
    assert map_messages.points_to_cloud([], MAP).width == 0
    assert map_messages.assemble(np.empty(0, map_messages.MAP_POINT), {}, WorldFrame()) == []


def stand_in(name: str, **fields):
    """A message class like rosidl's, as far as this package uses it; vision_msgs is not on PyPI."""

    def init(self, **values):
        for field, make in fields.items():
            setattr(self, field, values.pop(field) if field in values else make())
        assert not values, f"{name} has no field {sorted(values)}"

    return type(name, (), {"__init__": init, "__slots__": tuple(fields)})


def fake_vision_msgs() -> types.ModuleType:
    """After vision_msgs 4 (Humble to Jazzy): msg/*.msg."""
    from geometry_msgs.msg import Pose, PoseWithCovariance, Vector3

    m = types.ModuleType("vision_msgs.msg")
    m.Point2D = stand_in("Point2D", x=float, y=float)
    m.Pose2D = stand_in("Pose2D", position=m.Point2D, theta=float)
    m.BoundingBox2D = stand_in("BoundingBox2D", center=m.Pose2D, size_x=float, size_y=float)
    m.BoundingBox3D = stand_in("BoundingBox3D", center=Pose, size=Vector3)
    m.ObjectHypothesis = stand_in("ObjectHypothesis", class_id=str, score=float)
    m.ObjectHypothesisWithPose = stand_in("ObjectHypothesisWithPose", hypothesis=m.ObjectHypothesis, pose=PoseWithCovariance)
    m.Detection2D = stand_in("Detection2D", header=Header, results=list, bbox=m.BoundingBox2D, id=str)
    m.Detection3D = stand_in("Detection3D", header=Header, results=list, bbox=m.BoundingBox3D, id=str)
    m.Detection2DArray = stand_in("Detection2DArray", header=Header, detections=list)
    m.Detection3DArray = stand_in("Detection3DArray", header=Header, detections=list)
    return m


def test_vision_messages(monkeypatch):
    monkeypatch.setitem(sys.modules, "vision_msgs", types.ModuleType("vision_msgs"))
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", fake_vision_msgs())
    vision = instance_messages.load_vision_msgs()
    observation = Observation("front_1", 1001, 7, 1, (30, 10, 50, 20), 0.6, agreement=0.5)
    tracks = instance_messages.tracks_message(vision, [observation], INSTANCES, ("house",), make_header(1, "front"))
    (detection,) = tracks.detections
    assert (detection.id, detection.results[0].hypothesis.class_id) == ("7", "house")
    assert detection.results[0].hypothesis.score == pytest.approx(0.8 * 0.5), "how sure the instance is, as far as points agree"
    # Columns 30 … 49 and rows 10 … 19: in ROS pixels the centre is (39.5, 14.5).
    assert (detection.bbox.center.position.x, detection.bbox.center.position.y) == (39.5, 14.5)
    assert (detection.bbox.size_x, detection.bbox.size_y) == (20, 10)
    boxes = instance_messages.boxes_message(vision, INSTANCES, ("house", "tree"), MAP)
    (box,) = boxes.detections
    assert (box.id, box.bbox.size.z, box.bbox.center.position.z) == ("3", 6, 3)
    np.testing.assert_allclose(box.bbox.center.orientation.z, np.sin(np.pi / 12))
    (result,) = box.results
    assert (result.pose.pose.position.x, result.pose.pose.position.y, result.pose.pose.position.z) == (1, 2, 3)
    np.testing.assert_allclose(result.pose.pose.orientation.z, np.sin(np.pi / 12))
    assert not np.any(result.pose.covariance), "not known"
    covariance = np.stack([np.diag([0.1, 0.2, 0.3]), np.full((3, 3), np.nan)])
    placed = dataclasses.replace(INSTANCES, boxes=dataclasses.replace(INSTANCES.boxes, covariance=covariance))
    ((result,),) = [d.results for d in instance_messages.boxes_message(vision, placed, ("house", "tree"), MAP).detections]
    expected = np.diag([0.1, 0.2, 0.3, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(np.reshape(result.pose.covariance, (6, 6)), expected)
    assert box.header == boxes.header == MAP


def test_without_vision_msgs_one_line_says_so(caplog):
    if any((Path(p) / "vision_msgs").is_dir() for p in sys.path):
        pytest.skip("vision_msgs is installed here")
    with caplog.at_level("INFO"):
        assert instance_messages.load_vision_msgs() is None
    assert [r.message for r in caplog.records if "vision_msgs" in r.message and "apt install" in r.message]
