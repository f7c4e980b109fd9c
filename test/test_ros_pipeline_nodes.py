"""association_node and reconstruction_node alone: late joiners, changes only, services, failures, without a solver."""

from __future__ import annotations

import dataclasses
import importlib.util

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import PoseArray
from helpers_maps import two_houses
from helpers_ros import own_domain, ros, wait_for
from nav_msgs.msg import Path
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, NavSatFix, PointCloud2
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.nodes import reconstruction_node
from seg2d3d_ros.nodes.association_node import AssociationNode
from seg2d3d_ros.nodes.reconstruction_node import ReconstructionNode
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction
from seg2d3d_ros.reconstruction.worker import Added, Failed, Rejected, Revision
from seg2d3d_ros.ros import map_messages, map_publisher, qos
from seg2d3d_ros.ros.conversion import (
    bytes_to_compressed,
    cloud_to_array,
    fix_from_geo,
    image_to_labels,
    keyframe_name,
    labels_to_image,
    make_header,
)
from seg2d3d_ros.segmentation.encoding import to_mono16
from seg2d3d_ros.types import SparseModel

pytestmark = pytest.mark.ros
DOMAIN = own_domain()
STAMP = 1_700_000_000_000_000_000


@pytest.fixture
def world():
    with ros(DOMAIN) as made:
        yield made


def scene(images: int = 4):
    """``two_houses`` under the names of a camera's keyframes."""
    model, segments = two_houses(images)
    names = tuple(f"front_{k + 1}" for k in range(images))
    renamed = {
        new: dataclasses.replace(segments[old], name=new, scores=np.ones(2, np.float32))
        for new, old in zip(names, model.names, strict=True)
    }
    return dataclasses.replace(model, names=names), renamed


def header_of(name: str):
    return make_header(int(name.split("_")[1]), name.split("_")[0])


def value(node, key: str) -> str:
    return next((pair.value for pair in node.diagnostics.status().values if pair.key == key), "")


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
        assert wait_for(lambda: self.node._labels.get_subscription_count() and self.node._resend.available)

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
        return self.world.call(Trigger, "association_node/flush", timeout=40.0)


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
    monkeypatch.setattr("seg2d3d_ros.nodes.association_node.RESEND_SECONDS", 0.5)
    model, segments = scene(4)
    bench = AssociationBench(world, tmp_path)
    bench.answer_resend = lambda: bench.send_map(model)
    bench.send_segments(segments)
    bench.send_map(model, lose=3)
    answer = bench.flush()
    assert answer.success
    assert "40 of 40 points" in answer.message
    assert bench.resends == 1
    assert value(bench.node, "map asked for again") == "1"


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
    monkeypatch.setattr("seg2d3d_ros.nodes.association_node.RESEND_SECONDS", 0.5)
    model, segments = scene(4)
    # Only the latched points are left of what was published before.
    points = world.probe.create_publisher(PointCloud2, "map/points", qos.LATCHED)
    points.publish(map_messages.points_to_cloud([model], make_header(STAMP, "map")))
    bench = AssociationBench(world, tmp_path)
    bench.answer_resend = lambda: bench.send_map(model)
    bench.send_segments(segments)
    assert wait_for(lambda: bench.resends == 1)
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
    assert wait_for(lambda: bench.flush().success, 20)


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


# reconstruction_node


class PreparedWorker:
    """Answers at once: every decodable-looking keyframe is added, every solution is the prepared model of those."""

    models: dict[int, SparseModel] = {}  # noqa: RUF012  (set by the test)
    busy = False

    def __init__(self, *_args):
        self.news, self.names, self.closed = [], [], False

    def add(self, keyframe, ignore=None):
        if keyframe.encoded.startswith(b"\xff\xd8\xff"):
            self.names.append(keyframe.name)
            self.news.append(Added(keyframe.name, 100))
        else:
            self.news.append(Rejected(keyframe.name, f"{keyframe.name}: no image"))

    def solve(self):
        model = self.models.get(len(self.names))
        self.news.append(Revision(Reconstruction([model], {}, {"mapping": 0.1})) if model else Failed("no overlap"))

    def events(self):
        news, self.news = self.news, []
        return news

    def cancel(self):
        return False

    def close(self):
        self.closed = True


