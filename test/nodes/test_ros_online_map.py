"""The living map on topics, with the real mapper: what a subscriber holds is the map on disk, after every revision, after a
restart, and after kills."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import PoseArray
from helpers_ros import own_domain, ros, wait_for
from helpers_walk import CAMERA, shuffled, spread, walk
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import CameraInfo, CompressedImage, NavSatFix, PointCloud2
from std_srvs.srv import Trigger

from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.nodes.reconstruction_node import ReconstructionNode
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.ros.map_exchange.map_receiver import MapReceiver
from seg2d3d_ros.ros.messages.conversion import bytes_to_compressed, camera_to_info, fix_from_geo, keyframe_name, make_header
from seg2d3d_ros.ros.messages.map_messages import OBSERVATION, observations_of, wanted_fields
from seg2d3d_ros.ros.node import qos

pytestmark = pytest.mark.ros
DOMAIN = own_domain()
COUNT = 9
PARAMETERS = {"reconstruction.max_features": 1200, "reconstruction.threads": 1, "update_idle": 1000.0}
WAIT = 90.0


@pytest.fixture(scope="module")
def street():
    return walk(1, "front", COUNT)


class Ear:
    """A subscriber that puts the map together, and counts what was sent to it."""

    def __init__(self, world) -> None:
        self.world, self.receiver = world, MapReceiver("map")
        self.last: dict[str, bytes] = {}
        self.sent: list[str] = []
        self.unchanged: list[str] = []
        self.whole = False
        probe = world.probe
        self.images = probe.create_publisher(CompressedImage, "keyframes/image/compressed", qos.KEYFRAMES)
        self.infos = probe.create_publisher(CameraInfo, "keyframes/camera_info", qos.KEYFRAMES)
        self.fixes = probe.create_publisher(NavSatFix, "keyframes/fix", qos.KEYFRAMES)
        probe.create_subscription(PointCloud2, "map/points", self.receiver.on_points, qos.LATCHED)
        probe.create_subscription(PointCloud2, "map/observations", self._observations, qos.OBSERVATIONS)
        probe.create_subscription(PoseArray, "map/cameras", self.receiver.on_cameras, qos.LATCHED)
        probe.create_subscription(NavSatFix, "map/datum", self.receiver.on_datum, qos.LATCHED)

    def _observations(self, message: PointCloud2) -> None:
        if message.header.frame_id != "map":
            name, content = keyframe_name(message.header), wanted_fields(message, OBSERVATION, "map/observations").tobytes()
            self.sent.append(name)
            if self.last.get(name, b"") == content and not self.whole:
                self.unchanged.append(name)
            self.last[name] = content
        self.receiver.on_observations(message)

    def listening(self) -> bool:
        return all(p.get_subscription_count() for p in (self.images, self.infos, self.fixes))

    def send(self, frame) -> None:
        header = make_header(frame.stamp_ns, frame.camera_name)
        self.infos.publish(camera_to_info(CAMERA, header))
        self.fixes.publish(fix_from_geo(None, header))
        self.images.publish(bytes_to_compressed(frame.encoded, header))

    def holds(self, root: Path) -> bool:
        """Whether the received revision is exactly what is on disk."""
        models = read_models(root)
        ids = np.concatenate([np.zeros(0, np.int64), *(m.point_ids for m in models)])
        heard = self.receiver.models()
        return self.receiver.revision is not None and np.array_equal(
            np.sort(ids), np.sort(np.concatenate([np.zeros(0, np.int64), *(m.point_ids for m in heard)]))
        )

    def check(self, root: Path) -> None:
        """Points, observations and poses, by name and id; positions travel as float32."""
        models, heard = read_models(root), self.receiver.models()
        assert [set(m.names) for m in heard] == [set(m.names) for m in models]
        there, here = observations_of(models), observations_of(heard)
        for name, rows in there.items():
            np.testing.assert_array_equal(here[name]["point_id"], rows["point_id"])
            np.testing.assert_allclose(here[name]["u"], rows["u"], atol=1e-3)
        for model, copy in zip(models, heard, strict=True):
            order, place = np.argsort(model.point_ids), np.argsort(copy.point_ids)
            np.testing.assert_array_equal(copy.point_ids[place], model.point_ids[order])
            np.testing.assert_allclose(copy.xyz[place], model.xyz[order], rtol=1e-5, atol=1e-5)
            names = [copy.names.index(n) for n in model.names]
            np.testing.assert_allclose(copy.camera_from_world[names], model.camera_from_world, atol=1e-6)


def start(world, root):
    overrides = {name.replace(".", "__"): value for name, value in PARAMETERS.items()}
    return world.add(ReconstructionNode, map_dir=str(root), segmentation__segmenter="none", **overrides)


def value(node, key: str) -> str:
    return next((pair.value for pair in node.diagnostics.status().values if pair.key == key), "")


def quiet(node) -> bool:
    """Whether all that came is in the map and on the topics."""
    session = node._session
    return session.pending == 0 and not session._worker.busy and node._publishing.pending == 0


def test_a_subscriber_holds_the_map_on_disk_after_every_revision_and_after_a_restart(tmp_path, street):
    frames, truth = street
    order = shuffled(frames, 3)
    with ros(DOMAIN) as world:
        ear = Ear(world)
        node = start(world, tmp_path)
        assert wait_for(ear.listening)
        revisions = []
        for k, frame in enumerate(order[:7]):
            ear.send(frame)
            assert wait_for(lambda k=k: value(node, "keyframes in database") == str(k + 1) and quiet(node), WAIT)
            if not read_models(tmp_path):
                continue
            assert wait_for(lambda: ear.holds(tmp_path)), "the revision arrives"
            ear.check(tmp_path)
            if ear.receiver.revision not in revisions:
                revisions.append(ear.receiver.revision)
        assert len(revisions) >= 4
        assert ear.unchanged == []
        assert len(ear.sent) < len(revisions) * 7, "not everything every time"

        world.executor.remove_node(node)
        node.close()
        world.nodes.remove(node)
        (before,) = ear.receiver.models()
        ear.receiver.clear()
        ear.whole = True
        again = start(world, tmp_path)
        assert wait_for(lambda: ear.holds(tmp_path), WAIT), "nothing has come, and the map is there again"
        ear.check(tmp_path)
        (after,) = ear.receiver.models()
        np.testing.assert_array_equal(np.sort(after.point_ids), np.sort(before.point_ids))

        assert wait_for(ear.listening)
        for frame in order[7:]:
            ear.send(frame)
        assert wait_for(lambda: value(again, "keyframes in database") == str(COUNT) and quiet(again), WAIT)
        assert world.call(Trigger, "finalize", timeout=WAIT).success
        assert wait_for(lambda: ear.holds(tmp_path))
        ear.check(tmp_path)
        (last,) = read_models(tmp_path)
        assert len(last.names) == COUNT
        assert spread(last, truth) < 0.03
        kept = np.isin(before.point_ids, last.point_ids).mean()
        assert 0.8 < kept < 1.0, "ids outlive the restart; points were merged or deleted, and the subscriber followed"


def halted(world, ear, node, frames):
    """Finalize until the worker is at it, and halt its process: a solver that does not listen. The answer's future."""
    begin = int(value(node, "keyframes in database") or 0)
    for frame in frames:
        ear.send(frame)
    assert wait_for(lambda: value(node, "keyframes in database") == str(begin + len(frames)) and quiet(node), WAIT)
    future = world.probe.create_client(Trigger, "finalize").call_async(Trigger.Request())
    assert wait_for(lambda: node._session.solving, WAIT)
    os.kill(node._session._worker.pid, signal.SIGSTOP)
    return future


