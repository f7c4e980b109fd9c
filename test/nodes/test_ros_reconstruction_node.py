"""reconstruction_node alone, without a solver: changes only, services, failures, odd keyframes, the transform."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from helpers_map_nodes import header_of, scene, value
from helpers_reconstruction_node import PreparedWorker, ReconstructionBench
from helpers_ros import wait_for
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo
from std_srvs.srv import Trigger

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.mapstore.directory.marker import BUILDING, WHOLE, read_marker
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.nodes import reconstruction_node
from seg2d3d_ros.nodes.association_node import AssociationNode
from seg2d3d_ros.nodes.reconstruction_node import ReconstructionNode
from seg2d3d_ros.pipeline.live.completeness import KEYFRAMES_DROPPED
from seg2d3d_ros.progress import TimeLeft
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction
from seg2d3d_ros.reconstruction.worker.worker_events import Opened, Stopped
from seg2d3d_ros.reconstruction.world.position_residuals import PositionResiduals
from seg2d3d_ros.ros.map_exchange import map_publisher
from seg2d3d_ros.ros.messages.conversion import bytes_to_compressed, fix_from_geo, keyframe_name, make_header
from seg2d3d_ros.types import Keyframe

pytestmark = pytest.mark.ros


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
    assert wait_for(lambda: len(bench.observations) == 6)
    assert [m.width > 0 for m in bench.observations] == [True, True, True, True, False, False]
    assert bench.sent() == ["front_1", "front_2", "front_3", "front_5", "front_4", "end"], "that it is gone may be lost, too"
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


def test_finalize_that_came_too_early_is_answered_well_the_next_time(world, tmp_path, monkeypatch):
    model, _ = scene(4)
    bench = ReconstructionBench(world, tmp_path, monkeypatch, {4: model})
    assert not bench.finalize().success
    for name in model.names:
        bench.keyframe(name)
    answer = bench.finalize()
    assert answer.success, answer.message
    assert "4 of 4 keyframes registered" in answer.message


def test_one_node_writes_a_map_and_says_whether_it_is_whole(world, tmp_path, monkeypatch):
    """A second one is refused with the first one's number; what belongs to no map is refused, and not touched."""
    model, _ = scene(4)
    bench = ReconstructionBench(world, tmp_path / "map", monkeypatch, {4: model})
    assert read_marker(tmp_path / "map").owner.pid == os.getpid()
    bench.keyframe(model.names[0])
    assert wait_for(lambda: value(bench.node, "keyframes received") == "1")
    assert read_marker(tmp_path / "map").state == BUILDING
    for name in model.names[1:]:
        bench.keyframe(name)
    assert bench.finalize().success
    assert read_marker(tmp_path / "map").state == WHOLE
    with pytest.raises(UsageError, match=f"in use by process {os.getpid()}"):
        world.add(ReconstructionNode, map_dir=str(tmp_path / "map"))
    (tmp_path / "own").mkdir()
    (tmp_path / "own/config.yaml").write_text("precious: 1")
    (tmp_path / "own/.git").mkdir()
    for kind in (ReconstructionNode, AssociationNode):
        with pytest.raises(UsageError, match=r"holds '\.git'"):
            world.add(kind, map_dir=str(tmp_path / "own"))
    assert (tmp_path / "own/config.yaml").read_text() == "precious: 1"


def test_reset_empties_map_and_topics(world, tmp_path, monkeypatch):
    model, _ = scene(4)
    bench = ReconstructionBench(world, tmp_path, monkeypatch, {4: model})
    for name in model.names:
        bench.keyframe(name)
    assert bench.finalize().success
    assert wait_for(lambda: len(bench.observations) == 5)
    bench.observations.clear()
    assert world.call(Trigger, "save_map").success
    assert world.call(Trigger, "reset").success
    assert wait_for(lambda: bench.points[-1].width == 0)
    assert wait_for(lambda: len(bench.observations) == 5)
    assert all(m.width == 0 for m in bench.observations)
    assert wait_for(lambda: not bench.cameras[-1].poses)
    left = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert left <= {"config.yaml", "map.json", "names.jsonl"}, "the lock and the names stay: other nodes go on writing"
    assert read_marker(tmp_path).state == BUILDING
    assert wait_for(lambda: value(bench.node, "keyframes received") == "0")
    for name in model.names:
        bench.keyframe(name)
    assert bench.finalize().success, "a new map grows"


