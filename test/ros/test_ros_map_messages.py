"""The sparse map as messages: layout, pixel convention, and the way back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

from helpers_map_messages import MAP, STAMP, U4, F, layout, model  # noqa: E402
from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402
from scipy.spatial.transform import Rotation  # noqa: E402
from sensor_msgs.msg import NavSatFix  # noqa: E402

from seg2d3d_ros.association.incidence import build_incidence  # noqa: E402
from seg2d3d_ros.errors import DataError  # noqa: E402
from seg2d3d_ros.geometry.camera import Camera  # noqa: E402
from seg2d3d_ros.lidar.scans import cloud_to_array  # noqa: E402
from seg2d3d_ros.ros.map_exchange.map_receiver import MapReceiver  # noqa: E402
from seg2d3d_ros.ros.messages import map_messages  # noqa: E402
from seg2d3d_ros.ros.messages.conversion import camera_to_info, make_header, unpack_rgb  # noqa: E402
from seg2d3d_ros.types import Segments, SparseModel, WorldFrame  # noqa: E402


def test_points_layout_and_content():
    models = [model(["front_1", "front_2"], 10), model(["left_1"], 100, seed=1)]
    cloud = map_messages.points_to_cloud(models, MAP)
    places = [
        ("x", 0, F, 1),
        ("y", 4, F, 1),
        ("z", 8, F, 1),
        ("rgb", 12, F, 1),
        ("point_id", 16, U4, 1),
        ("component", 20, U4, 1),
    ]
    assert layout(cloud) == places
    assert (cloud.point_step, cloud.width, cloud.height, cloud.header) == (24, 12, 1, MAP)
    points = cloud_to_array(cloud)
    np.testing.assert_array_equal(points["point_id"], np.concatenate([m.point_ids for m in models]))
    assert points["component"].tolist() == [0] * 6 + [1] * 6
    np.testing.assert_allclose(points["z"], np.concatenate([m.xyz[:, 2] for m in models]), rtol=1e-6)
    np.testing.assert_array_equal(unpack_rgb(points["rgb"]), np.concatenate([m.rgb for m in models]))


def test_point_ids_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="uint32"):
        map_messages.points_to_cloud([model(["a_1"], 2**32)], MAP)


def test_observations_count_pixels_as_ros_does():
    one = model(["front_1"], 0)
    rows = map_messages.observations_of([one])["front_1"]
    assert rows["point_id"].tolist() == [0, 1, 2, 3, 4, 5]
    first = one.obs_xy[one.point_ids[one.obs_point].tolist().index(0)]
    # ROS counts pixels from the first pixel's centre, COLMAP from its corner.
    assert rows[0]["u"] == pytest.approx(first[0] - 0.5)
    assert rows[0]["v"] == pytest.approx(first[1] - 0.5)
    cloud = map_messages.observations_to_cloud(rows, make_header(1, "front"))
    assert layout(cloud) == [("u", 0, F, 1), ("v", 4, F, 1), ("point_id", 8, U4, 1)]


def test_observations_of_the_same_map_have_the_same_bytes():
    one = model(["front_1", "front_2"], 0)
    shuffled = np.random.default_rng(3).permutation(len(one.obs_point))
    other = dataclasses.replace(
        one, obs_keyframe=one.obs_keyframe[shuffled], obs_point=one.obs_point[shuffled], obs_xy=one.obs_xy[shuffled]
    )
    for name, rows in map_messages.observations_of([one]).items():
        assert map_messages.observations_of([other])[name].tobytes() == rows.tobytes()


def test_poses_are_world_from_camera():
    one = model(["front_20", "front_10", "left_10"], 0)
    headers = {name: make_header(int(name.split("_")[1]), name.split("_")[0]) for name in one.names}
    poses = map_messages.cameras_to_poses([one], headers, MAP)
    assert len(poses.poses) == 3
    # In the order of stamp and frame_id: front_10, left_10, front_20.
    for k, pose in zip((1, 2, 0), poses.poses, strict=True):
        np.testing.assert_allclose(map_messages.camera_from_pose(pose), one.camera_from_world[k], atol=1e-9)
        q, t = pose.orientation, pose.position
        rotation = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()
        # world_from_camera undoes camera_from_world.
        np.testing.assert_allclose(one.camera_from_world[k, :, :3] @ rotation, np.eye(3), atol=1e-9)
        np.testing.assert_allclose(one.camera_from_world[k] @ [t.x, t.y, t.z, 1], 0, atol=1e-9)
    paths = map_messages.cameras_to_paths([one], headers, MAP)
    assert sorted(paths) == ["front", "left"]
    assert [p.header.stamp.nanosec for p in paths["front"].poses] == [10, 20]
    assert paths["front"].poses[1].pose == poses.poses[2]
    assert paths["front"].poses[0].header.frame_id == "map"


def test_a_pose_without_a_rotation_is_unknown():
    message = type(map_messages.poses_of([model(["front_1"], 0)])["front_1"])()
    message.orientation.w = 0.0
    assert np.isnan(map_messages.camera_from_pose(message)).all()


@pytest.mark.parametrize(
    ("camera", "topic"),
    [("front", "map/path/front"), ("rig/left-cam", "map/path/rig_left_cam"), ("2nd", "map/path/camera_2nd")],
)
def test_path_topics_are_valid_names(camera, topic):
    from rclpy.validate_topic_name import validate_topic_name

    assert map_messages.path_topic(camera) == topic
    assert validate_topic_name(topic)


def messages_of(models: list[SparseModel], stamp: int = STAMP) -> tuple:
    header = make_header(stamp, "map")
    observations = [
        map_messages.observations_to_cloud(rows, make_header(int(name.split("_")[1]), name.split("_")[0]))
        for name, rows in map_messages.observations_of(models).items()
    ]
    return map_messages.points_to_cloud(models, header), observations, map_messages.end_mark(header)


def test_the_way_back_gives_the_same_incidence():
    frame = WorldFrame("enu", (47.4, 8.5, 440.0))
    sent = [model(["front_1", "front_2", "left_1"], 10, frame=frame), model(["right_1", "right_2"], 500, seed=4, component=1)]
    points, observations, mark = messages_of(sent)
    receiver = MapReceiver("map")
    receiver.on_datum(map_messages.frame_to_fix(frame, MAP))
    for message in (*observations, mark, points):
        receiver.on_observations(message) if message is not points else receiver.on_points(message)
    got = receiver.models()
    assert [m.names for m in got] == [m.names for m in sent]
    assert [m.component for m in got] == [0, 1]
    assert got[0].frame == frame
    assert got[1].frame == map_messages.UPRIGHT, "the datum speaks of the first"
    rng = np.random.default_rng(5)
    segments = {}
    for name in ("front_1", "front_2", "right_2"):
        labels = np.repeat(rng.integers(0, 4, (1, 64)), 48, axis=0).astype(np.uint16)
        ids = np.unique(labels[labels > 0]).astype(np.uint16)
        segments[name] = Segments(name, labels, ids, np.ones(len(ids), np.int32), np.ones(len(ids), np.float32))
    want, have = build_incidence(sent, segments), build_incidence(got, segments)
    # The receiver sorts points by id within a component.
    order = np.concatenate([np.argsort(sent[0].point_ids), 6 + np.argsort(sent[1].point_ids)])
    np.testing.assert_array_equal(have.point_ids, want.point_ids[order])
    assert have.names == want.names
    assert (have.matrix != want.matrix[:, order]).nnz == 0
    assert (have.visibility != want.visibility[:, order]).nnz == 0
    np.testing.assert_allclose(got[1].xyz, sent[1].xyz[np.argsort(sent[1].point_ids)], rtol=1e-6, atol=1e-6)


def test_components_are_the_senders():
    """What no observation that arrived ties together is one component still; a smaller one may have more keyframes."""
    whole = model(["front_1", "front_2", "front_3", "front_4"], 10)
    left = (whole.obs_keyframe < 2) == (whole.obs_point < 3)  # two keyframes see three points, the others the rest
    apart = dataclasses.replace(
        whole, obs_keyframe=whole.obs_keyframe[left], obs_point=whole.obs_point[left], obs_xy=whole.obs_xy[left]
    )
    other = model([f"right_{k}" for k in range(1, 6)], 500, seed=4)
    points, observations, mark = messages_of([apart, other])
    receiver = MapReceiver("map")
    receiver.on_points(points)
    for message in (*reversed(observations), mark):
        receiver.on_observations(message)
    first, second = receiver.models()
    assert (set(first.names), set(second.names)) == (set(apart.names), set(other.names))
    assert [len(m.point_ids) for m in (first, second)] == [6, 6]
    # A message of the next revision, in which the components are one: what it says of the other one's points is left out.
    rows = map_messages.observations_of([apart])["front_1"]
    more = np.concatenate([rows, map_messages.observations_of([other])["right_1"][:2]])
    receiver.on_observations(map_messages.observations_to_cloud(more, make_header(1, "front")))
    first, second = receiver.models()
    assert "front_1" in first.names
    assert np.bincount(first.obs_keyframe, minlength=4).tolist() == [3] * 4
    assert len(second.obs_point) == 30


def test_poses_and_intrinsics_come_back():
    """Two components; one keyframe's lens cannot be told, so its component has poses but no intrinsics."""
    fisheye = Camera("OPENCV_FISHEYE", 64, 48, (50.0, 51.0, 32, 24, *[0.01] * 4))
    lenses = [Camera("SIMPLE_RADIAL", 64, 48, (50.0, 32.0, 24.0, 0.1)), fisheye]
    sent = [
        dataclasses.replace(model(["front_1", "left_1", "front_2"], 10), cameras=(lenses[0], lenses[1], lenses[0])),
        dataclasses.replace(model(["right_1", "right_2"], 500, seed=4), cameras=(lenses[0], Camera("FOV", 64, 48, (9.0,) * 5))),
    ]
    points, observations, mark = messages_of(sent)
    headers = {name: make_header(int(name.split("_")[1]), name.split("_")[0]) for m in sent for name in m.names}
    receiver = MapReceiver("map")
    receiver.on_cameras(map_messages.cameras_to_poses(sent, headers, make_header(STAMP - 1, "map")))
    for message in (*observations, mark):
        receiver.on_observations(message)
    receiver.on_points(points)
    assert receiver.revision is None, "poses of another revision"
    assert np.isnan(receiver.models()[0].camera_from_world).all()
    receiver.on_cameras(map_messages.cameras_to_poses(sent, headers, points.header))
    assert receiver.revision == ("map", STAMP)
    for m in sent:
        for name, camera in zip(m.names, m.cameras, strict=True):
            receiver.on_camera_info(camera_to_info(camera, headers[name]))
    got = receiver.models()
    for want, have in zip(sent, got, strict=True):
        assert have.names == want.names
        np.testing.assert_allclose(have.camera_from_world, want.camera_from_world, atol=1e-9)
    assert got[1].cameras == ()
    assert [c.model for c in got[0].cameras] == ["OPENCV", "OPENCV_FISHEYE", "OPENCV"]
    assert got[0].cameras[0].params == pytest.approx((50, 50, 32, 24, 0.1, 0, 0, 0))
    assert got[0].cameras[1].params == pytest.approx(lenses[1].params)