def test_reset_and_deactivation_do_not_wait_for_the_solver(tmp_path, street):
    frames, _ = street
    with ros(DOMAIN) as world:
        ear = Ear(world)
        node = start(world, tmp_path)
        assert wait_for(ear.listening)
        asked = halted(world, ear, node, frames[:5])
        moment = time.monotonic()
        assert world.call(Trigger, "reset").success
        assert time.monotonic() - moment < 3.0
        assert wait_for(asked.done)
        assert "reset" in asked.result().message
        assert wait_for(lambda: value(node, "keyframes in database") == "0")

        asked = halted(world, ear, node, frames[:6])
        moment = time.monotonic()
        request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
        assert world.call(ChangeState, "reconstruction_node/change_state", request).success
        assert time.monotonic() - moment < 3.0
        assert node.state == "inactive"
        assert wait_for(asked.done)
        assert not asked.result().success
        ear.receiver.clear()
        ear.whole = True
        request.transition.id = Transition.TRANSITION_ACTIVATE
        assert world.call(ChangeState, "reconstruction_node/change_state", request).success
        assert wait_for(lambda: ear.receiver.names and ear.holds(tmp_path), WAIT), "the last revision is there again"
        answer = world.call(Trigger, "finalize", timeout=WAIT)
        assert answer.success, answer.message
        assert "6 of 6 keyframes registered" in answer.message


