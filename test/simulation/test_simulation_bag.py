"""The simulated rosbag, read back field by field, equals the files."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from seg2d3d_ros.images import read_labels
from seg2d3d_ros.simulation.street_folder import simulate

pytest.importorskip("rosbags")
CAMERAS = ("front", "left")
TYPES = {
    "/tf_static": "tf2_msgs/msg/TFMessage",
    "/fix": "sensor_msgs/msg/NavSatFix",
    **{f"/{c}/image/compressed": "sensor_msgs/msg/CompressedImage" for c in CAMERAS},
    **{f"/{c}/camera_info": "sensor_msgs/msg/CameraInfo" for c in CAMERAS},
    **{f"/{c}/segments": "sensor_msgs/msg/Image" for c in CAMERAS},
}


def _stamp(message: Any) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sim") / "street"
    return simulate(out, seed=5, buildings=2, keyframes=7, cameras=2, width=160, height=112)


@pytest.fixture(scope="module")
def messages(street: Path) -> dict[str, list[tuple[int, Any]]]:
    from rosbags.highlevel import AnyReader

    found: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    with AnyReader([street / "street.mcap"]) as reader:
        assert {c.topic: c.msgtype for c in reader.connections} == TYPES
        times = []
        for connection, time, raw in reader.messages():
            times.append(time)
            found[connection.topic].append((time, reader.deserialize(raw, connection.msgtype)))
    assert times == sorted(times)
    return found


def test_messages_lie_in_the_file_in_order_of_time(street: Path) -> None:
    """A player that reads the file from start to end needs no sorting."""
    from rosbags.rosbag2 import Reader

    with Reader(street / "street.mcap") as reader:
        assert reader.message_count == 7 * 3 + 1 + sum(1 for c, *_ in reader.messages() if c.topic == "/fix")
        assert reader.duration > 10**10
    assert street.joinpath("street.mcap").is_file()
    assert street.joinpath("street.mcap").read_bytes()[:8] == b"\x89MCAP0\r\n"


def test_images_are_the_files_bytes(street: Path, messages: dict[str, list[tuple[int, Any]]]) -> None:
    names = []
    for camera in CAMERAS:
        for time, message in messages[f"/{camera}/image/compressed"]:
            assert message.header.frame_id == camera
            assert _stamp(message) == time
            assert message.format == "jpeg"
            names.append(f"{camera}_{time}")
            assert message.data.tobytes() == (street / f"images/{names[-1]}.jpg").read_bytes()
    assert sorted(names) == sorted(p.stem for p in (street / "images").iterdir())
    assert len(messages["/front/image/compressed"]) == 4
    assert len(messages["/left/image/compressed"]) == 3


def test_segments_follow_the_class_convention(street: Path, messages: dict[str, list[tuple[int, Any]]]) -> None:
    for camera in CAMERAS:
        for time, message in messages[f"/{camera}/segments"]:
            assert (message.encoding, message.is_bigendian, message.step) == ("mono16", 0, 320)
            assert (message.height, message.width) == (112, 160)
            assert message.header.frame_id == camera
            values = np.frombuffer(message.data.tobytes(), "<u2").reshape(112, 160)
            labels = read_labels(street / f"segments/{camera}_{time}.png")
            np.testing.assert_array_equal(values % 1000, labels)
            np.testing.assert_array_equal(values // 1000, (labels > 0).astype(int))


def test_camera_info_is_half_a_pixel_from_colmaps(street: Path, messages: dict[str, list[tuple[int, Any]]]) -> None:
    fx, fy, cx, cy = json.loads((street / "camera.json").read_text())["params"]
    for camera in CAMERAS:
        images = messages[f"/{camera}/image/compressed"]
        for (time, message), (image_time, _) in zip(messages[f"/{camera}/camera_info"], images, strict=True):
            assert time == image_time == _stamp(message)
            assert message.header.frame_id == camera
            assert (message.height, message.width, message.distortion_model) == (112, 160, "plumb_bob")
            np.testing.assert_array_equal(message.d, np.zeros(5))
            np.testing.assert_allclose(message.k.reshape(3, 3), [[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1]])
            np.testing.assert_allclose(message.p.reshape(3, 4)[:, :3], message.k.reshape(3, 3))
            np.testing.assert_array_equal(message.r.reshape(3, 3), np.eye(3))


def test_fixes_have_covariance_and_dropouts(street: Path, messages: dict[str, list[tuple[int, Any]]]) -> None:
    valid = [m for _, m in messages["/fix"] if m.status.status == 0]
    invalid = [m for _, m in messages["/fix"] if m.status.status == -1]
    assert len(valid) > 50
    assert invalid
    for message in valid:
        assert message.header.frame_id == "gps"
        assert message.position_covariance_type == 2
        np.testing.assert_allclose(message.position_covariance.reshape(3, 3), np.diag([2.25, 2.25, 9.0]))
        assert abs(message.latitude - 51.05) < 0.01
        assert abs(message.longitude - 13.737) < 0.01
    for message in invalid:
        assert np.isnan(message.latitude)
        assert message.position_covariance_type == 0
    times = np.array([t for t, _ in messages["/fix"]])
    assert np.diff(times).min() == pytest.approx(0.2e9, rel=0.01)
    assert np.diff(times).max() > 0.3e9


def test_static_transforms_are_the_rig(street: Path, messages: dict[str, list[tuple[int, Any]]]) -> None:
    ((time, message),) = messages["/tf_static"]
    assert time == min(t for rows in messages.values() for t, _ in rows)
    sensors = json.loads((street / "rig.json").read_text())["sensors"]
    assert {t.child_frame_id for t in message.transforms} == set(sensors) == {*CAMERAS, "gps"}
    for transform in message.transforms:
        assert transform.header.frame_id == "base_link"
        t, q = transform.transform.translation, transform.transform.rotation
        facts = sensors[transform.child_frame_id]
        assert [t.x, t.y, t.z] == pytest.approx(facts["base_from_sensor_translation"])
        assert [q.w, q.x, q.y, q.z] == pytest.approx(facts["base_from_sensor_quaternion_wxyz"])
    left = next(t.transform.rotation for t in message.transforms if t.child_frame_id == "left")
    looks = Rotation.from_quat([left.x, left.y, left.z, left.w]).apply([0, 0, 1])
    assert looks[1] > 0.8, "the left camera looks towards +y of base_link"


def test_tf_static_is_latched(street: Path) -> None:
    from rosbags.interfaces import QosDurability
    from rosbags.rosbag2 import Reader

    with Reader(street / "street.mcap") as reader:
        (connection,) = [c for c in reader.connections if c.topic == "/tf_static"]
        assert connection.ext.offered_qos_profiles[0].durability == QosDurability.TRANSIENT_LOCAL
