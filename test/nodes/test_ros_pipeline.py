"""The nodes as their users run them: processes that only share topics, a bag, and faults on the way."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseArray
from helpers_ros import Ros, own_domain, ros, wait_for
from nav_msgs.msg import Path as PosePath
from sensor_msgs.msg import CompressedImage, Image, NavSatFix, PointCloud2, PointField
from visualization_msgs.msg import Marker, MarkerArray

from seg2d3d_ros.association.points.enrich import FIRST_ID
from seg2d3d_ros.evaluation.measure import evaluate_map
from seg2d3d_ros.images import read_labels
from seg2d3d_ros.lidar.scans import cloud_to_array
from seg2d3d_ros.mapstore.point_cloud import read_points
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.palette import instance_colors
from seg2d3d_ros.ros.messages.conversion import image_to_labels, keyframe_name, make_header, unpack_rgb
from seg2d3d_ros.ros.node import qos
from seg2d3d_ros.simulation.street_folder import simulate

pytestmark = [pytest.mark.ros, pytest.mark.slow, pytest.mark.timeout(900)]  # several times WAIT

IMAGES = 24
F4, I4, U4, U2 = PointField.FLOAT32, PointField.INT32, PointField.UINT32, PointField.UINT16
WAIT = 240.0
"""Generous: a shared machine may be several times slower than 2 free cores."""


@pytest.fixture(scope="module")
def street(tmp_path_factory) -> Path:
    """Two cameras drive past four houses and back; perfect masks, so that what is wrong comes from the nodes."""
    out = tmp_path_factory.mktemp("street")
    simulate(out, seed=5, buildings=4, keyframes=IMAGES, cameras=2, detector="clean", width=640, height=426)
    return out


class Fleet:
    """Processes of one test, in one ROS domain; their output goes to ``<name>.log``."""

    def __init__(self, logs: Path, domain: int) -> None:
        self.logs = logs
        self.processes: dict[str, subprocess.Popen] = {}
        self._environment = {**os.environ, "ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        self._environment["PYTHONPATH"] = str(Path(__file__).parents[2])

    def start(self, module: str, name: str = "", **parameters: object) -> subprocess.Popen:
        command = [sys.executable, "-m", f"seg2d3d_ros.nodes.{module}", "--ros-args"]
        for key, value in parameters.items():
            command += ["-p", f"{key.replace('__', '.')}:={value}"]
        name = name or module
        with self.log(name).open("wb") as log:
            process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.processes[name] = process
        return process

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def said(self, name: str) -> str:
        return self.log(name).read_text(errors="replace")

    def stop(self, name: str) -> int:
        """Ctrl-C, and the exit code."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGINT)
        return process.wait(30)

    def end(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


@contextlib.contextmanager
def fleet(logs: Path, domain: int) -> Iterator[Fleet]:
    made = Fleet(logs, domain)
    try:
        yield made
    except BaseException:
        for name in made.processes:
            print(f"--- {name}\n{made.said(name)[-4000:]}")
        raise
    finally:
        made.end()


class Ear:
    """Everything the pipeline publishes."""

    def __init__(self, world: Ros) -> None:
        deep = qos.PLAYER
        self.map_points = world.collect(PointCloud2, "map/points", qos.LATCHED)
        self.observations = world.collect(PointCloud2, "map/observations", deep)
        self.cameras = world.collect(PoseArray, "map/cameras", qos.LATCHED)
        self.path = world.collect(PosePath, "map/path/front", qos.LATCHED)
        self.datum = world.collect(NavSatFix, "map/datum", qos.LATCHED)
        self.points = world.collect(PointCloud2, "instances/points", qos.LATCHED)
        self.labels = world.collect(Image, "instances/labels", deep)
        self.markers = world.collect(MarkerArray, "instances/markers", qos.LATCHED)
        self.diagnostics = world.collect(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)

    def settled(self, points: int) -> bool:
        """Whether the latched messages all speak of one revision, the one with so many points."""
        latched = [self.map_points, self.cameras, self.points, [array.markers[0] for array in self.markers]]
        headers = [messages[-1].header for messages in latched if messages]
        return len(headers) == 4 and all(h == headers[0] for h in headers) and self.points[-1].width == points

    def statuses(self, node: str) -> list[DiagnosticStatus]:
        return [s for array in self.diagnostics for s in array.status if s.name == f"/seg2d3d/{node}"]

    def value(self, node: str, key: str) -> str:
        """The last reported value, empty if there is none."""
        found = [pair.value for status in self.statuses(node) for pair in status.values if pair.key == key]
        return found[-1] if found else ""


def child_of(process: subprocess.Popen, what: str) -> int:
    """Process id of a node's child whose command line holds ``what``; 0 if there is none."""
    for children in Path(f"/proc/{process.pid}/task").glob("*/children"):
        for pid in children.read_text().split():
            if what.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
    return 0


def worker_of(process: subprocess.Popen) -> int:
    """The reconstruction worker of a node's process."""
    return child_of(process, "spawn_main")


def gone(pid: int) -> bool:
    """Whether a process ended (a zombie whose parent is dead counts)."""
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def layout(cloud: PointCloud2) -> list[tuple[str, int, int, int]]:
    return [(field.name, field.offset, field.datatype, field.count) for field in cloud.fields]


def check_messages(ear: Ear, store: MapStore) -> None:
    """The last messages, field by field, and against the map directory."""
    tracks = store.read_tracks()
    ids = {item["id"] for item in tracks["instances"]}
    written = read_points(store.root / "points_rgb.ply")  # far strays included, as on the topic
    assert ids
    assert 0 not in ids
    # The service's answer may overtake the last messages.
    assert wait_for(lambda: ear.settled(len(written)), 20.0)

    sparse = ear.map_points[-1]
    assert layout(sparse) == [
        ("x", 0, F4, 1),
        ("y", 4, F4, 1),
        ("z", 8, F4, 1),
        ("rgb", 12, F4, 1),
        ("point_id", 16, U4, 1),
        ("component", 20, U4, 1),
    ]
    assert (sparse.point_step, sparse.height, sparse.is_bigendian, sparse.header.frame_id) == (24, 1, False, "map")
    points = cloud_to_array(sparse)
    assert len(points) > 300
    assert len(np.unique(points["point_id"])) == len(points)
    assert all(np.isfinite(points[axis]).all() for axis in "xyz")
    assert unpack_rgb(points["rgb"]).std() > 5, "the photographs' colours"

    labelled = ear.points[-1]
    assert layout(labelled) == [
        ("x", 0, F4, 1),
        ("y", 4, F4, 1),
        ("z", 8, F4, 1),
        ("rgb", 12, F4, 1),
        ("instance_id", 16, I4, 1),
        ("class_id", 20, U2, 1),
        ("confidence", 24, F4, 1),
    ]
    assert labelled.point_step == 28
    assert labelled.header == sparse.header, "the labels of exactly this revision"
    cloud = cloud_to_array(labelled)
    assert len(cloud) == len(written)
    of_model = written["point_id"] < FIRST_ID  # the others are the labelling's own, where masks hold few
    for axis in "xyz":
        np.testing.assert_array_equal(cloud[axis], written[axis])
        np.testing.assert_array_equal(np.sort(cloud[axis][of_model]), np.sort(points[axis]))
    np.testing.assert_array_equal(cloud["instance_id"], written["instance"])
    np.testing.assert_array_equal(cloud["confidence"], written["confidence"])
    assert set(np.unique(cloud["instance_id"])) - {0} <= ids
    named = cloud["instance_id"] > 0
    assert named.mean() > 0.3
    np.testing.assert_array_equal(cloud["class_id"], named.astype(np.uint16))
    assert (cloud["confidence"][named] > 0).all()
    assert (cloud["confidence"] <= 1).all()
    np.testing.assert_array_equal(unpack_rgb(cloud["rgb"]), instance_colors(cloud["instance_id"]))

    last = {keyframe_name(message.header): message for message in ear.labels}
    assert len(last) == IMAGES
    for name, message in last.items():
        assert (message.encoding, message.width, message.height) == ("mono16", 640, 426)
        assert message.header.frame_id in ("front", "left")
        np.testing.assert_array_equal(image_to_labels(message), read_labels(store.label_path(name)))
        assert set(np.unique(image_to_labels(message))) - {0} <= ids
    for item in tracks["instances"]:
        assert item["class"] == "building"
        for seen in item["observations"]:
            x0, y0, x1, y1 = seen["box"]
            assert (image_to_labels(last[seen["image"]])[y0:y1, x0:x1] == item["id"]).any()

    rows = {keyframe_name(m.header): cloud_to_array(m) for m in ear.observations if m.header.frame_id != "map"}
    marks = [m for m in ear.observations if m.header.frame_id == "map"]
    assert marks[-1].header == sparse.header
    assert layout(marks[-1]) == [("u", 0, F4, 1), ("v", 4, F4, 1), ("point_id", 8, U4, 1)]
    seen, counts = np.unique(np.concatenate([r["point_id"] for r in rows.values()]), return_counts=True)
    np.testing.assert_array_equal(seen, np.sort(points["point_id"]))
    assert counts.min() >= 2
    observed = [r for r in rows.values() if len(r)]
    assert all(r["u"].min() >= -0.5 and r["u"].max() <= 639.5 and r["v"].max() <= 425.5 for r in observed)

    cameras = ear.cameras[-1]
    assert cameras.header == sparse.header
    assert len(cameras.poses) == len(observed)
    stamps = [p.header.stamp.sec * 10**9 + p.header.stamp.nanosec for p in ear.path[-1].poses]
    assert stamps == sorted(stamps)
    assert {f"front_{stamp}" for stamp in stamps} <= set(rows)
    assert ear.markers[-1].markers[0].action == Marker.DELETEALL
    assert {m.id for m in ear.markers[-1].markers[1:]} <= ids
    if "datum" in tracks["frame"]:
        assert ear.datum[-1].latitude == pytest.approx(tracks["frame"]["datum"]["latitude"])


def check_directory(store: MapStore, street: Path, *, rejected: int = 0) -> None:
    """Complete, and as good as perfect masks allow."""
    for name in (
        "tracks.json",
        "points.ply",
        "metrics.json",
        "config.yaml",
        "report.html",
        "keyframes.json",
        "sparse/0/images.bin",
    ):
        assert (store.root / name).is_file(), name
    metrics = store.read_metrics()
    assert metrics["counts"]["images"] == IMAGES + rejected
    assert metrics["counts"]["registered"] >= 0.8 * IMAGES
    assert metrics["timings"]["mapping"] > 0
    assert metrics["timings"]["association"] > 0
    assert {path.stem for path in (store.root / "labels").glob("*.png")} >= {p.stem for p in (street / "truth").glob("*.png")}
    figures = evaluate_map(store.root, street / "truth")["methods"]["this_map"]
    assert figures["adjusted_coverage"] > 0.5
    assert figures["false_merges"] == 0


def test_separate_processes_a_bag_and_faults(street, tmp_path):
    """keyframe, segmentation, reconstruction and association nodes as processes; the worker is killed on the way, and a
    damaged image comes among the keyframes."""
    domain, map_dir = own_domain(), tmp_path / "map"
    with ros(domain) as world, fleet(tmp_path, domain) as nodes:
        ear = Ear(world)
        damaged = world.probe.create_publisher(CompressedImage, "keyframes/image/compressed", qos.KEYFRAMES)
        nodes.start("association_node", map_dir=map_dir, segments_patience=60.0)
        mapper = nodes.start("reconstruction_node", map_dir=map_dir, update_every=6)
        nodes.start("segmentation_node", segmenter="topic", prompts="[building]", segments_timeout=10.0)
        nodes.start("keyframe_node", camera_topics="[/front/image/compressed, /left/image/compressed]", fix_topic="/fix")
        for node in list(nodes.processes):
            assert wait_for(lambda node=node: ear.statuses(node), WAIT), f"{node} does not report: {nodes.said(node)}"
        player = nodes.start("bag_player", bag=street / "street.mcap", rate=2.0, when_done="finalize")

        assert wait_for(lambda: int(ear.value("reconstruction_node", "keyframes in database") or 0) >= 4, WAIT)
        os.kill(worker_of(mapper), signal.SIGKILL)
        damaged.publish(CompressedImage(header=make_header(5, "front"), format="jpeg", data=b"\xff\xd8\xff\xe0 no picture"))

        assert player.wait(WAIT) == 0, nodes.said("bag_player")
        assert wait_for(lambda: ear.points and ear.points[-1].header == ear.map_points[-1].header)
        assert wait_for(lambda: ear.value("reconstruction_node", "worker failures") == "1")
        assert any(
            s.level == DiagnosticStatus.ERROR and "ended unexpectedly (signal 9)" in s.message
            for s in ear.statuses("reconstruction_node")
        )
        assert ear.value("reconstruction_node", "keyframes rejected") == "1"
        store = MapStore(map_dir)
        check_messages(ear, store)
        check_directory(store, street, rejected=1)
        assert [item["image"] for item in store.read_metrics()["unregistered"] if "front_5" in item["image"]] == ["front_5"]
        nodes.processes.pop("bag_player")
        for node in list(nodes.processes):
            assert nodes.stop(node) == 0, nodes.said(node)[-3000:]


def test_killed_and_started_again(street, tmp_path):
    """The composed pipeline is killed without mercy in the middle; started again on the same directory it goes on."""
    domain, map_dir = own_domain(), tmp_path / "map"
    store = MapStore(map_dir)
    facts = {"map_dir": map_dir, "prompts": "[building]", "segmenter": "topic", "segments_timeout": 30.0, "update_every": 6}
    with fleet(tmp_path, domain) as nodes:
        first = nodes.start("pipeline", "first", bag=street / "street.mcap", rate=1.0, **facts)
        assert wait_for(lambda: len(store.read_keyframes()) >= 8 and len(list((map_dir / "segments").glob("*.png"))) >= 8, WAIT)
        worker = worker_of(first)
        nodes.processes.pop("first").kill()
        first.wait()
        assert wait_for(
            lambda: not Path(f"/proc/{worker}").exists() or "State:\tZ" in Path(f"/proc/{worker}/status").read_text()
        )
        kept = {record.name for record in store.read_keyframes()}
        assert 8 <= len(kept) < IMAGES
        times = {path: path.stat().st_mtime_ns for path in (map_dir / "keyframes").iterdir() if path.stem in kept}

        again = nodes.start("pipeline", "again", bag=street / "street.mcap", rate=2.0, exit_when_done="true", **facts)
        assert again.wait(WAIT) == 0, nodes.said("again")[-4000:]
        assert "going on with the" in nodes.said("again")
        assert all(path.stat().st_mtime_ns == stamp for path, stamp in times.items()), "what was there is not made again"
        check_directory(store, street)
        records = json.loads((map_dir / "keyframes.json").read_text())["keyframes"]
        assert len({r["name"] for r in records}) == len(records) == IMAGES


def test_interrupted(street, tmp_path):
    """Ctrl-C in the middle: exit code 0, what came in is kept, no process is left behind."""
    with fleet(tmp_path, own_domain()) as nodes:
        parameters = {"map_dir": tmp_path / "map", "segmenter": "topic", "bag": street / "street.mcap"}
        process = nodes.start("pipeline", "only", **parameters)
        store = MapStore(tmp_path / "map")
        assert wait_for(lambda: len(store.read_keyframes()) >= 3, WAIT)
        worker, player = worker_of(process), child_of(process, "bag_player")
        assert nodes.stop("only") == 0, nodes.said("only")[-3000:]
        assert gone(worker)
        assert gone(player)
        assert "Traceback" not in nodes.said("only")
        assert all(store.image_path(record).is_file() for record in store.read_keyframes())