def begin(root: Path, domain: int, log: Path) -> subprocess.Popen:
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain), "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "seg2d3d_ros.nodes.reconstruction_node", "--ros-args", "-p", f"map_dir:={root}"]
    command += ["-p", "segmenter:=none"]
    for key, setting in PARAMETERS.items():
        command += ["-p", f"{key}:={setting}"]
    with log.open("ab") as out:
        return subprocess.Popen(command, env=environment, stdout=out, stderr=out)


@pytest.mark.slow
def test_the_node_is_killed_at_random_moments(tmp_path, street):
    """Two kills of the process while it maps; what it had on disk is never made again, and the map is whole.

    ``benchmarks/kills.py`` does it twenty times, to workers and pipelines, too."""
    frames, truth = street
    rng, root, log = random.Random(1), tmp_path / "map", tmp_path / "log"
    store = MapStore(root)
    with ros(DOMAIN) as world:
        ear = Ear(world)
        ear.whole = True
        process = begin(root, DOMAIN, log)
        try:
            for kill in range(3):
                # The dead one's subscriptions are seen for another 20 s.
                assert wait_for(lambda kill=kill: log.read_text().count("]: active") > kill, WAIT), log.read_text()[-3000:]
                wait_for(lambda: False, 1.5)
                assert wait_for(ear.listening)
                if (known := read_models(root)) and known[0].names:
                    assert wait_for(lambda: ear.holds(root), WAIT), "the map on disk is published again, unasked"
                for frame in shuffled(frames, kill)[: COUNT if kill == 2 else 5]:
                    ear.send(frame)
                if kill == 2:
                    break
                stop = rng.uniform(0.5, 4.0)
                wait_for(lambda: False, stop)
                process.send_signal(signal.SIGKILL)
                process.wait()
                names = {record.name for record in store.read_keyframes()}
                stamps = {p: p.stat().st_mtime_ns for p in (root / "keyframes").glob("*") if p.stem in names}
                ear.receiver.clear()
                process = begin(root, DOMAIN, log)
            deadline = time.monotonic() + WAIT
            # What was sent before the new process was discovered went to the dead one.
            while missing := {f.name for f in frames} - {record.name for record in store.read_keyframes()}:
                assert time.monotonic() < deadline, missing
                for frame in frames:
                    if frame.name in missing:
                        ear.send(frame)
                wait_for(lambda names=missing: not names - {record.name for record in store.read_keyframes()}, 10.0)
            assert world.call(Trigger, "finalize", timeout=WAIT).success
            assert all(p.stat().st_mtime_ns == stamp for p, stamp in stamps.items())
            (model,) = read_models(root)
            assert len(model.names) == COUNT
            assert spread(model, truth) < 0.03
            assert wait_for(lambda: ear.holds(root), 20.0)
            ear.check(root)
        finally:
            process.kill()
            process.wait()
