"""Recordings as commands and the player read them: messages and bytes, topics, times, several files, damage."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_bags import JAZZY, ROS1, ROS2, SECOND, START, storage_file, write_bag
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin, Writer

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.recording.losses import FILES_DAMAGED, MESSAGES_UNFIT
from seg2d3d_ros.recording.reader import open_recording
from seg2d3d_ros.recording.recorded_frames import recorded_frames
from seg2d3d_ros.recording.topics import FIX, TF, Topic

TEXT = "std_msgs/msg/String"


def texts(count, first=0, padding=""):
    return [("/text", START + k * SECOND, ROS2.text(f"{k}{padding}")) for k in range(first, first + count)]


def numbers(recording):
    return [int(message.data.rstrip("x")) for _, _, message in recording.messages(["/text"])]


@pytest.mark.parametrize("storage", ["mcap", "db3", "bag"])
def test_the_bytes_are_those_of_the_messages_in_todays_form(tmp_path, storage):
    messages = ROS1 if storage == "bag" else ROS2
    fix, info = messages.fix(START, 50.0, 13.0), messages.info(START + 1, "front", 160, 120, (1.0, 2.0, 3.0, 4.0), (0.1, 0.2))
    path = write_bag(tmp_path / f"b.{storage}", [("/fix", START, fix), ("/info", START + SECOND, info)], storage)
    with open_recording(path) as recording:
        assert {name: topic.count for name, topic in recording.topics.items()} == {"/fix": 1, "/info": 1}
        assert recording.start_ns == START
        assert SECOND <= recording.duration_ns <= SECOND + 1
        ((topic, log_ns, raw), (_, _, raw_info)) = recording.serialized(["/fix", "/info"])
        assert (topic, log_ns) == ("/fix", START)
        back = JAZZY.deserialize_cdr(raw, FIX)
        assert (back.latitude, back.header.stamp.sec, back.header.frame_id) == (50.0, START // SECOND, "gps")
        np.testing.assert_array_equal(JAZZY.deserialize_cdr(raw_info, "sensor_msgs/msg/CameraInfo").d, [0.1, 0.2])
        assert recording.first("/fix").longitude == 13.0
        assert recording.first("/nothing") is None
        assert recording.damage == []


def durable(durability):
    time = QosTime(0, 0)
    return Qos(QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, durability, time, time, QosLiveliness.AUTOMATIC, time, False)


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_latched_topics_are_known(tmp_path, plugin):
    with Writer(tmp_path / "b", version=9, storage_plugin=plugin) as writer:
        for name, durability in (("/once", QosDurability.TRANSIENT_LOCAL), ("/often", QosDurability.VOLATILE)):
            connection = writer.add_connection(name, TEXT, typestore=JAZZY, offered_qos_profiles=[durable(durability)])
            writer.write(connection, START, JAZZY.serialize_cdr(ROS2.text("x"), TEXT))
    with open_recording(tmp_path / "b") as recording:
        assert recording.topics == {"/once": Topic("/once", TEXT, 1, True), "/often": Topic("/often", TEXT, 1, False)}


def test_latched_topics_of_rosbag1_are_known(tmp_path):
    with Writer1(tmp_path / "b.bag") as writer:
        for name, latching in (("/once", 1), ("/often", None)):
            connection = writer.add_connection(name, TEXT, typestore=ROS1.store, latching=latching)
            writer.write(connection, START, ROS1.store.serialize_ros1(ROS1.text("x"), TEXT))
    with open_recording(tmp_path / "b.bag") as recording:
        assert {name: topic.latched for name, topic in recording.topics.items()} == {"/once": True, "/often": False}


@pytest.mark.parametrize("storage", ["mcap", "db3"])
def test_files_of_one_recording_follow_each_other_and_a_damaged_one_is_told(tmp_path, storage):
    (tmp_path / "drive").mkdir()
    for part in (2, 10, 1):
        file = storage_file(write_bag(tmp_path / f"part{part}", texts(5, first=5 * part, padding="x" * 3000), storage))
        file.rename(tmp_path / "drive" / f"drive_{part}.{storage}")
    with open_recording(tmp_path / "drive") as recording:
        assert numbers(recording) == [*range(5, 15), *range(50, 55)]
        assert recording.topics == {"/text": Topic("/text", TEXT, 15)}
        assert (recording.start_ns, recording.duration_ns // SECOND) == (START + 5 * SECOND, 49)
    cut = tmp_path / "drive" / f"drive_2.{storage}"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 3])
    with open_recording(tmp_path / "drive") as recording:
        found = numbers(recording)
        assert set(found) < {*range(5, 15), *range(50, 55)}
        assert {*range(5, 10), *range(50, 55)} <= set(found)
        assert len(recording.damage) == 1
        assert f"drive_2.{storage}: " in recording.damage[0]


def test_a_message_that_cannot_be_decoded_costs_only_itself(tmp_path):
    """In a file without index, too."""
    with Writer(tmp_path / "b", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/text", TEXT, typestore=JAZZY)
        for k in range(4):
            raw = bytes(JAZZY.serialize_cdr(ROS2.text(str(k)), TEXT))
            writer.write(connection, START + k, raw[:6] if k == 2 else raw)
    file = storage_file(tmp_path / "b")
    whole = file.read_bytes()
    for content in (whole, whole[:-30]):
        file.write_bytes(content)
        with open_recording(file) as recording:
            assert numbers(recording) == numbers(recording) == [0, 1, 3]
            found = {finding.kind: finding for finding in recording.findings}
            assert found.keys() - {FILES_DAMAGED} == {MESSAGES_UNFIT}
            assert found[MESSAGES_UNFIT].count == 1
            assert "/text 1: " in found[MESSAGES_UNFIT].text


def test_the_row_at_the_cut_of_a_database_is_no_message(tmp_path):
    """SQLite reads zeros beyond the cut."""
    file = storage_file(write_bag(tmp_path / "b", texts(3000), "db3"))
    whole = file.read_bytes()
    for share in np.linspace(0.4, 0.6, 40):
        file.write_bytes(whole[: int(len(whole) * share)])
        with open_recording(file) as recording:
            stamps = [stamp for _, stamp, _ in recording.messages(["/text"])]
            assert stamps == sorted(set(stamps))
            assert stamps[0] == recording.start_ns == START


def test_an_empty_recording(tmp_path):
    with Writer(tmp_path / "b", version=9, storage_plugin=StoragePlugin.MCAP):
        pass
    for path in (storage_file(tmp_path / "b"), tmp_path / "b"):
        with pytest.raises(DataError, match="empty"):
            open_recording(path)


def test_a_topic_is_found_by_name_and_type(tmp_path):
    path = write_bag(tmp_path / "b", [("/gps/fix", START, ROS2.fix(START, 50.0, 13.0)), *texts(1)])
    with open_recording(path) as recording:
        assert recording.types == {"/gps/fix": (FIX,), "/text": (TEXT,)}
        assert recording.find("gps/fix", FIX) == recording.find("/gps/fix", FIX) == "/gps/fix"
        with pytest.raises(UsageError, match="no NavSatFix on /text; there are /gps/fix"):
            recording.find("/text", FIX)


def transforms(*children):
    header = ROS2.header(START, "base_link")
    zero, one = ROS2.make("geometry_msgs/msg/Vector3", x=1.0, y=0.0, z=0.0), {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}
    make = ROS2.make
    poses = make("geometry_msgs/msg/Transform", translation=zero, rotation=make("geometry_msgs/msg/Quaternion", **one))
    return make(TF, transforms=[
        make("geometry_msgs/msg/TransformStamped", header=header, child_frame_id=child, transform=poses) for child in children
    ])  # fmt: skip


def test_frames_are_static_unless_moving_ones_are_asked_for(tmp_path):
    records = [("/tf", START + k, transforms(f"moving{k}")) for k in range(3)] + [
        ("/tf_static", START + 9, transforms("fixed"))
    ]
    with open_recording(write_bag(tmp_path / "b", records)) as recording:
        still, moving = recorded_frames(recording), recorded_frames(recording, dynamic=2)
    frames = ["fixed", "moving0", "moving1", "moving2"]
    assert [still.find("base_link", name) is not None for name in frames] == [True, False, False, False]
    assert [moving.find("base_link", name) is not None for name in frames] == [True, True, True, False]