def test_distances_to_positions_are_told(world, tmp_path, monkeypatch):
    """In /diagnostics while the map grows, and in metrics.json, with those of every image."""
    model, _ = scene(4)
    model = dataclasses.replace(model, frame=dataclasses.replace(model.frame, scale_sigma=0.0163))
    off = np.array([0.1, 0.2, 0.1, 20.0])
    residuals = PositionResiduals(list(model.names), ["front"] * 4, off, np.full(4, 0.1), np.full(4, 3))
    monkeypatch.setattr(PreparedWorker, "residuals", residuals)
    bench = ReconstructionBench(world, tmp_path, monkeypatch, {4: model}, update_every=4, reconstruction__mode="batch")
    for name in model.names:
        bench.keyframe(name)
    assert wait_for(lambda: value(bench.node, "distance to positions, rms [m]") == "0.14")
    assert value(bench.node, "positions off") == "1 of 4"
    assert value(bench.node, "scale") == "known to 1.6 % (one standard deviation)"
    assert bench.finalize().success
    assert MapStore(tmp_path).read_metrics()["positions"]["distances"][model.names[3]] == 20.0


def test_solves_while_it_grows(world, tmp_path, monkeypatch):
    model, _ = scene(4)
    bench = ReconstructionBench(world, tmp_path, monkeypatch, {4: model}, update_every=4, reconstruction__mode="batch")
    for name in model.names:
        bench.keyframe(name)
    assert wait_for(lambda: bench.points and bench.points[-1].width == 40)
    assert wait_for(lambda: value(bench.node, "keyframes registered") == "4")
    assert value(bench.node, "registration ratio") == "1.000"
    assert value(bench.node, "scale") == "unknown"


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


def test_odd_keyframes_are_in_the_diagnostics_in_clear_words(world, tmp_path, monkeypatch, caplog):
    """Damaged, the same picture again, the same stamp, out of order, time jumps, another size, another calibration."""
    bench = ReconstructionBench(world, tmp_path, monkeypatch, {})
    second = 10**9

    def send(stamp, shade, size=(48, 64), focal=50.0, camera="front", encoded=None):
        picture = encoded or encode_jpeg(np.full((*size, 3), shade, np.uint8))
        header = make_header(int(stamp * second), camera)
        received = int(value(bench.node, "keyframes received") or 0)
        info = CameraInfo(header=header, width=size[1], height=size[0])
        info.k = [focal, 0.0, size[1] / 2, 0.0, focal, size[0] / 2, 0.0, 0.0, 1.0]
        bench.infos.publish(info)
        bench.fixes.publish(fix_from_geo(None, header))
        bench.images.publish(bytes_to_compressed(picture, header))
        assert wait_for(lambda: int(value(bench.node, "keyframes received") or 0) > received)

    send(1000, 10)
    send(1000, 15, camera="left")  # one time, two cameras: nothing odd
    send(1001, 20, encoded=b"\xff no picture")
    send(1002, 10)  # the picture of 1000
    send(1003, 30)
    send(1003, 35)
    send(1003, 30)
    send(1002.5, 40)
    send(10, 50)
    send(10000, 60)
    send(10001, 70, size=(24, 32))
    send(10002, 80, size=(24, 32), focal=60.0)
    expected = {
        "pictures that came twice": "1",
        "other pictures under a known stamp": "1",
        "keyframes that came again": "1",
        "keyframes out of order": "1",
        "jumps back in time": "1",
        "jumps ahead in time": "1",
        "changes of image size": "1",
        "changes of calibration": "1",
        "keyframes rejected": "2",
        "keyframes received": "12",
    }
    assert wait_for(lambda: value(bench.node, "keyframes rejected") == "2")
    assert wait_for(lambda: value(bench.node, "keyframes in database") == "8")
    assert {key: value(bench.node, key) for key in expected} == expected
    assert "uncalibrated" not in caplog.text, "the image was damaged, not the calibration"
    assert value(bench.node, "last rejection") in (
        "front_1001000000000: no image",
        "front_1002000000000: the same picture as front_1000000000000",
    )


def test_a_node_started_again_publishes_the_map_and_withdraws_what_is_gone_from_it(world, tmp_path, monkeypatch):
    """front_5 was in a revision that receivers may have seen; the last one on disk is without it."""
    model, _ = scene(4)
    store, records = MapStore(tmp_path), []
    for k in range(1, 6):
        frame = Keyframe(f"front_{k}", "front", k, encode_jpeg(np.full((48, 64, 3), k, np.uint8)), file_name=f"front_{k}.jpg")
        records.append(KeyframeRecord.of(frame, store.write_image(frame).relative_to(tmp_path)))
    store.write_keyframes(records)
    bench = ReconstructionBench(world, tmp_path, monkeypatch, {5: model})
    opened = Opened(tuple(record.name for record in records), Reconstruction([model]))
    bench.node._session._worker.news.append(opened)
    assert wait_for(lambda: len(bench.observations) == 6)
    assert [keyframe_name(m.header) for m in bench.observations if m.width == 0 and m.header.frame_id != "map"] == ["front_5"]
    assert set(bench.sent()) == {*(record.name for record in records), "end"}
    assert wait_for(lambda: bench.points and bench.points[-1].width == 40)
    assert wait_for(lambda: value(bench.node, "keyframes registered") == "4")
    assert value(bench.node, "keyframes in database") == "5"