def test_a_revision_is_complete_only_with_points_and_end_mark():
    points, observations, mark = messages_of([model(["front_1", "front_2"], 0)])
    receiver = MapReceiver("map")
    receiver.on_points(points)
    assert (receiver.announced, receiver.revision) == (("map", STAMP), None)
    for message in observations[:-1]:
        receiver.on_observations(message)
    assert receiver.missing() == 6
    receiver.on_observations(observations[-1])
    assert receiver.missing() == 0
    assert receiver.revision is None
    receiver.on_observations(mark)
    assert receiver.revision == ("map", STAMP)
    later, _, _ = messages_of([model(["front_1", "front_2"], 0)], STAMP + 1)
    receiver.on_points(later)
    assert receiver.revision is None


def test_a_revision_waits_for_what_its_coordinates_mean():
    """A sender that says so says it for each revision; the map is not taken with the former one's."""
    points, observations, mark = messages_of([model(["front_1", "front_2"], 0)])
    frame, receiver = WorldFrame("enu", (47.4, 8.5, 440.0)), MapReceiver("map")
    receiver.on_datum(map_messages.frame_to_fix(WorldFrame(), make_header(STAMP - 1, "map")))
    for message in (*observations, mark):
        receiver.on_observations(message)
    receiver.on_points(points)
    assert receiver.revision is None
    receiver.on_datum(map_messages.frame_to_fix(frame, MAP))
    assert receiver.revision == ("map", STAMP)
    assert receiver.models()[0].frame == frame


