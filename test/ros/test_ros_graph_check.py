"""What ``seg2d3d doctor --live`` says of a graph: of one that is made up, and of a real one."""

from __future__ import annotations

import array
import time
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("rclpy")

from helpers_ros import own_domain, ros, wait_for
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, NavSatFix, PointCloud2
from std_msgs.msg import String

from seg2d3d_ros.geometry.frames import FrameTree
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.recording.topics import CLOUD, COMPRESSED, FIX, IMAGE, INFO
from seg2d3d_ros.ros.graph_check.graph_listener import GraphListener
from seg2d3d_ros.ros.graph_check.graph_verdict import GOOD, verdict, works
from seg2d3d_ros.ros.graph_check.heard_topics import GraphHeard, TopicHeard
from seg2d3d_ros.ros.messages.conversion import make_header
from seg2d3d_ros.ros.node import qos

NOW = 1_800_000_000_000_000_000
PERIOD = 100_000_000
PICTURE = array.array("B", encode_jpeg(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)))


def topic(name, kind, messages, *, late=0.02, period=PERIOD, **more):
    """Messages at 10 Hz that come ``late`` seconds after their stamps."""
    for k, message in enumerate(messages):
        message.header = make_header(NOW + k * period, message.header.frame_id)
    stamps = [NOW + k * period for k in range(len(messages))]
    heard = TopicHeard(name, kind, ["/driver"], ["RELIABLE, VOLATILE"], stamps=stamps, **more)
    heard.arrivals = [stamp + round(late * 1e9) for stamp in stamps]
    heard.first, heard.kept = (messages[0] if messages else None), list(messages)
    heard.size = sum(len(getattr(message, "data", ())) for message in messages)
    return heard


def images(name="/front/image_raw/compressed", frame="front", count=30, data=PICTURE, **more):
    return topic(
        name,
        COMPRESSED,
        [CompressedImage(header=make_header(0, frame), data=data, format="jpeg") for _ in range(count)],
        **more,
    )


def infos(name="/front/camera_info", count=30, focal=50.0, width=64, height=48, **more):
    k = [focal, 0.0, 32.0, 0.0, focal, 24.0, 0.0, 0.0, 1.0 if focal else 0.0]
    return topic(
        name, INFO, [CameraInfo(width=width, height=height, k=k, distortion_model="plumb_bob") for _ in range(count)], **more
    )


def fixes(name="/fix", status=0, count=30, **more):
    def fix(k):
        message = NavSatFix(latitude=50.0 + k * 1e-6, longitude=13.0, altitude=200.0, position_covariance_type=2)
        message.position_covariance = [1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0]
        message.status.status = status
        return message

    return topic(name, FIX, [fix(k) for k in range(count)], **more)


def graph(*topics, frames=None, **more):
    types = {heard.name: (heard.msgtype,) for heard in topics}
    return GraphHeard(3.0, types, types, {heard.name: heard for heard in topics}, frames or FrameTree(), **more)


def said(lines, level):
    return [f"{line.subject}: {line.text}" for line in lines if line.level == level]


def test_a_sound_graph_is_told_with_what_will_be_used():
    lines = verdict(graph(images(), infos(), fixes()))
    assert works(lines)
    assert said(lines, "warning") == []
    good = said(lines, GOOD)
    assert good[0].startswith("/front/image_raw/compressed: 10.0 Hz, 64×48, jpeg,")
    assert good[1] == "/front/camera_info: PINHOLE, focal length 50 px"
    assert good[2] == "/fix: 10.0 Hz, 30 of 30 fixes would be used"
    assert said(lines, "note") == ["masks: no topic called segments: choose a segmenter that finds objects, e.g. grounded_sam"]


