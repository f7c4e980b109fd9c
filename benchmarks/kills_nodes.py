"""Kill the worker, the reconstruction node and the whole pipeline at random moments, and look at what is left in the end.

    python benchmarks/kills_nodes.py STREET [--images N] [--kills 20] [--seed 0] [--json FILE]

STREET is a folder that `seg2d3d simulate` made. Keyframes are sent in a random order to real nodes on one map directory;
every kill is SIGKILL. What is on disk must never become less, and the final map is compared with one that grew
undisturbed: registered images, position rms to the truth, point ids.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from reconstruction import position_error
from sensor_msgs.msg import CameraInfo, CompressedImage, NavSatFix, PointCloud2
from std_srvs.srv import Trigger
from truth_poses import read_truth_poses

from seg2d3d_ros.keyframes.camera_file import read_camera_file
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.ros.messages.conversion import bytes_to_compressed, camera_to_info, fix_from_geo, make_header
from seg2d3d_ros.ros.node import qos

TARGETS = ("worker", "reconstruction_node", "pipeline")
WAIT_S = 600.0


class Sender(Node):
    """Sends keyframes as keyframe_node would, and hears the map."""

    def __init__(self, street: Path) -> None:
        super().__init__("sender", namespace="seg2d3d")
        self._cameras = read_camera_file(street / "camera.json")
        self._image = self.create_publisher(CompressedImage, "keyframes/image/compressed", qos.KEYFRAMES)
        self._info = self.create_publisher(CameraInfo, "keyframes/camera_info", qos.KEYFRAMES)
        self._fix = self.create_publisher(NavSatFix, "keyframes/fix", qos.KEYFRAMES)
        self._finalize = self.create_client(Trigger, "finalize")
        self.create_subscription(PointCloud2, "map/points", self._points, qos.LATCHED)
        self.points = 0
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def _points(self, message: PointCloud2) -> None:
        self.points = message.width

    def spin(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Spin for so long, or until something holds; whether it does."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            self._executor.spin_once(timeout_sec=0.05)
        return until()

    def heard(self) -> bool:
        """Whether somebody subscribes to everything."""
        return all(p.get_subscription_count() for p in (self._image, self._info, self._fix))

    def send(self, image: Path) -> None:
        """One keyframe."""
        camera, _, stamp = image.stem.rpartition("_")
        header = make_header(int(stamp), camera)
        self._info.publish(camera_to_info(self._cameras[camera], header))
        self._fix.publish(fix_from_geo(None, header))
        self._image.publish(bytes_to_compressed(image.read_bytes(), header))

    def finalize(self) -> Any:
        """Ask for the whole map; the future of the answer."""
        self.spin(60, self._finalize.service_is_ready)
        return self._finalize.call_async(Trigger.Request())


def begun(log: Path) -> int:
    """How often a reconstruction node has become active; the dead ones' subscriptions are seen for another 20 s."""
    return log.read_text(errors="replace").count("reconstruction_node]: active")


def start(target: str, root: Path, log: Path) -> subprocess.Popen[bytes]:
    """The process that maps."""
    module = "pipeline" if target == "pipeline" else "reconstruction_node"
    command = [sys.executable, "-m", f"seg2d3d_ros.nodes.{module}", "--ros-args", "-p", f"map_dir:={root}"]
    with log.open("ab") as out:
        return subprocess.Popen([*command, "-p", "segmenter:=none"], stdout=out, stderr=out)


def worker_of(process: subprocess.Popen[bytes]) -> int:
    """Process id of the reconstruction worker, 0 if there is none."""
    for children in Path(f"/proc/{process.pid}/task").glob("*/children"):
        for pid in children.read_text().split():
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
    return 0


def in_database(root: Path) -> set[str]:
    """Keyframes whose features are there."""
    if not (root / "database.db").exists():
        return set()
    try:
        with sqlite3.connect(f"file:{root / 'database.db'}?mode=ro", uri=True, timeout=30.0) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM seg2d3d_images")}
    except sqlite3.OperationalError:  # not a table yet
        return set()


def drive(street: Path, images: list[Path], kills: int, seed: int, root: Path) -> dict[str, Any]:
    """One map with so many kills on the way."""
    rng, log, sender = random.Random(seed), root.with_suffix(".log"), Sender(street)
    done: list[str] = []
    known: set[str] = set()
    process, active = start("reconstruction_node", root, log), 1
    for kill in range(kills):
        target = rng.choice(TARGETS)
        if target != "worker" or process.poll() is not None:
            process.kill()
            process.wait()
            process, active = start(target, root, log), begun(log) + 1
        if not sender.spin(WAIT_S, lambda active=active: begun(log) >= active):
            raise SystemExit(log.read_text()[-3000:])
        sender.spin(1.5)
        there = {r.name for r in MapStore(root).read_keyframes()}
        missing = [path for path in images if path.stem not in there]
        if not missing:
            sender.finalize()
        moment = time.monotonic() + rng.uniform(0.2, 8.0)
        for path in missing[: max(2, len(images) // 12)]:
            sender.send(path)
            sender.spin(0.3)
        sender.spin(moment - time.monotonic())
        if target == "worker":
            if pid := worker_of(process):
                os.kill(pid, 9)
        else:
            process.kill()
            process.wait()
        done.append(f"{target}{'' if missing else ' at the end'}")
        now = in_database(root)
        if not known <= now:
            raise SystemExit(f"lost by killing the {target}: {sorted(known - now)}")
        known = now
        print(f"kill {kill + 1}: {done[-1]}, {len(now)} in the database", flush=True)
    if process.poll() is not None:
        process, active = start("pipeline", root, log), begun(log) + 1
    sender.spin(WAIT_S, lambda: begun(log) >= active and sender.heard())
    sender.spin(1.5)
    for _ in range(3):
        there = {r.name for r in MapStore(root).read_keyframes()}
        for path in [path for path in images if path.stem not in there]:
            sender.send(path)
            sender.spin(0.3)
        sender.spin(3)
    future = sender.finalize()
    if not sender.spin(WAIT_S, future.done) or not future.result().success:
        raise SystemExit(f"no map: {future.result()} {log.read_text()[-3000:]}")
    sender.spin(3)
    process.kill()
    process.wait()
    model = read_models(root)[0]
    rms, largest = position_error(model, {name: pose.translation for name, pose in read_truth_poses(street).items()})
    sender.destroy_node()
    return {
        "kills": done,
        "keyframes": len(MapStore(root).read_keyframes()),
        "in database": len(in_database(root)),
        "registered": len(model.names),
        "points": len(model.point_ids),
        "points heard": sender.points,
        "rms m": rms,
        "max m": largest,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("street", type=Path)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    images = sorted((args.street / "images").iterdir())[: args.images]
    random.Random(args.seed).shuffle(images)
    rclpy.init(args=[])
    with tempfile.TemporaryDirectory() as folder:
        result = {
            name: drive(args.street, images, kills, args.seed, Path(folder) / name)
            for name, kills in (("undisturbed", 0), ("killed", args.kills))
        }
    rclpy.shutdown()
    for name, row in result.items():
        print(name, {key: value for key, value in row.items() if key != "kills"})
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