class ReconstructionBench:
    def __init__(self, world, map_dir, monkeypatch, models, **parameters):
        monkeypatch.setattr(PreparedWorker, "models", models)
        monkeypatch.setattr(reconstruction_node, "worker_factory", lambda *_: PreparedWorker)
        monkeypatch.setattr(reconstruction_node, "write_report_if_possible", lambda _store: "no report")
        self.world = world
        self.images = world.probe.create_publisher(CompressedImage, "keyframes/image/compressed", qos.KEYFRAMES)
        self.infos = world.probe.create_publisher(CameraInfo, "keyframes/camera_info", qos.KEYFRAMES)
        self.fixes = world.probe.create_publisher(NavSatFix, "keyframes/fix", qos.KEYFRAMES)
        self.points = world.collect(PointCloud2, "map/points", qos.LATCHED)
        self.cameras = world.collect(PoseArray, "map/cameras", qos.LATCHED)
        self.observations = world.collect(PointCloud2, "map/observations", qos.OBSERVATIONS)
        self.path = world.collect(Path, "map/path/front", qos.LATCHED)
        defaults = {"update_every": 1000, "update_idle": 1000.0}
        self.node = world.add(ReconstructionNode, map_dir=str(map_dir), **{**defaults, **parameters})
        assert wait_for(lambda: all(p.get_subscription_count() for p in (self.images, self.infos, self.fixes)))
        assert wait_for(lambda: self.node._publisher._observations.get_subscription_count())

    def keyframe(self, name, encoded=None):
        encoded = encoded or encode_jpeg(np.full((48, 64, 3), 90 + 10 * int(name[-1]), np.uint8))
        received = int(value(self.node, "keyframes received") or 0)
        self.infos.publish(CameraInfo(header=header_of(name)))
        self.fixes.publish(fix_from_geo(None, header_of(name)))
        self.images.publish(bytes_to_compressed(encoded, header_of(name)))
        assert wait_for(lambda: int(value(self.node, "keyframes received") or 0) > received)

    def finalize(self):
        return self.world.call(Trigger, "finalize", timeout=30.0)

    def sent(self):
        """Names of the keyframes since the last look, and the end marks among them."""
        names = [keyframe_name(m.header) if m.header.frame_id != "map" else "end" for m in self.observations]
        self.observations.clear()
        return names


def test_reconstruction_sends_changes_only_and_everything_on_demand(world, tmp_path, monkeypatch):
    model, _ = scene(4)
    moved = dataclasses.replace(model, obs_xy=model.obs_xy.copy(), names=("front_1", "front_2", "front_3", "front_5"))
    moved.obs_xy[moved.obs_keyframe == 1] += 1.0
    bench = ReconstructionBench(world, tmp_path, monkeypatch, {4: model, 5: moved})
    for name in model.names:
        bench.keyframe(name)
    answer = bench.finalize()
    assert answer.success, answer.message
    assert "4 of 4 keyframes registered" in answer.message
    assert "no labels" in answer.message
    assert wait_for(lambda: bench.points)
    assert wait_for(lambda: len(bench.observations) == 5)
    assert bench.sent() == ["front_1", "front_2", "front_3", "front_4", "end"]
    assert len(bench.cameras[-1].poses) == 4

    bench.keyframe("front_5")
    assert bench.finalize().success
    assert wait_for(lambda: len(bench.observations) == 4)
    empty = [keyframe_name(m.header) for m in bench.observations if m.width == 0 and m.header.frame_id == "front"]
    assert empty == ["front_4"], "no longer in the map"
    assert bench.sent() == ["front_2", "front_5", "front_4", "end"]

    assert world.call(Trigger, "reconstruction_node/resend").success
    assert wait_for(lambda: len(bench.observations) == 5)
    assert bench.sent() == ["front_1", "front_2", "front_3", "front_5", "end"]
    assert wait_for(lambda: len(bench.path[-1].poses) == 4)
    assert MapStore(tmp_path).read_metrics()["counts"]["registered"] == 4