def test_an_empty_cloud_takes_a_keyframe_out():
    points, observations, mark = messages_of([model(["front_1", "front_2", "front_3"], 0)])
    receiver = MapReceiver("map")
    receiver.on_points(points)
    for message in (*observations, mark):
        receiver.on_observations(message)
    empty = map_messages.observations_to_cloud(np.empty(0, map_messages.OBSERVATION), make_header(2, "front"))
    receiver.on_observations(empty)
    assert receiver.models()[0].names == ("front_1", "front_3")
    receiver.clear()
    assert receiver.models() == []


def test_a_foreign_cloud_is_refused():
    _, observations, _ = messages_of([model(["front_1"], 0)])
    with pytest.raises(DataError, match="no field component, rgb, x, y, z"):
        map_messages.wanted_fields(observations[0], map_messages.MAP_POINT, "map/points")


UP = (0.0, 0.0, 1.0)


@pytest.mark.parametrize("frame", [WorldFrame(up=UP), WorldFrame("metric", up=UP), WorldFrame("enu", (47.4, 8.5, 440.0))])
def test_what_coordinates_mean_travels_with_the_datum(frame):
    message = map_messages.frame_to_fix(frame, MAP)
    assert (message.status.status >= 0) == (frame.kind == "enu")
    assert np.isnan(message.latitude) == (frame.kind != "enu")
    assert map_messages.frame_from_fix(deserialize_message(serialize_message(message), NavSatFix)) == frame