def test_an_empty_graph_says_where_to_look(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    lines = verdict(GraphHeard(3.0, {"/rosout": ("rcl_interfaces/msg/Log",)}, {}, {}))
    assert not works(lines)
    assert "no topic at all on ROS_DOMAIN_ID 7" in lines[0].text


@pytest.mark.parametrize(
    ("topics", "level", "words"),
    [
        ([images(count=0), infos()], "error", "no data for 3 s (publishers: 1; silent)"),
        ([images(unfit="you ask for RELIABLE, it offers BEST_EFFORT"), infos()], "error", "you ask for RELIABLE"),
        ([images(data=array.array("B", b"\xff\xd8\xffnoise")), infos()], "error", "the image is cut off"),
        ([images(late=12.0), infos()], "warning", "its stamps are +12.0 s behind this computer's clock"),
        ([images(late=90_000.0), infos()], "note", "its stamps are 25.0 h old, as of a recording"),
        ([images(period=-PERIOD), infos()], "warning", "29 of 30 stamps are not newer than the one before"),
        ([images(frame=""), infos()], "warning", "no frame_id"),
        ([images(), infos(count=0)], "warning", "no data for 3 s (publishers: 1; silent): the focal length is estimated"),
        ([images(), infos(focal=0.0)], "warning", "K is zero"),
        ([images(), infos(width=64, height=64)], "warning", "the focal length is estimated"),
        ([images(), infos(), fixes(status=-1)], "warning", "0 of 30 fixes would be used"),
        ([images(), infos(), fixes(), fixes("/other/fix")], "warning", "several topics with positions"),
        ([images(), infos(), fixes(count=0)], "warning", "no data for 3 s"),
        ([topic("/lidar/points", CLOUD, [PointCloud2()] * 5), images(), infos()], "note", "cloud_topic:=/lidar/points uses it"),
        ([fixes()], "error", "no image topic with a camera_info beside it"),
    ],
)
def test_what_is_wrong_is_said_with_the_way_out(topics, level, words):
    lines = verdict(graph(*topics))
    assert any(words in line for line in said(lines, level)), lines
    assert works(lines) is (level != "error")


def test_images_that_do_not_arrive_are_counted_by_the_gaps_between_their_stamps():
    heard = images()
    del heard.stamps[5:15:2], heard.arrivals[5:15:2]
    assert any("about 5 of 30 images do not arrive" in line for line in said(verdict(graph(heard, infos())), "warning"))


def test_cameras_of_one_frame_id_and_cameras_without_mounts():
    pair = [images(), infos(), images("/left/image_raw/compressed", "left"), infos("/left/camera_info")]
    lines = verdict(graph(*pair))
    assert any("does not tie" in line for line in said(lines, "warning"))
    frames = FrameTree()
    for frame in ("front", "left"):
        frames.add("base_link", frame, Pose.identity())
    assert "/tf_static: has the mounts of 2 cameras" in said(verdict(graph(*pair, frames=frames)), GOOD)
    assert any("tf2_msgs is not installed" in line for line in said(verdict(graph(*pair, reads_frames=False)), "note"))
    twins = [images(), infos(), images("/left/image_raw/compressed", "front"), infos("/left/camera_info")]
    assert any("have one frame_id (front)" in line for line in said(verdict(graph(*twins)), "error"))


def test_named_topics_and_neighbours():
    heard = graph(
        images(),
        infos(),
        nodes=Counter({"/driver": 2}),
        pipelines=["/seg2d3d"],
        statuses={"/seg2d3d/keyframe_node": (2, "blind")},
    )
    lines = verdict(heard, ["/front/image_raw"], "none")
    assert works(lines)
    assert "/driver: 2 nodes have this name: give one another name or namespace" in said(lines, "warning")
    assert "/seg2d3d/keyframe_node: blind" in said(lines, "warning")
    assert any("a pipeline runs here" in line for line in said(lines, "note"))
    assert said(verdict(heard, ["/rear/image_raw"]), "error") == ["/rear/image_raw: nobody publishes it"]
    assert any(line.startswith("/gps: no NavSatFix") for line in said(verdict(heard, [], "/gps"), "error"))


@pytest.mark.ros
def test_a_real_graph_is_heard():
    with ros(own_domain()) as world:
        pictures = world.probe.create_publisher(CompressedImage, "/front/image_raw/compressed", qos.INPUT_SENSOR_DATA)
        calibrations = world.probe.create_publisher(CameraInfo, "/front/camera_info", qos.INPUT_SENSOR_DATA)
        world.probe.create_publisher(Image, "/seg2d3d/instances/labels", qos.LABELS)
        world.probe.create_publisher(String, "/texts", 10)
        doctor = Node("doctor", namespace="/doctor", context=world.context)
        world.executor.add_node(doctor)
        listener = GraphListener(doctor, "reliable")
        assert wait_for(lambda: pictures.get_subscription_count() and calibrations.get_subscription_count())

        def heard():
            header = make_header(time.time_ns(), "front")
            pictures.publish(CompressedImage(header=header, data=PICTURE, format="jpeg"))
            calibrations.publish(CameraInfo(header=header, width=64, height=48, k=[50.0, 0, 32, 0, 50, 24, 0, 0, 1.0]))
            found = listener.heard()
            both = [found.topics.get(name) for name in ("/front/image_raw/compressed", "/front/camera_info")]
            return found if all(one and one.count > 2 for one in both) else None

        assert wait_for(heard)
        found = listener.heard()
        assert found.topics["/front/image_raw/compressed"].publishers == ["/seg2d3d/probe"]
        assert "/texts" not in found.topics
        assert IMAGE in found.types["/seg2d3d/instances/labels"]
        assert any("you ask for RELIABLE, it offers BEST_EFFORT" in line for line in said(verdict(found), "error"))
        listener._qos = "auto"
        assert works(verdict(listener.heard()))
