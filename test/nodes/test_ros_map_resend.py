"""Receivers that miss a part of the map: who comes late, who asks while the sender is busy, who holds another map."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import PoseArray
from helpers_map_nodes import header_of, scene, value
from helpers_ros import own_domain, wait_for
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_srvs.srv import Trigger

from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.lidar.scans import cloud_to_array
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.nodes import reconstruction_node
from seg2d3d_ros.nodes.association_node import AssociationNode
from seg2d3d_ros.nodes.cloud_node import CloudNode
from seg2d3d_ros.nodes.reconstruction_node import ReconstructionNode
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction
from seg2d3d_ros.reconstruction.worker.worker_events import Opened
from seg2d3d_ros.ros.map_exchange import map_publisher, map_subscription
from seg2d3d_ros.ros.map_exchange.map_receiver import MapReceiver, revision_of
from seg2d3d_ros.ros.messages import map_messages
from seg2d3d_ros.ros.messages.conversion import camera_to_info, keyframe_name, labels_to_image, make_header
from seg2d3d_ros.ros.node import qos
from seg2d3d_ros.segmentation.encoding import to_mono16
from seg2d3d_ros.types import Keyframe

pytestmark = pytest.mark.ros
DOMAIN = own_domain()


class ResumedWorker:
    """Opens a finished map, and does nothing."""

    opened: Opened

    def __init__(self):
        self.news = [self.opened]

    busy = False

    def events(self):
        news, self.news = self.news, []
        return news

    def close(self):
        pass


def resumed(world, root, monkeypatch):
    """A node started again on a map of four of five keyframes, and the map."""
    model, _ = scene(4)
    store, records = MapStore(root), []
    for k in range(1, 6):
        frame = Keyframe(f"front_{k}", "front", k, encode_jpeg(np.full((48, 64, 3), k, np.uint8)), file_name=f"front_{k}.jpg")
        records.append(KeyframeRecord.of(frame, store.write_image(frame).relative_to(root)))
    store.write_keyframes(records)
    monkeypatch.setattr(ResumedWorker, "opened", Opened(tuple(r.name for r in records), Reconstruction([model])), raising=False)
    monkeypatch.setattr(reconstruction_node, "worker_factory", lambda *_: ResumedWorker)
    return world.add(ReconstructionNode, map_dir=str(root), update_idle=1000.0), model


def names(messages):
    return [keyframe_name(m.header) if m.header.frame_id != "map" else "end" for m in messages]


WHOLE = ["front_1", "front_2", "front_3", "front_4", "front_5", "end"]


def listen(world):
    receiver = MapReceiver("map")
    world.probe.create_subscription(PointCloud2, "map/points", receiver.on_points, qos.LATCHED)
    world.probe.create_subscription(PointCloud2, "map/observations", receiver.on_observations, qos.OBSERVATIONS)
    world.probe.create_subscription(PoseArray, "map/cameras", receiver.on_cameras, qos.LATCHED)
    world.probe.create_subscription(CameraInfo, "map/camera_info", receiver.on_camera_info, qos.OBSERVATIONS)
    return receiver


def test_who_comes_after_the_map_was_sent_gets_it_whole_without_asking(world, tmp_path, monkeypatch):
    node, model = resumed(world, tmp_path, monkeypatch)
    assert wait_for(lambda: value(node, "keyframes changed by the last revision") and node._publishing.pending == 0)
    first, second = listen(world), None
    for _ in range(2):
        receiver = first if second is None else second
        assert wait_for(lambda receiver=receiver: receiver.revision is not None)
        assert wait_for(lambda receiver=receiver: receiver.unknown_cameras() == 0 and receiver._cameras)
        assert (receiver.missing(), receiver.surplus()) == (0, 0)
        (got,) = receiver.models()
        assert set(got.names) == set(model.names)
        assert len(got.cameras) == 4
        if second is None:
            second = listen(world)


def test_asking_while_a_revision_is_sent_is_not_in_vain(world, tmp_path, monkeypatch):
    """Publishing takes seconds where a dead receiver does not confirm; what is asked for meanwhile comes behind it."""
    gate, inside = threading.Event(), threading.Event()

    def slow(publisher):
        inside.set()
        return gate.wait(20)

    heard = world.collect(PointCloud2, "map/observations", qos.OBSERVATIONS)
    monkeypatch.setattr(map_publisher, "settle", slow)
    node, _ = resumed(world, tmp_path, monkeypatch)
    assert wait_for(inside.is_set)
    assert wait_for(lambda: heard and names(heard)[-1] == "end")
    assert wait_for(lambda: node._publisher._listeners[0] == 1)
    node._publisher._whole.clear()  # whether this subscriber came late is not the question here
    heard.clear()
    assert world.call(Trigger, "reconstruction_node/resend").success
    assert not wait_for(lambda: heard, 0.5)
    gate.set()
    assert wait_for(lambda: len(heard) == 6)
    assert sorted(names(heard)) == sorted(WHOLE)
    assert not wait_for(lambda: len(heard) > 6, 0.5), "once"


def test_a_request_does_not_push_out_a_revision(world, tmp_path, monkeypatch):
    gate, inside = threading.Event(), threading.Event()
    points = world.collect(PointCloud2, "map/points", qos.LATCHED)

    def slow(publisher):
        inside.set()
        return gate.wait(20)

    monkeypatch.setattr(map_publisher, "settle", slow)
    node, _ = resumed(world, tmp_path, monkeypatch)
    assert wait_for(lambda: inside.is_set() and points)  # the topic keeps one message: a second one would replace it unseen
    node._revised(Reconstruction([scene(3)[0]]))
    node._publishing.put(None)  # as ``_tick`` may at the same moment
    gate.set()
    assert wait_for(lambda: value(node, "keyframes registered") and node._publishing.pending == 0)
    assert len(node._publisher._models[0].names) == 3
    assert wait_for(lambda: points[-1].header.stamp != points[0].header.stamp)


class Sender:
    """In the place of reconstruction_node: sends maps as it is told, and counts who asks."""

    def __init__(self, world):
        probe = world.probe
        self.asked, self.answer = 0, lambda: None
        probe.create_service(Trigger, "reconstruction_node/resend", self._resend)
        self.observations = probe.create_publisher(PointCloud2, "map/observations", qos.OBSERVATIONS)
        self.points = probe.create_publisher(PointCloud2, "map/points", qos.LATCHED)
        self.cameras = probe.create_publisher(PoseArray, "map/cameras", qos.LATCHED)
        self.infos = probe.create_publisher(CameraInfo, "map/camera_info", qos.OBSERVATIONS)

    def heard(self):
        return all(p.get_subscription_count() for p in (self.observations, self.points, self.cameras, self.infos))

    def _resend(self, _request, response):
        self.asked += 1
        self.answer()
        response.success = True
        return response

    def send(self, model, stamp, *, lose=(), infos=True):
        header = make_header(stamp, "map")
        headers = {name: header_of(name) for name in model.names}
        for name, camera in zip(model.names, model.cameras, strict=True) if infos else ():
            if name not in lose:
                self.infos.publish(camera_to_info(camera, headers[name]))
        self.cameras.publish(map_messages.cameras_to_poses([model], headers, header))
        for name, rows in map_messages.observations_of([model]).items():
            if name not in lose:
                self.observations.publish(map_messages.observations_to_cloud(rows, headers[name]))
        self.observations.publish(map_messages.end_mark(header))
        self.points.publish(map_messages.points_to_cloud([model], header))


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(map_subscription, "RESEND_SECONDS", 0.5)


def renamed(model, first):
    """The same map under the names of other keyframes."""
    return dataclasses.replace(model, names=tuple(f"front_{first + k}" for k in range(len(model.names))))


def test_keyframes_of_another_map_do_not_stay(world, tmp_path, hasty):
    """The sender was started on another map directory: it cannot withdraw keyframes that it does not know."""
    model, _ = scene(4)
    sender, other = Sender(world), renamed(model, 101)
    node = world.add(AssociationNode, map_dir=str(tmp_path))
    assert wait_for(lambda: sender.heard() and node._map.resend.available)
    sender.send(model, 10)
    assert wait_for(lambda: node._map.checked == ("map", 10))
    sender.answer = lambda: sender.send(other, 20)
    sender.send(other, 20)
    assert wait_for(lambda: node._map.checked == ("map", 20))
    assert sender.asked >= 1  # a slow machine may ask once more
    assert set(node._receiver.names) == set(other.names)


def test_one_lost_keyframe_is_asked_for_even_if_the_others_hold_all_points(world, tmp_path, hasty):
    model, _ = scene(4)
    sender = Sender(world)
    node = world.add(AssociationNode, map_dir=str(tmp_path))
    assert wait_for(lambda: sender.heard() and node._map.resend.available)
    sender.answer = lambda: sender.send(model, 10, lose=("front_1",) if sender.asked == 1 else ())
    sender.send(model, 10, lose=("front_1",))
    assert wait_for(lambda: node._map.checked == ("map", 10))
    assert sender.asked >= 2, "one answer was not whole either"
    assert set(node._receiver.names) == set(model.names)


@pytest.mark.parametrize("make", [AssociationNode, CloudNode])
def test_a_node_started_again_asks_for_what_it_was_not_there_to_hear(world, tmp_path, hasty, make):
    model, _ = scene(4)
    sender = Sender(world)
    sender.send(model, 10)  # only what is latched is left of it
    sender.answer = lambda: sender.send(model, 10)
    cloud = {"cloud_topic": "/lidar"} if make is CloudNode else {}
    node = world.add(make, map_dir=str(tmp_path), **cloud)
    assert wait_for(lambda: node._map.checked == ("map", 10))
    assert sender.asked >= 1  # a slow machine may ask once more
    assert len(node._receiver.models()[0].cameras) == 4


def test_lost_intrinsics_are_asked_for(world, tmp_path, hasty):
    model, _ = scene(4)
    sender = Sender(world)
    node = world.add(CloudNode, map_dir=str(tmp_path), cloud_topic="/lidar")
    assert wait_for(lambda: sender.heard() and node._map.resend.available)
    sender.send(model, 10)
    assert wait_for(lambda: node._map.checked == ("map", 10))
    larger = renamed(model, 2)  # front_5 is new, and its intrinsics are lost
    sender.answer = lambda: sender.send(larger, 20)
    sender.observations.publish(map_messages.observations_to_cloud(np.empty(0, map_messages.OBSERVATION), header_of("front_1")))
    sender.send(larger, 20, infos=False)
    assert wait_for(lambda: node._map.checked == ("map", 20))
    assert sender.asked >= 1  # a slow machine may ask once more
    assert set(node._receiver.names) == set(larger.names)


def begin(root: Path, log: Path) -> subprocess.Popen:
    environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "seg2d3d_ros.nodes.association_node", "--ros-args", "-p", f"map_dir:={root}"]
    command += ["-p", "association.min_points:=3", "-p", "association.min_images:=2"]
    with log.open("ab") as out:
        return subprocess.Popen(command, env=environment, stdout=out, stderr=out)


def test_an_association_node_that_is_killed_labels_the_newest_map_again(world, tmp_path, monkeypatch):
    """The map grew while it was dead; only what is latched of that is still to be heard."""
    clouds = world.collect(PointCloud2, "instances/points", qos.LATCHED)
    segments = world.probe.create_publisher(Image, "keyframes/segments", qos.SEGMENTS)
    node, model = resumed(world, tmp_path, monkeypatch)
    assert wait_for(lambda: node._publisher._stamp)
    log = tmp_path.with_suffix(".log")  # beside the map
    process = begin(tmp_path, log)
    try:
        assert wait_for(lambda: "]: active" in log.read_text() and segments.get_subscription_count()), log.read_text()
        for name, item in scene(4)[1].items():
            segments.publish(labels_to_image(to_mono16(item), header_of(name)))
        assert wait_for(lambda: clouds and set(cloud_to_array(clouds[-1])["instance_id"]) == {1, 2}), log.read_text()
        before, first = cloud_to_array(clouds[-1]), revision_of(clouds[-1].header)
        process.kill()
        process.wait()
        moved = dataclasses.replace(model, xyz=model.xyz + 1.0)
        node._revised(Reconstruction([moved]))
        assert wait_for(lambda: node._publisher._stamp > first[1])
        newest = ("map", node._publisher._stamp)
        process = begin(tmp_path, log)
        assert wait_for(lambda: revision_of(clouds[-1].header) == newest), log.read_text()
        after = cloud_to_array(clouds[-1])
        np.testing.assert_array_equal(after["instance_id"], before["instance_id"])
        np.testing.assert_allclose(after["x"], before["x"] + 1.0, atol=1e-5)
    finally:
        process.kill()
        process.wait()
