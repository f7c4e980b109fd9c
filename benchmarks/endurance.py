"""What a long drive costs: memory, disk, threads and open files of the real nodes, keyframe after keyframe.

    python benchmarks/endurance.py --keyframes 5000 --json endurance.json
    python benchmarks/endurance.py --minutes 60 --rate 2

All nodes run in one process, with the reconstruction's worker beside it, as a vehicle runs them; this process is the vehicle:
an endless street of two walls, one behind the other, in small pictures, with calibration, positions and masks. A bare rclpy
node listens to the same topics: what it grows by is rclpy's, not ours. Memory that the map needs grows with the keyframes, and
is reported for each of them; what grows without keyframes would be a leak, so when all is done the nodes are watched at rest.
Run it alone on its ROS domain.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, NavSatFix

from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.ros.messages.conversion import bytes_to_compressed, labels_to_image, make_header
from seg2d3d_ros.ros.node import qos

WIDTH, HEIGHT, FOCAL = 320, 240, 260.0
NEAR, FAR = 8.0, 14.0
"""Metres to the two walls."""
STEP = 0.8
"""Metres between keyframes."""
TILE = 4.0
"""Metres of wall that are painted at once; every second tile of the near wall is a house, the others are gaps."""
PIXELS = 40
"""Of a painted metre."""
SAMPLE_S = 5.0
CALM_S, PATIENCE_S = 20.0, 1800.0
"""How long nothing must be left to do before the nodes count as at rest, and how long that is waited for at most."""
NAMESPACE = "/seg2d3d"
BARE = """
import rclpy, sys
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, NavSatFix
rclpy.init()
node = Node("bare")
for kind, name in ((CompressedImage, "/front/image_raw/compressed"), (CameraInfo, "/front/camera_info"), (NavSatFix, "/fix"),
                   (Image, "/front/segments")):
    node.create_subscription(kind, name, lambda message: None, 50)
try:
    rclpy.spin(node)
except KeyboardInterrupt:
    pass
