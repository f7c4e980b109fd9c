"""association_node alone: late joiners, changes only, services, failures."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("rclpy")

from helpers_map_nodes import header_of, scene, value
from helpers_ros import wait_for
from sensor_msgs.msg import Image, NavSatFix, PointCloud2
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from seg2d3d_ros.lidar.scans import cloud_to_array
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.nodes.association_node import AssociationNode
from seg2d3d_ros.nodes.pipeline import wants_cloud
from seg2d3d_ros.ros.messages import map_messages
from seg2d3d_ros.ros.messages.conversion import image_to_labels, keyframe_name, labels_to_image, make_header
from seg2d3d_ros.ros.node import qos
from seg2d3d_ros.segmentation.encoding import to_mono16
from seg2d3d_ros.types import SparseModel

pytestmark = pytest.mark.ros
STAMP = 1_700_000_000_000_000_000


class AssociationBench:
    """The node, and a probe in the place of the other nodes."""

    def __init__(self, world, map_dir, **parameters):
        probe = world.probe
        self.world, self.resends, self.answer_resend = world, 0, lambda: None
        probe.create_service(Trigger, "reconstruction_node/resend", self._resend)
        self.segments = probe.create_publisher(Image, "keyframes/segments", qos.SEGMENTS)
        self.observations = probe.create_publisher(PointCloud2, "map/observations", qos.OBSERVATIONS)
        self.points = probe.create_publisher(PointCloud2, "map/points", qos.LATCHED)
        self.datum = probe.create_publisher(NavSatFix, "map/datum", qos.LATCHED)
        defaults = {"association__min_points": 3, "association__min_images": 2, "segments_patience": 1.0}
        self.node = world.add(AssociationNode, map_dir=str(map_dir), **{**defaults, **parameters})
        self.labels = world.collect(Image, "instances/labels", qos.LABELS)
        self.cloud = world.collect(PointCloud2, "instances/points", qos.LATCHED)
        self.markers = world.collect(MarkerArray, "instances/markers", qos.LATCHED)
        publishers = (self.segments, self.observations, self.points)
        assert wait_for(lambda: all(p.get_subscription_count() for p in publishers))
        assert wait_for(lambda: self.node._publisher._labels.get_subscription_count() and self.node._map.resend.available)

    def _resend(self, _request, response):
        self.resends += 1
        self.answer_resend()
        response.success = True
        return response

    def send_segments(self, segments):
        for name, item in segments.items():
            self.segments.publish(labels_to_image(to_mono16(item), header_of(name)))

    def send_map(self, model: SparseModel, stamp: int = STAMP, *, lose: int = 0):
        header = make_header(stamp, "map")
        self.datum.publish(map_messages.frame_to_fix(model.frame, header))
        for name, rows in list(map_messages.observations_of([model]).items())[lose:]:
            self.observations.publish(map_messages.observations_to_cloud(rows, header_of(name)))
        self.observations.publish(map_messages.end_mark(header))
        self.points.publish(map_messages.points_to_cloud([model], header))

    def flush(self):
        return self.world.call(Trigger, "association_node/flush")


def test_association_follows_revisions_and_sends_what_changed(world, tmp_path):
    model, segments = scene(4)
    bench = AssociationBench(world, tmp_path)
    first = dict(list(segments.items())[:3])
    bench.send_segments(first)
    bench.send_map(model)
    answer = bench.flush()
    assert answer.success, answer.message
    assert answer.message == "2 instances, 40 of 40 points labelled"
    assert wait_for(lambda: len(bench.labels) == 3)
    assert bench.cloud[-1].header == make_header(STAMP, "map")
    ids = cloud_to_array(bench.cloud[-1])["instance_id"]
    assert set(ids) == {1, 2}
    assert {m.text for m in bench.markers[-1].markers if m.ns == "name"} == {"building 1", "building 2"}

    bench.labels.clear()
    last = list(segments)[3]
    bench.send_segments({last: segments[last]})
    bench.send_map(dataclasses.replace(model, xyz=model.xyz + 1.0), STAMP + 1)
    assert bench.flush().success
    assert wait_for(lambda: [keyframe_name(m.header) for m in bench.labels] == [last])
    store = MapStore(tmp_path)
    np.testing.assert_array_equal(image_to_labels(bench.labels[0]), store.read_labels(last))
    np.testing.assert_array_equal(cloud_to_array(bench.cloud[-1])["instance_id"], ids)
    assert store.read_tracks()["frame"]["datum"]["latitude"] == 55.7
    assert store.read_metrics()["counts"]["instances"] == 2
    assert bench.resends == 0


def test_association_asks_for_what_was_lost(world, tmp_path, monkeypatch):
    monkeypatch.setattr("seg2d3d_ros.ros.map_exchange.map_subscription.RESEND_SECONDS", 0.5)
    model, segments = scene(4)
    bench = AssociationBench(world, tmp_path)
    bench.answer_resend = lambda: bench.send_map(model)
    bench.send_segments(segments)
    bench.send_map(model, lose=3)
    answer = bench.flush()
    assert answer.success
    assert "40 of 40 points" in answer.message
    assert bench.resends >= 1  # a slow machine may ask once more
    assert int(value(bench.node, "map asked for again")) >= bench.resends


def test_flush_does_not_wait_for_ever_for_what_nobody_sends_again(world, tmp_path, monkeypatch):
    monkeypatch.setattr("seg2d3d_ros.nodes.association_node.GIVE_UP_SECONDS", 1.0)
    model, segments = scene(4)
    bench = AssociationBench(world, tmp_path)
    bench.send_segments(segments)
    bench.send_map(model, lose=3)
    answer = bench.flush()
    assert not answer.success
    assert "did not arrive completely" in answer.message


def test_association_started_late_gets_the_map(world, tmp_path, monkeypatch):
    monkeypatch.setattr("seg2d3d_ros.ros.map_exchange.map_subscription.RESEND_SECONDS", 0.5)
    model, segments = scene(4)
    # Only the latched points are left of what was published before.
    points = world.probe.create_publisher(PointCloud2, "map/points", qos.LATCHED)
    points.publish(map_messages.points_to_cloud([model], make_header(STAMP, "map")))
    bench = AssociationBench(world, tmp_path)
    bench.answer_resend = lambda: bench.send_map(model)
    bench.send_segments(segments)
    assert wait_for(lambda: bench.resends >= 1)
    assert "40 of 40" in bench.flush().message


def test_flush_waits_for_segments_that_are_late_and_not_for_those_that_never_come(world, tmp_path):
    model, segments = scene(4)
    bench = AssociationBench(world, tmp_path, segments_patience=1.5)
    names = list(segments)
    bench.send_segments({names[0]: segments[names[0]]})
    bench.send_map(model)
    world.probe.create_timer(0.7, lambda: bench.send_segments({n: segments[n] for n in names[1:3]}))
    answer = bench.flush()
    assert answer.success
    assert value(bench.node, "keyframes with segments") == "3"
    assert "40 of 40" in answer.message


def test_association_failure_reaches_flush_and_diagnostics(world, tmp_path):
    model, segments = scene(4)
    bench = AssociationBench(world, tmp_path)
    name = next(iter(segments))
    bench.send_segments({n: item for n, item in segments.items() if n != name})
    bench.segments.publish(labels_to_image(to_mono16(segments[name])[:20, :20], header_of(name)))
    bench.send_map(model)
    answer = bench.flush()
    assert not answer.success
    assert "segments must have the image's size" in answer.message
    # The next good message mends it.
    bench.send_segments(segments)
    assert wait_for(lambda: bench.flush().success)


def test_association_reset_forgets(world, tmp_path):
    model, segments = scene(4)
    bench = AssociationBench(world, tmp_path)
    bench.send_segments(segments)
    bench.send_map(model)
    assert bench.flush().success
    assert world.call(Trigger, "association_node/reset").success
    assert not (tmp_path / "tracks.json").exists()
    assert not (tmp_path / "segments").exists()
    assert bench.node._session.segmented == 0


def test_the_pipeline_has_the_node_only_with_a_topic(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text("/**:\n  ros__parameters:\n    cloud_topic: /lidar\n")
    assert not wants_cloud(["pipeline", "--ros-args", "-p", "map_dir:=x"])
    assert wants_cloud(["pipeline", "--ros-args", "-p", "cloud_topic:=/lidar"])
    assert wants_cloud(["pipeline", "--ros-args", "-p", "cloud_node:cloud_topic:=/lidar"])
    assert wants_cloud(["pipeline", "--ros-args", "--params-file", str(file)])
    assert not wants_cloud(["pipeline", "--ros-args", "--params-file", str(file), "-p", "cloud_topic:=''"])