def test_reconstruction_counts_what_is_damaged_and_says_why_there_is_no_map(world, tmp_path, monkeypatch):
    bench = ReconstructionBench(world, tmp_path, monkeypatch, {})
    bench.keyframe("front_1")
    bench.keyframe("front_2", b"nonsense")
    answer = bench.finalize()
    assert not answer.success
    assert "1 usable keyframes" in answer.message
    bench.keyframe("front_3")
    answer = bench.finalize()
    assert not answer.success
    assert "no overlap" in answer.message
    assert value(bench.node, "keyframes rejected") == "1"
    assert "no overlap" in value(bench.node, "last error")
    metrics = MapStore(tmp_path).read_metrics()
    assert metrics["counts"]["images"] == 3
    assert {"image": "front_2", "reason": "front_2: no image"} in metrics["unregistered"]


def test_reset_empties_map_and_topics(world, tmp_path, monkeypatch):
    model, _ = scene(4)
    bench = ReconstructionBench(world, tmp_path, monkeypatch, {4: model})
    for name in model.names:
        bench.keyframe(name)
    assert bench.finalize().success
    assert wait_for(lambda: len(bench.observations) == 5)
    bench.observations.clear()
    assert world.call(Trigger, "save_map").success
    assert world.call(Trigger, "reset", timeout=20.0).success
    assert wait_for(lambda: bench.points[-1].width == 0)
    assert wait_for(lambda: len(bench.observations) == 5)
    assert all(m.width == 0 for m in bench.observations)
    assert wait_for(lambda: not bench.cameras[-1].poses)
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == ["config.yaml"]
    assert wait_for(lambda: value(bench.node, "keyframes received") == "0")
    for name in model.names:
        bench.keyframe(name)
    assert bench.finalize().success, "a new map grows"


def test_solves_while_it_grows(world, tmp_path, monkeypatch):
    model, _ = scene(4)
    bench = ReconstructionBench(world, tmp_path, monkeypatch, {4: model}, update_every=4, reconstruction__mode="batch")
    for name in model.names:
        bench.keyframe(name)
    assert wait_for(lambda: bench.points and bench.points[-1].width == 40)
    assert wait_for(lambda: value(bench.node, "keyframes registered") == "4")
    assert value(bench.node, "registration ratio") == "1.000"


def test_transform_of_the_latest_keyframe(world, tmp_path, monkeypatch):
    """tf2_msgs is not on PyPI: a recorder stands in for its publisher."""

    class Recorder(list):
        publish = list.append

    sent = Recorder()
    monkeypatch.setattr(map_publisher, "_tf_publisher", lambda _node: (sent, lambda transforms: transforms))
    model, _ = scene(4)
    pose = np.array([[0.0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3]])
    model.camera_from_world[3] = pose
    bench = ReconstructionBench(world, tmp_path, monkeypatch, {4: model}, publish_tf=True)
    for name in reversed(model.names):
        bench.keyframe(name)
    assert bench.finalize().success
    ((transform,),) = sent
    assert (transform.header.frame_id, transform.child_frame_id) == ("map", "front_keyframe")
    assert transform.header.stamp == header_of("front_4").stamp
    q, t = transform.transform.rotation, transform.transform.translation
    np.testing.assert_allclose(Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix(), pose[:, :3].T, atol=1e-9)
    np.testing.assert_allclose(pose @ [t.x, t.y, t.z, 1], 0, atol=1e-9)


@pytest.mark.skipif(importlib.util.find_spec("tf2_msgs") is not None, reason="tf2_msgs is installed here")
def test_transforms_that_cannot_be_sent_are_said_once(world, tmp_path, monkeypatch, caplog):
    model, _ = scene(4)
    bench = ReconstructionBench(world, tmp_path, monkeypatch, {4: model}, publish_tf=True)
    for name in model.names:
        bench.keyframe(name)
    assert bench.finalize().success
    assert sum("tf2_msgs is not installed" in record.message for record in caplog.records) == 1