def test_cancel_stops_the_worker_and_finalize_says_so(world, tmp_path, monkeypatch):
    class Endless(PreparedWorker):
        cancelled = False

        def solve(self):
            pass

        @property
        def busy(self):
            return not self.cancelled

        def cancel(self):
            type(self).cancelled = True
            self.news.append(Stopped("cancelled"))
            return True

    model, _ = scene(4)
    bench = ReconstructionBench(world, tmp_path, monkeypatch, {4: model})
    monkeypatch.setattr(reconstruction_node, "worker_factory", lambda *_: Endless)
    assert world.call(Trigger, "reset").success
    for name in model.names:
        bench.keyframe(name)
    asked = world.probe.create_client(Trigger, "finalize").call_async(Trigger.Request())
    assert wait_for(lambda: bench.node._session.solving)
    assert world.call(Trigger, "reconstruction_node/cancel").success
    assert wait_for(asked.done)
    assert not asked.result().success
    assert "cancelled" in asked.result().message


def test_reset_ends_a_finalize_that_waits(world, tmp_path, monkeypatch):
    class Endless(PreparedWorker):
        busy = True

        def solve(self):
            pass

    model, _ = scene(4)
    bench = ReconstructionBench(world, tmp_path, monkeypatch, {4: model})
    monkeypatch.setattr(reconstruction_node, "worker_factory", lambda *_: Endless)
    assert world.call(Trigger, "reset").success
    for name in model.names:
        bench.keyframe(name)
    asked = world.probe.create_client(Trigger, "finalize").call_async(Trigger.Request())
    assert wait_for(lambda: bench.node._session.solving)
    assert world.call(Trigger, "reset").success
    assert wait_for(asked.done)
    assert not asked.result().success
    assert "reset" in asked.result().message


def test_keyframes_that_the_disk_cannot_take_are_a_finding(world, tmp_path, monkeypatch):
    bench = ReconstructionBench(world, tmp_path, monkeypatch, {})
    frame = Keyframe("front_7", "front", 7, b"x", file_name="front_7.jpg")
    bench.node._dropped((frame, None))
    bench.node._dropped(None)  # only the clock's tick
    (found,) = bench.node.diagnostics.findings.list()
    assert (found.kind, found.count, found.examples) == (KEYFRAMES_DROPPED, 1, ("front_7",))


def test_what_finalize_does_is_logged_with_the_time_left(world, tmp_path, monkeypatch):
    said = []
    bench = ReconstructionBench(world, tmp_path, monkeypatch, {})
    node = bench.node
    with node._lock:
        monkeypatch.setattr(node, "get_logger", lambda: SimpleNamespace(info=said.append))
        node._left = TimeLeft(clock := iter([0.0, 10.0]).__next__)
        assert clock
        for done in (2, 4):
            node._session.figures.stage = f"mapping {done}/10"
            node._session.figures.progress = ("mapping", done, 10)
            node._log_progress()
        node._session.figures.stage, node._completion.stage = "", "labels (association_node/flush)"
        node._log_progress()
    assert "mapping 2/10" in said[0]
    assert "left" not in said[0]
    assert said[1].endswith("mapping 4/10, about 30 s left for this")
    assert said[2].endswith("finishing: labels (association_node/flush)")


def test_what_finalize_does_is_in_the_diagnostics_with_the_time_left(world, tmp_path, monkeypatch):
    node = ReconstructionBench(world, tmp_path, monkeypatch, {}).node
    with node._lock:
        times = iter([0.0, 10.0])
        node._left, node._finalizing = TimeLeft(clock=lambda: next(times)), True
        for done in (2, 4):
            node._session.figures.stage = f"mapping {done}/10"
            node._session.figures.progress = ("mapping", done, 10)
            node._report_figures()
        assert value(node, "finishing") == "mapping 4/10"
        assert value(node, "time left for this stage [s]") == "30"
        assert value(node, "given up to keep up") == "none"
        node._completion.stage = "report"
        node._report_figures()
        assert (value(node, "finishing"), value(node, "time left for this stage [s]")) == ("report", "-")
        node._completion.stage, node._finalizing = "", False


def test_missing_weights_of_features_keep_the_node_from_being_configured(world, tmp_path, monkeypatch):
    for name in ("HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path))
    parameters = {"reconstruction__features": "superpoint", "segmentation__models_dir": str(tmp_path / "models")}
    with pytest.raises(UsageError, match="ETH-CVG/lightglue_superpoint"):
        world.add(ReconstructionNode, map_dir=str(tmp_path / "map"), **parameters)
