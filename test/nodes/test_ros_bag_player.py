"""bag_player over real DDS: everything arrives, in order; the job is seen through; bad bags say what is wrong."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("rosbags")

from helpers_ros import wait_for
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, NavSatFix
from std_msgs.msg import String
from std_srvs.srv import Trigger

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.nodes.bag_player import BagPlayer
from seg2d3d_ros.recording.naming import stamp_to_ns
from seg2d3d_ros.recording.reader import open_recording
from seg2d3d_ros.ros.messages.conversion import image_to_labels
from seg2d3d_ros.ros.node import qos

pytestmark = pytest.mark.ros
T0 = 1_700_000_000_000_000_000
TYPES = get_typestore(Stores.ROS2_JAZZY)
TYPES.register(get_types_from_msg("int32 x", "nobody_msgs/msg/Unknown"))


def message(types, name, **fields):
    return types.types[name](**fields)


def header(types, stamp, frame="front", **more):
    time = message(types, "builtin_interfaces/msg/Time", sec=stamp // 10**9, nanosec=stamp % 10**9)
    return message(types, "std_msgs/msg/Header", stamp=time, frame_id=frame, **more)


def picture(types, n, **more):
    """A mono16 image that holds n everywhere."""
    pixels = np.full((6, 8), n, np.uint16).view(np.uint8).ravel()
    head = header(types, T0 + n * 10_000_000, **more)
    return message(
        types, "sensor_msgs/msg/Image", header=head, height=6, width=8, encoding="mono16", is_bigendian=0, step=16, data=pixels
    )


def write_bag(path: Path, count=30, storage=StoragePlugin.MCAP, period=10_000_000, padding="") -> Path:
    with Writer2(path, version=9, storage_plugin=storage) as writer:
        images = writer.add_connection("/front/image_raw", "sensor_msgs/msg/Image", typestore=TYPES)
        texts = writer.add_connection("/texts", "std_msgs/msg/String", typestore=TYPES)
        unknown = writer.add_connection("/unknown", "nobody_msgs/msg/Unknown", typestore=TYPES)
        for n in range(count):
            stamp = T0 + n * period
            writer.write(images, stamp, TYPES.serialize_cdr(picture(TYPES, n), "sensor_msgs/msg/Image"))
            text = message(TYPES, "std_msgs/msg/String", data=f"text {n}{padding}")
            writer.write(texts, stamp + 1, TYPES.serialize_cdr(text, "std_msgs/msg/String"))
            writer.write(
                unknown, stamp, TYPES.serialize_cdr(message(TYPES, "nobody_msgs/msg/Unknown", x=n), "nobody_msgs/msg/Unknown")
            )
    return path


def play(world, bag, timeout=20.0, **parameters):
    """Play to the end; the player and its exit code."""
    player = world.add(BagPlayer, bag=str(bag), **parameters)
    assert wait_for(lambda: player.exit_code is not None, timeout)
    return player


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_subscriber_gets_every_message_in_order(world, tmp_path, storage):
    bag = write_bag(tmp_path / "bag", 300, storage, period=1_000_000)
    # 6000 messages a second, and more of them than the publisher's history holds.
    images = world.collect(Image, "/front/image_raw", 500)
    texts = world.collect(String, "/texts", 500)
    player = play(world, bag, rate=3.0)
    assert player.exit_code == 0
    assert wait_for(lambda: len(images) == len(texts) == 300)
    assert [image_to_labels(m)[0, 0] for m in images] == list(range(300))
    assert [stamp_to_ns(m.header.stamp) for m in images] == [T0 + n * 10_000_000 for n in range(300)]
    assert [m.data for m in texts] == [f"text {n}" for n in range(300)]
    assert "/unknown" not in player._publishers_of


def test_what_was_latched_reaches_who_comes_late(world, tmp_path):
    time = QosTime(0, 0)
    latched = (QosDurability.TRANSIENT_LOCAL, time, time, QosLiveliness.AUTOMATIC, time, False)
    profile = Qos(QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, *latched)
    with Writer2(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for name, offered in (("/once", [profile]), ("/often", [])):
            connection = writer.add_connection(name, "std_msgs/msg/String", typestore=TYPES, offered_qos_profiles=offered)
            writer.write(
                connection, T0, TYPES.serialize_cdr(message(TYPES, "std_msgs/msg/String", data="x"), "std_msgs/msg/String")
            )
    play(world, tmp_path / "bag", subscriber_timeout=0.0)
    once = world.collect(String, "/once", qos.LATCHED)
    assert wait_for(lambda: len(once) == 1)
    (often,) = world.probe.get_publishers_info_by_topic("/often")
    assert often.qos_profile.durability == DurabilityPolicy.VOLATILE


def test_rate_and_clock(world, tmp_path):
    bag = write_bag(tmp_path / "bag", 51)
    # The player sends with depth 1; a reader that is to count the messages keeps them all until the executor is free.
    every = QoSProfile(depth=1000, reliability=ReliabilityPolicy.BEST_EFFORT)
    times, clocks = [], world.collect(Clock, "/clock", every)
    world.probe.create_subscription(
        Image, "/front/image_raw", lambda _: times.append(world.probe.get_clock().now().nanoseconds), 50
    )
    play(world, bag, rate=0.5, clock=True)
    assert wait_for(lambda: len(times) == 51)
    # Half a second of recording at half speed; a busy machine only ever takes longer.
    assert 0.9 < (times[-1] - times[0]) * 1e-9 < 5.0
    assert wait_for(lambda: clocks and stamp_to_ns(clocks[-1].clock) >= T0 + 485_000_000)
    stamps = [stamp_to_ns(m.clock) for m in clocks]
    assert stamps == sorted(stamps)
    assert len(stamps) > 60
    assert stamps[0] >= T0 - 5_000_000
    assert stamps[-1] == pytest.approx(T0 + 500_000_000, abs=15_000_000)


def test_topics_can_be_chosen_and_looped(world, tmp_path):
    bag = write_bag(tmp_path / "bag", 5)
    texts = world.collect(String, "/texts", qos.INPUT_RELIABLE)
    player = world.add(BagPlayer, bag=str(bag), topics=["/texts"], loop=True)
    assert wait_for(lambda: len(texts) > 12)
    assert player.exit_code is None
    assert list(player._publishers_of) == ["/texts"]
    assert [m.data for m in texts[:6]] == ["text 0", "text 1", "text 2", "text 3", "text 4", "text 0"]


def test_what_the_recording_lost_is_a_finding_of_the_player(world, tmp_path):
    bag = write_bag(tmp_path / "bag", 200, StoragePlugin.MCAP, 1_000_000, padding="x" * 20_000)
    (file,) = bag.glob("*.mcap")
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size * 2 // 3)
    player = play(world, bag, topics=["/texts"], subscriber_timeout=0.0)
    assert wait_for(lambda: player.exit_code == 0)
    assert any(file.name in finding.text for finding in player.diagnostics.findings.list())


def test_a_paused_player_waits_for_resume(world, tmp_path):
    bag = write_bag(tmp_path / "bag", 5)
    texts = world.collect(String, "/texts", qos.INPUT_RELIABLE)
    player = world.add(BagPlayer, bag=str(bag), topics=["/texts"], start_paused=True)
    assert not wait_for(lambda: texts, 1.5)
    assert world.call(Trigger, "bag_player/resume").message == "playing"
    assert wait_for(lambda: player.exit_code == 0)
    assert wait_for(lambda: len(texts) == 5)


def test_playing_waits_for_the_services_of_nodes_that_must_not_miss_the_beginning(world, tmp_path):
    texts = world.collect(String, "/texts", qos.INPUT_RELIABLE)
    bag = write_bag(tmp_path / "bag", 5)
    player = world.add(BagPlayer, bag=str(bag), topics=["/texts"], wait_for=["finalize"])
    assert not wait_for(lambda: texts, 1.5)
    world.probe.create_service(Trigger, "finalize", lambda _request, response: response)
    assert wait_for(lambda: player.exit_code == 0)
    assert wait_for(lambda: len(texts) == 5)


@pytest.mark.parametrize(("success", "code"), [(True, 0), (False, 1)])
def test_finalize_is_called_after_everything_arrived_and_decides_the_exit_code(world, tmp_path, success, code):
    bag = write_bag(tmp_path / "bag", 20)
    images = world.collect(Image, "/front/image_raw", qos.INPUT_RELIABLE)
    seen = []

    def serve(name):
        def answer(_request, response):
            seen.append(name)
            response.success, response.message = success or name != "finalize", "no two images overlap"
            return response

        world.probe.create_service(Trigger, name, answer)

    for name in ("finalize", "segmentation_node/flush", "keyframe_node/flush"):
        serve(name)
    player = play(world, bag, when_done="finalize")
    assert player.exit_code == code
    assert seen == ["keyframe_node/flush", "segmentation_node/flush", "finalize"]
    # Everything was acknowledged before; this process may still be handing it to the callback.
    assert wait_for(lambda: len(images) == 20)


def test_closing_in_the_middle_is_quick(world, tmp_path):
    player = world.add(BagPlayer, bag=str(write_bag(tmp_path / "bag", 50, period=1_000_000_000)), subscriber_timeout=0.0)
    assert wait_for(lambda: "messages played" in {v.key for v in player.diagnostics.status().values})
    closing = threading.Thread(target=player.trigger_deactivate)
    closing.start()
    closing.join(2)
    assert not closing.is_alive()
    assert player.state == "inactive"


def test_rosbag1_becomes_todays_messages(world, tmp_path):
    noetic = get_typestore(Stores.ROS1_NOETIC)
    with Writer1(tmp_path / "old.bag") as writer:
        images = writer.add_connection("/front/image_raw", "sensor_msgs/msg/Image", typestore=noetic)
        infos = writer.add_connection("/front/camera_info", "sensor_msgs/msg/CameraInfo", typestore=noetic)
        fixes = writer.add_connection("/fix", "sensor_msgs/msg/NavSatFix", typestore=noetic)
        region = message(
            noetic, "sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        )
        service = message(noetic, "sensor_msgs/msg/NavSatStatus", status=0, service=1)
        for n in range(3):
            head = header(noetic, T0 + n, seq=n)
            info = message(
                noetic, "sensor_msgs/msg/CameraInfo", header=head, height=6, width=8, distortion_model="plumb_bob",
                D=np.arange(5.0), K=np.arange(9.0), R=np.zeros(9), P=np.arange(12.0), binning_x=0, binning_y=0, roi=region,
            )  # fmt: skip
            fix = message(
                noetic, "sensor_msgs/msg/NavSatFix", header=head, status=service, latitude=49.0 + n, longitude=8.0, altitude=1,
                position_covariance=np.eye(3).ravel(), position_covariance_type=2,
            )  # fmt: skip
            writer.write(images, T0 + n, noetic.serialize_ros1(picture(noetic, n, seq=n), "sensor_msgs/msg/Image"))
            writer.write(infos, T0 + n, noetic.serialize_ros1(info, "sensor_msgs/msg/CameraInfo"))
            writer.write(fixes, T0 + n, noetic.serialize_ros1(fix, "sensor_msgs/msg/NavSatFix"))
    got = [
        world.collect(t, n, 50)
        for t, n in ((Image, "/front/image_raw"), (CameraInfo, "/front/camera_info"), (NavSatFix, "/fix"))
    ]
    play(world, tmp_path / "old.bag")
    assert wait_for(lambda: [len(g) for g in got] == [3, 3, 3])
    assert [image_to_labels(m)[0, 0] for m in got[0]] == [0, 1, 2]
    assert (got[1][2].header.frame_id, got[1][2].width, list(got[1][2].k)) == ("front", 8, list(np.arange(9.0)))
    assert list(got[1][2].d) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert [m.latitude for m in got[2]] == [49.0, 50.0, 51.0]


@pytest.mark.parametrize(
    ("storage", "padding"), [(StoragePlugin.MCAP, 20_000), (StoragePlugin.SQLITE3, 20_000), (StoragePlugin.SQLITE3, 0)]
)
def test_of_a_bag_that_was_cut_off_the_beginning_is_played(tmp_path, storage, padding):
    count, period = 200, 10_000_000
    whole = write_bag(tmp_path / "bag", count, storage, period, padding="x" * padding)
    file = next(p for p in whole.iterdir() if p.suffix in (".mcap", ".db3"))
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size * 2 // 3)
    (whole / "metadata.yaml").unlink()
    with open_recording(file) as source:
        played = list(source.serialized(["/texts", "/front/image_raw"]))
    texts = [TYPES.deserialize_cdr(data, "std_msgs/msg/String").data for topic, _, data in played if topic == "/texts"]
    assert any(f"{file.name}: " in finding.text for finding in source.findings), "the cut is told"
    numbers = [int(text.rstrip("x").removeprefix("text ")) for text in texts]
    assert 50 < len(texts) < count
    assert numbers == sorted(set(numbers))
    assert numbers[-1] + 1 - len(numbers) < 10, "only rows on the page of the cut may be missing in between"
    assert 0 < source.duration_ns < count * period
    assert all(T0 <= stamp <= T0 + count * period for _, stamp, _ in played)


@pytest.mark.parametrize(
    ("parameters", "error", "words"),
    [
        ({}, UsageError, "needs a bag"),
        ({"bag": "missing"}, UsageError, "no bag at missing"),
        ({"bag": "BAG", "topics": ["/text"]}, UsageError, "no topic /text; did you mean '/texts'"),
        ({"bag": "BAG", "topics": ["/unknown"]}, DataError, "nothing to play"),
        ({"bag": "NOISE"}, DataError, "cannot be read as a bag"),
    ],
)
def test_bad_bags_say_what_is_wrong(world, tmp_path, parameters, error, words):
    (tmp_path / "noise.mcap").write_bytes(bytes(range(256)))
    places = {"BAG": str(write_bag(tmp_path / "bag", 2)), "NOISE": str(tmp_path / "noise.mcap")}
    given = {key: places.get(value, value) if isinstance(value, str) else value for key, value in parameters.items()}
    with pytest.raises(error, match=words):
        world.add(BagPlayer, **given)