"""


@dataclass
class Sample:
    """One look at a process group: seconds since the start, keyframes sent, MB, threads, open files, MB on disk."""

    seconds: float
    keyframes: int
    nodes_mb: float
    worker_mb: float
    bare_mb: float
    threads: int
    files: int
    disk_mb: float


def paint(wall: int, tile: int) -> np.ndarray:
    """(H, W, 3) uint8 texture of one tile of a wall: the same whenever it is asked for."""
    rng = np.random.default_rng((wall, tile % 2**31))
    size = round(TILE * PIXELS)
    fine = cv2.resize(rng.integers(0, 255, (size // 3, size // 3, 3), np.uint8), (size, size), interpolation=cv2.INTER_LINEAR)
    coarse = cv2.resize(rng.integers(0, 255, (6, 6, 3), np.uint8), (size, size), interpolation=cv2.INTER_NEAREST)
    return cv2.addWeighted(fine, 0.6, coarse, 0.4, 0)


def view(number: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture (H, W, 3) uint8 and the masks (H, W) uint16 of keyframe ``number``."""
    x = number * STEP
    picture, labels = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint16)
    for wall, distance in ((1, FAR), (0, NEAR)):
        half = WIDTH / 2 / FOCAL * distance
        for tile in range(int(np.floor((x - half) / TILE)), int(np.floor((x + half) / TILE)) + 1):
            if wall == 0 and tile % 2:
                continue
            scale = FOCAL / distance
            left, right = (round((edge * TILE - x) * scale + WIDTH / 2) for edge in (tile, tile + 1))
            painted = cv2.resize(paint(wall, tile), (right - left, right - left), interpolation=cv2.INTER_AREA)
            top = (HEIGHT - painted.shape[0]) // 2
            rows = slice(max(top, 0), min(top + painted.shape[0], HEIGHT))
            columns = slice(max(left, 0), min(right, WIDTH))
            picture[rows, columns] = painted[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
            if wall == 0:
                labels[rows, columns] = 1000 + tile // 2 % 900
    return picture, labels


class Vehicle:
    """Publishes keyframe after keyframe."""

    def __init__(self) -> None:
        self.node = Node("vehicle")
        make = self.node.create_publisher
        self.images = make(CompressedImage, "/front/image_raw/compressed", qos.KEYFRAMES)
        self.infos = make(CameraInfo, "/front/camera_info", qos.KEYFRAMES)
        self.fixes = make(NavSatFix, "/fix", qos.KEYFRAMES)
        self.masks = make(Image, "/front/segments", qos.SEGMENTS)
        self._work = ""
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._reported, qos.DIAGNOSTICS)

    def _reported(self, message: DiagnosticArray) -> None:
        for one in message.status:
            if one.name == f"{NAMESPACE}/reconstruction_node":
                values = {pair.key: pair.value for pair in one.values}
                self._work = f"{values.get('keyframes waiting')} waiting, {values.get('stage')}"

    def idle(self) -> bool:
        """Whether the nodes have said, within this call, that nothing is left to do."""
        self._work, begin = "", time.monotonic()
        while not self._work and time.monotonic() - begin < 5.0:
            rclpy.spin_once(self.node, timeout_sec=1.0)
        return self._work == "0 waiting, idle"

    def heard(self) -> bool:
        """Whether somebody listens to all of it."""
        return all(one.get_subscription_count() > 1 for one in (self.images, self.infos, self.fixes, self.masks))

    def send(self, number: int) -> None:
        """One keyframe, with the present time."""
        picture, labels = view(number)
        header = make_header(time.time_ns(), "front")
        k = [FOCAL, 0.0, WIDTH / 2 - 0.5, 0.0, FOCAL, HEIGHT / 2 - 0.5, 0.0, 0.0, 1.0]
        self.infos.publish(
            CameraInfo(header=header, width=WIDTH, height=HEIGHT, k=k, distortion_model="plumb_bob", d=[0.0] * 5)
        )
        fix = NavSatFix(header=header, latitude=50.0, longitude=13.0 + number * STEP / 71_500.0, altitude=200.0)
        fix.position_covariance, fix.position_covariance_type = np.diag([0.25, 0.25, 1.0]).ravel().tolist(), 2
        self.fixes.publish(fix)
        self.images.publish(bytes_to_compressed(encode_jpeg(picture), header))
        self.masks.publish(labels_to_image(labels, header))


