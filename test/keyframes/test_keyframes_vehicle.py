"""Mounts from a tree of frames, odometry between its messages, both from a bag; and metres from odometry."""

from __future__ import annotations

import json
import types

import numpy as np
import pytest
from helpers_bags import ROS2, SECOND, START, jpeg, view, wall, write_bag
from scipy.spatial.transform import Rotation

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.geometry.frames import FrameTree
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.keyframes.bag_keyframes import read_bag
from seg2d3d_ros.keyframes.odometry import VehicleOdometry
from seg2d3d_ros.keyframes.positions.pose_messages import PoseMessages
from seg2d3d_ros.keyframes.positions.pose_rows import PoseHints
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.reconstruction.database import ImageRow
from seg2d3d_ros.reconstruction.world.georeference import Scale, fit_similarity
from seg2d3d_ros.reconstruction.world.odometry_scale import positions, scale_by_odometry
from seg2d3d_ros.types import Keyframe


def shifted(x, y=0.0, z=0.0, yaw=0.0):
    return Pose(Rotation.from_euler("z", yaw).as_matrix(), np.array([x, y, z], float))


def odometry(x, yaw=0.0, stamp=None, store=None):
    w, z = np.cos(yaw / 2), np.sin(yaw / 2)
    make = store or (lambda kind, **fields: types.SimpleNamespace(**fields))
    pose = make(
        "geometry_msgs/msg/Pose",
        position=make("geometry_msgs/msg/Point", x=float(x), y=0.0, z=0.0),
        orientation=make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=float(z), w=float(w)),
    )
    covariance = {"covariance": np.zeros(36)}
    zero = make("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=0.0)
    return make(
        "nav_msgs/msg/Odometry",
        header=None if stamp is None else ROS2.header(stamp, "odom"),
        child_frame_id="base_link",
        pose=make("geometry_msgs/msg/PoseWithCovariance", pose=pose, **covariance),
        twist=make(
            "geometry_msgs/msg/TwistWithCovariance",
            twist=make("geometry_msgs/msg/Twist", linear=zero, angular=zero),
            **covariance,
        ),
    )


class TestMounts:
    def tree(self):
        tree = FrameTree()
        tree.add("base_link", "mast", shifted(1))
        tree.add("mast", "left", shifted(0, 2))
        tree.add("mast", "right", shifted(0, -2))
        tree.add("odom", "base_link", shifted(50), static=False)
        return tree

    def test_relative_to_the_frame_that_all_hang_from(self):
        found = self.tree().mounts({"l": "left", "r": "/right", "x": "elsewhere"})
        assert sorted(found) == ["l", "r"]
        np.testing.assert_allclose(found["l"].translation, [1, 2, 0])
        np.testing.assert_allclose(found["r"].translation, [1, -2, 0])

    def test_relative_to_the_frame_that_odometry_names(self):
        np.testing.assert_allclose(self.tree().mounts({"l": "left"}, "mast")["l"].translation, [0, 2, 0])
        np.testing.assert_allclose(self.tree().mounts({"l": "left"}, "unknown")["l"].translation, [1, 2, 0])

    def test_nothing_known(self):
        assert FrameTree().mounts({"l": "left", "r": "right"}) == {}
        assert FrameTree().mounts({"l": "left"}) == {}


class TestOdometry:
    def test_between_two_messages(self):
        series = VehicleOdometry()
        series.add_message(odometry(2.0, 1.0), 2 * SECOND // 5)
        series.add_message(odometry(0.0), 0)
        np.testing.assert_allclose(series.at(SECOND // 10).matrix, shifted(0.5, yaw=0.25).matrix, atol=1e-9)
        np.testing.assert_allclose(series.at(0).matrix, np.eye(4))
        assert series.base == "base_link"
        assert [series.reaches(s) for s in (0, 2 * SECOND // 5, SECOND)] == [True, True, False]

    def test_outside_and_in_gaps_nothing_is_known(self):
        series = VehicleOdometry()
        for seconds in (0, 1):
            series.add_message(odometry(seconds), seconds * SECOND)
        assert [series.at(s) for s in (-1, SECOND // 2, SECOND + 1)] == [None, None, None]

    def test_bad_messages_are_counted(self):
        series = VehicleOdometry()
        bad = odometry(0.0)
        bad.pose.pose.orientation.w = 0.0
        assert not series.add_message(bad, 1)
        assert not series.add_message(odometry(float("nan")), 2)
        assert (series.used, series.ignored) == (0, 2)


def recording(tmp_path):
    scene, records = wall(), []
    transforms = []
    for name, y in (("left", 1.0), ("right", -1.0)):
        transforms.append(
            ROS2.make(
                "geometry_msgs/msg/TransformStamped",
                header=ROS2.header(START, "base_link"),
                child_frame_id=name,
                transform=ROS2.make(
                    "geometry_msgs/msg/Transform",
                    translation=ROS2.make("geometry_msgs/msg/Vector3", x=0.5, y=y, z=2.0),
                    rotation=ROS2.make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0),
                ),
            )
        )
    records.append(("/tf_static", START, ROS2.make("tf2_msgs/msg/TFMessage", transforms=transforms)))
    for k in range(6):
        stamp = START + k * SECOND
        picture = jpeg(view(scene, 60 * k))
        records += [(f"/{name}/image/compressed", stamp, ROS2.compressed(stamp, name, picture)) for name in ("left", "right")]
    for k in range(60):
        stamp = START + k * SECOND // 10 - SECOND // 20
        records.append(("/odom", stamp, odometry(0.3 * (k - 0.5), stamp=stamp, store=ROS2.make)))
    return write_bag(tmp_path / "bag", records)


def test_a_bag_gives_mounts_and_odometry(tmp_path):
    with read_bag(recording(tmp_path), odom_topic="odom") as bag:
        items = [item.keyframe for item in bag]
        assert bag.counts["odometry"] == 60
    assert len(items) == 12
    for keyframe in items:
        np.testing.assert_allclose(keyframe.mount.translation, [0.5, 1.0 if keyframe.camera_name == "left" else -1.0, 2.0])
    moved = {k.stamp_ns: k.odometry for k in items if k.odometry is not None}
    np.testing.assert_allclose(moved[START + 2 * SECOND].translation, [6.0, 0, 0], atol=1e-6)
    record = KeyframeRecord.from_json(KeyframeRecord.of(items[2], "a.jpg").to_json()).keyframe(b"x")
    np.testing.assert_array_equal(record.mount.matrix, items[2].mount.matrix)
    np.testing.assert_array_equal(record.odometry.matrix, items[2].odometry.matrix)


def test_a_bag_gives_poses_that_images_keep_in_the_map(tmp_path):
    """The same messages, trusted as poses: of the vehicle, in their own frame; also in a map's records."""
    with read_bag(recording(tmp_path), pose_topic="odom") as bag:
        items = [item.keyframe for item in bag]
        assert bag.counts["poses"] == 60
    given = {k.stamp_ns: k.given for k in items if k.given is not None}
    assert len(given) > 1
    for stamp_ns, pose in given.items():
        np.testing.assert_allclose(pose.position, [0.3 * ((stamp_ns - START) / SECOND * 10 - 0.5), 0, 0], atol=0.2)
        assert (pose.body, pose.sigma, pose.metric) == ("vehicle", 0.1, True)
    item = next(k for k in items if k.given is not None)
    record = KeyframeRecord.from_json(json.loads(json.dumps(KeyframeRecord.of(item, "a.jpg").to_json())))
    np.testing.assert_array_equal(record.given.rotation, item.given.rotation)
    np.testing.assert_array_equal(record.given.position, item.given.position)
    assert record.given.axes == item.given.axes
    with pytest.raises(UsageError, match="no Odometry or PoseWithCovarianceStamped or PoseStamped on /ins"):
        read_bag(recording(tmp_path / "again"), pose_topic="/ins")


class TestPoseMessages:
    def test_covariance_says_how_good_a_pose_is(self):
        poses, message = PoseMessages(PoseHints()), odometry(1.0)
        message.pose.covariance = np.diag([0.01, 0.04, 0.01, 1e-6, 1e-6, 4e-6]).ravel()
        assert poses.add_message(message, SECOND)
        assert poses.at(SECOND).sigma == pytest.approx(0.2)
        assert poses.at(SECOND).rotation_sigma == pytest.approx(0.002)
        assert poses.base == "base_link"

    def test_without_one_the_configuration_does(self):
        poses = PoseMessages(PoseHints(body="camera", sigma=0.3, rotation_sigma=2.0))
        bare = types.SimpleNamespace(pose=odometry(1.0).pose.pose)
        assert poses.add_message(bare, SECOND)
        assert (poses.at(SECOND).body, poses.at(SECOND).sigma) == ("camera", 0.3)
        assert np.degrees(poses.at(SECOND).rotation_sigma) == pytest.approx(2.0)
        assert poses.base == ""

    def test_what_is_no_pose_is_ignored(self):
        poses = PoseMessages(PoseHints())
        assert not poses.add_message(odometry(np.nan), SECOND)
        assert poses.ignored == 1


def test_without_odometry_topic_none_is_read_and_a_wrong_one_is_named(tmp_path):
    path = recording(tmp_path)
    with read_bag(path) as bag:
        assert all(item.keyframe.odometry is None for item in bag)
    with pytest.raises(UsageError, match="no Odometry on /wheels; there are /odom"):
        read_bag(path, odom_topic="/wheels")


def test_old_records_without_poses_are_read():
    item = KeyframeRecord.of(Keyframe("a", "c", 1, b""), "a.jpg").to_json()
    assert "mount" not in item
    assert KeyframeRecord.from_json(item).keyframe(b"").mount is None


class TestScale:
    def rows(self, count=30):
        return [ImageRow(k, 1, f"c_{k}", "", "c", (k + 1) * SECOND, 9, None) for k in range(count)]

    def way(self, count=30):
        return {k: np.array([1.5 * k, 4 * np.sin(0.2 * k), 0.0]) for k in range(count)}

    def test_drift_and_slips_do_no_harm(self):
        """Odometry that turns away, is 2 % long and slips for some metres at one place: the scale within 3 %."""
        known = {}
        for k, place in self.way().items():
            turned = Rotation.from_euler("z", 0.02 * k).as_matrix() @ place
            known[k] = 1.02 * turned + (np.array([5.0, 0, 0]) if k > 17 else 0.0)
        model = {k: place / 4.0 for k, place in self.way().items()}
        assert scale_by_odometry(model, known, self.rows()) == pytest.approx(4.0 * 1.02, rel=0.03)

    def test_at_rest_and_in_disagreement_nothing_is_said(self):
        model, rng = self.way(), np.random.default_rng(0)
        rest = {k: 0.001 * rng.normal(size=3) for k in model}
        assert scale_by_odometry(model, rest, self.rows()) is None
        wild = {k: 10.0 * np.exp(2 * rng.normal()) * rng.normal(size=3) for k in model}
        assert scale_by_odometry(model, wild, self.rows()) is None
        assert scale_by_odometry({}, {}, self.rows()) is None

    def test_positions_are_the_cameras_where_mounts_are_known(self):
        rows = self.rows(2)
        found = positions({0: shifted(3, yaw=np.pi / 2)}, {"c": shifted(1)}, rows)
        np.testing.assert_allclose(found[0], [3, 1, 0], atol=1e-12)
        np.testing.assert_allclose(positions({0: shifted(3)}, {}, rows)[0], [3, 0, 0])

    def test_a_known_scale_holds_the_fit_to_noisy_positions(self):
        """40 m of way, 3 m of noise: the scale alone from positions is some percent off, with the known one .3 %."""
        rng = np.random.default_rng(4)
        centers = np.array(list(self.way().values()))
        upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # camera y is down
        poses = Pose(np.tile(upright.T, (len(centers), 1, 1)), centers / 5.0).inverse()
        noisy, sigma = centers + 3.0 * rng.normal(size=centers.shape), np.full(len(centers), 3.0)
        free = fit_similarity(poses, noisy, sigma).similarity.scale
        held = fit_similarity(poses, noisy, sigma, known_scale=Scale(5.0, 0.003)).similarity.scale
        assert abs(held / 5.0 - 1) < 0.003 < abs(free / 5.0 - 1)