def status(pid: int, key: str) -> int:
    """A number of /proc/PID/status; 0 where the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{key}:")), 0)


def children(pid: int) -> list[int]:
    """All descendants of a process."""
    try:
        direct = [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]
    except OSError:
        return []
    return [*direct, *(grandchild for child in direct for grandchild in children(child))]


def look(begin: float, keyframes: int, nodes: int, bare: int, map_dir: Path) -> Sample:
    """One sample of the processes and the map directory."""
    group = [nodes, *children(nodes)]
    files = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in group if Path(f"/proc/{pid}/fd").exists())
    disk = sum(path.stat().st_size for path in map_dir.rglob("*") if path.is_file() and not path.name.startswith("."))
    megabytes = [status(pid, "VmRSS") / 1024 for pid in group]
    return Sample(
        round(time.monotonic() - begin, 1),
        keyframes,
        round(megabytes[0], 1),
        round(sum(megabytes[1:]), 1),
        round(status(bare, "VmRSS") / 1024, 1),
        sum(status(pid, "Threads") for pid in group),
        files,
        round(disk / 1e6, 2),
    )


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """By how much ``y`` grows with ``x``, by least squares; the first fifth, in which everything is loaded, is left out."""
    skip = len(x) // 5
    return float(np.polyfit(x[skip:], y[skip:], 1)[0]) if len(x) - skip > 2 else float("nan")


def summary(driving: list[Sample], resting: list[Sample]) -> dict[str, Any]:
    """The figures."""

    def column(samples: list[Sample], name: str) -> list[float]:
        return [float(getattr(sample, name)) for sample in samples]

    hours, keyframes = [second / 3600 for second in column(driving, "seconds")], column(driving, "keyframes")
    rest = [second / 3600 for second in column(resting, "seconds")]
    found: dict[str, Any] = {"keyframes": driving[-1].keyframes, "minutes": round(driving[-1].seconds / 60, 1)}
    for part in ("nodes_mb", "worker_mb", "bare_mb"):
        values = column(driving, part)
        found[part] = {
            "last": values[-1],
            "per hour": round(slope(hours, values), 1),
            "kB per keyframe": round(1000 * slope(keyframes, values), 1),
            "per hour at rest": round(slope(rest, column(resting, part)), 1),
        }
    found["disk, kB per keyframe"] = round(1000 * slope(keyframes, column(driving, "disk_mb")), 1)
    settled = driving[len(driving) // 5 :]
    for part in ("threads", "files"):
        found[part] = {
            "first": getattr(settled[0], part),
            "most": max(column(settled, part)),
            "last": getattr(settled[-1], part),
        }
    return found


def main() -> None:
    """Drive, rest, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keyframes", type=int, default=0, help="how many (0: as --minutes says)")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=2.0, help="keyframes a second")
    parser.add_argument("--rest", type=float, default=60.0, help="seconds to watch the nodes at rest in the end")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    wanted = args.keyframes or round(args.minutes * 60 * args.rate)
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        map_dir = Path(folder) / "map"
        parameters = {"map_dir": map_dir, "segmenter": "topic", "prompts": "['house']", "keyframes.max_wait": "0.0"}
        command = [sys.executable, "-m", "seg2d3d_ros.nodes.pipeline", "--ros-args"]
        for name, value in parameters.items():
            command += ["-p", f"{name}:={value}"]
        log = (Path(folder) / "nodes.log").open("wb")
        nodes = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        bare = subprocess.Popen([sys.executable, "-c", BARE])
        rclpy.init()
        vehicle = Vehicle()
        try:
            driving, resting = drive(vehicle, wanted, args, nodes, bare, map_dir)
        finally:
            for process in (nodes, bare):
                process.send_signal(signal.SIGINT)
            for process in (nodes, bare):
                process.wait(60)
            vehicle.node.destroy_node()
            rclpy.try_shutdown()
    found = summary(driving, resting)
    print(json.dumps(found, indent=1))
    if args.json:
        args.json.write_text(json.dumps({**found, "samples": [asdict(one) for one in [*driving, *resting]]}, indent=1))


def drive(
    vehicle: Vehicle, wanted: int, args: argparse.Namespace, nodes: Any, bare: Any, map_dir: Path
) -> tuple[list[Sample], list[Sample]]:
    """Samples while keyframes are sent, and after."""
    while not vehicle.heard():
        if nodes.poll() is not None:
            raise SystemExit(f"the nodes ended with status {nodes.returncode}")
        time.sleep(0.2)
    begin = time.monotonic()
    driving, resting = [look(begin, 0, nodes.pid, bare.pid, map_dir)], []
    for number in range(wanted):
        vehicle.send(number)
        if time.monotonic() - begin - driving[-1].seconds > SAMPLE_S:
            driving.append(look(begin, number + 1, nodes.pid, bare.pid, map_dir))
        time.sleep(max(begin + (number + 1) / args.rate - time.monotonic(), 0.0))
    calm = time.monotonic()
    while time.monotonic() - calm < CALM_S:  # also what comes after it: labels, a solution in the pause
        calm = calm if vehicle.idle() else time.monotonic()
        if time.monotonic() - begin > driving[-1].seconds + PATIENCE_S:
            break
    end = time.monotonic()
    while time.monotonic() - end < args.rest:
        time.sleep(min(SAMPLE_S, args.rest / 4))
        resting.append(look(begin, wanted, nodes.pid, bare.pid, map_dir))
    return driving, resting


if __name__ == "__main__":
    main()
