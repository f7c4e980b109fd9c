"""How fast the reconstruction node answers while its worker maps: service, lifecycle, parameter, subscription.

    python benchmarks/responsiveness.py STREET [--images N] [--composed] [--map MAP] [--limit S] [--json FILE]

STREET is a folder that `seg2d3d simulate` made. The real node (or, with --composed, all nodes in one process) maps its
images while another process calls it ten times a second; each latency is a whole round trip between the two processes.
A bare process that does nothing but answer is asked at the same times: what it takes is the machine's share. Phases: idle,
growing (keyframes arrive faster than they can be mapped), finalize (global solution, bundle adjustment, writing, report).
With --map the images are mapped already: a copy of that map is published and finished. After --limit seconds the solver is
cancelled, and the time until finalize answers is reported. Run it alone on its ROS domain; the machine's load counts.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, NavSatFix
from std_msgs.msg import Header, UInt64
from std_srvs.srv import Trigger

from seg2d3d_ros.images import read_labels
from seg2d3d_ros.keyframes.camera_file import read_camera_file
from seg2d3d_ros.nodes.pipeline import NODES
from seg2d3d_ros.nodes.reconstruction_node import ReconstructionNode
from seg2d3d_ros.ros.messages.conversion import (
    bytes_to_compressed,
    camera_to_info,
    fix_from_geo,
    labels_to_image,
    make_header,
)
from seg2d3d_ros.ros.node import qos
from seg2d3d_ros.ros.node.spinning import spin_nodes

AIM_MS = 100.0
PERIOD_S = 0.1
RESEND_EVERY = 50
KEYFRAMES_PER_S = 4.0
NAMESPACE = "seg2d3d"


class EchoingNode(ReconstructionNode):
    """The node as it is, and one more subscription whose callback answers, in the group of all the others."""

    def activate(self) -> None:
        super().activate()
        answer = self.advertise(UInt64, "echo", qos.PLAYER)
        self.subscribe(UInt64, "ping", answer.publish, qos.PLAYER)


class BareNode(Node):
    """Nothing but an answer."""

    def __init__(self) -> None:
        super().__init__("bare", namespace=NAMESPACE)
        answer = self.create_publisher(UInt64, "bare_echo", qos.PLAYER)
        self.create_subscription(UInt64, "ping", answer.publish, qos.PLAYER)


class Probe(Node):
    """Asks every ``PERIOD_S`` and notes the milliseconds until the answer under the phase in which it asked."""

    def __init__(self) -> None:
        super().__init__("probe", namespace=NAMESPACE)
        self.phase = ""
        self.latencies: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.loads: dict[str, list[float]] = defaultdict(list)
        self._pings: dict[int, tuple[str, float]] = {}
        self._count = 0
        node = "reconstruction_node"
        self._state = self.create_client(GetState, f"{node}/get_state")
        self._parameter = self.create_client(GetParameters, f"{node}/get_parameters")
        self._resend = self.create_client(Trigger, f"{node}/resend")
        self.cancel = self.create_client(Trigger, f"{node}/cancel")
        self.finalize = self.create_client(Trigger, "finalize")
        self._ping = self.create_publisher(UInt64, "ping", qos.PLAYER)
        self.create_subscription(UInt64, "echo", lambda m: self._echo("subscription", m), qos.PLAYER)
        self.create_subscription(UInt64, "bare_echo", lambda m: self._echo("(bare node: subscription)", m), qos.PLAYER)
        self.image = self.create_publisher(CompressedImage, "keyframes/image/compressed", qos.KEYFRAMES)
        self.info = self.create_publisher(CameraInfo, "keyframes/camera_info", qos.KEYFRAMES)
        self.fix = self.create_publisher(NavSatFix, "keyframes/fix", qos.KEYFRAMES)
        self.segments = self.create_publisher(Image, "keyframes/segments", qos.SEGMENTS)
        self.create_timer(PERIOD_S, self._ask)

    def ready(self) -> bool:
        """Whether the node's services and subscriptions are there."""
        services = (self._state, self._parameter, self._resend, self.finalize)
        return all(s.service_is_ready() for s in services) and self._ping.get_subscription_count() > 1

    def waiting(self) -> int:
        """Pings without an answer of the node."""
        return len(self._pings) - sum(len(found) for (_, kind), found in self.latencies.items() if kind == "subscription")

    def _ask(self) -> None:
        if not self.phase:
            return
        self._count += 1
        self.loads[self.phase].append(os.getloadavg()[0])
        self._time("lifecycle get_state", self._state, GetState.Request())
        self._time("parameter get", self._parameter, GetParameters.Request(names=["map_dir"]))
        if self._count % RESEND_EVERY == 0:
            self._time("service resend", self._resend, Trigger.Request())
        self._pings[self._count] = (self.phase, time.monotonic())
        self._ping.publish(UInt64(data=self._count))

    def _time(self, kind: str, client: Any, request: Any) -> None:
        begin, found = time.monotonic(), self.latencies[self.phase, kind]
        client.call_async(request).add_done_callback(lambda _: found.append(1000 * (time.monotonic() - begin)))

    def _echo(self, kind: str, message: UInt64) -> None:
        phase, begin = self._pings[message.data]
        self.latencies[phase, kind].append(1000 * (time.monotonic() - begin))


def serve(composed: bool) -> int:
    """The process under test."""
    nodes: Sequence[Callable[[], Any]] = [EchoingNode]
    if composed:
        nodes = [EchoingNode if node is ReconstructionNode else node for node in NODES]
    code = spin_nodes(nodes, [a for a in sys.argv if a not in ("--serve", "--composed")])
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"CPU {own.ru_utime + own.ru_stime:.1f} {children.ru_utime + children.ru_stime:.1f}", flush=True)
    return code


def serve_bare() -> int:
    """The process to compare with."""
    rclpy.init(args=[])
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(BareNode())
    return 0


@contextmanager
def node_process(map_dir: Path, composed: bool, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The nodes in a process of their own, ended in the end."""
    command = [sys.executable, __file__, "--serve", *(["--composed"] if composed else []), "--ros-args"]
    command += ["-p", f"map_dir:={map_dir}", "-p", "segmenter:=none", "-p", "update_idle:=1000.0"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
        bare = subprocess.Popen([sys.executable, __file__, "--serve-bare"], stdout=out, stderr=out)
    try:
        yield process
    finally:
        bare.kill()
        process.send_signal(signal.SIGINT)
        process.wait(60)


def send(probe: Probe, image: Path, street: Path, info: CameraInfo, segments: bool) -> None:
    """One keyframe, as keyframe_node would, with its masks where asked for."""
    camera, _, stamp = image.stem.rpartition("_")
    header: Header = make_header(int(stamp), camera)
    info.header = header
    probe.info.publish(info)
    probe.fix.publish(fix_from_geo(None, header))
    probe.image.publish(bytes_to_compressed(image.read_bytes(), header))
    if segments:
        labels = read_labels(street / "segments" / f"{image.stem}.png")
        probe.segments.publish(labels_to_image(np.where(labels, labels + 1000, 0).astype(np.uint16), header))


def measure(street: Path, images: int, composed: bool, finished: Path | None, limit: float) -> dict[str, Any]:
    """All phases; the latencies in milliseconds."""
    paths = sorted((street / "images").iterdir(), key=lambda p: int(p.stem.rpartition("_")[2]))[:images]
    camera = read_camera_file(street / "camera.json")[paths[0].stem.rpartition("_")[0]]
    rclpy.init(args=[])
    probe, executor = Probe(), SingleThreadedExecutor()
    executor.add_node(probe)

    def spin(seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            executor.spin_once(timeout_sec=0.02)
        return until()

    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        if finished is not None:
            shutil.copytree(finished, Path(folder) / "map")
        with node_process(Path(folder) / "map", composed, log) as process:
            if not spin(120, probe.ready):
                raise SystemExit(f"the node does not come up: {log.read_text()}")
            spin(3)
            probe.phase = "idle"
            spin(10)
            if finished is None:
                probe.phase = "growing"
                for path in paths:
                    send(probe, path, street, camera_to_info(camera, make_header(0, "")), composed)
                    spin(1 / KEYFRAMES_PER_S)
                spin(20)
            probe.phase = "finalize"
            future, begin = probe.finalize.call_async(Trigger.Request()), time.monotonic()
            stopping = 0.0
            if not spin(limit, future.done):
                asked = time.monotonic()
                probe.cancel.call_async(Trigger.Request())
                if not spin(60, future.done):
                    raise SystemExit(f"finalize does not answer: {log.read_text()[-3000:]}")
                stopping = time.monotonic() - asked
            seconds = time.monotonic() - begin
            probe.phase = ""
            spin(5, lambda: not probe.waiting())
            assert process.poll() is None
        answer = future.result()
        cpu = [line.split()[1:] for line in log.read_text().splitlines() if line.startswith("CPU ")][-1]
    result = {
        "answer": answer.message,
        "finalize seconds": seconds,
        "cancel seconds": stopping,
        "CPU seconds of the node": float(cpu[0]),
        "CPU seconds of the worker": float(cpu[1]),
        "unanswered": probe.waiting(),
        "load": {phase: float(np.mean(loads)) for phase, loads in probe.loads.items()},
        "latency ms": {
            f"{phase}: {kind}": {
                "n": len(found),
                "p50": float(np.percentile(found, 50)),
                "p99": float(np.percentile(found, 99)),
                "max": max(found),
            }
            for (phase, kind), found in probe.latencies.items()
        },
    }
    probe.destroy_node()
    rclpy.shutdown()
    return result


def main() -> None:
    """Command line."""
    if "--serve-bare" in sys.argv:
        sys.exit(serve_bare())
    if "--serve" in sys.argv:
        sys.exit(serve("--composed" in sys.argv))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("street", type=Path)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--composed", action="store_true", help="all nodes in one process, with masks")
    parser.add_argument("--map", type=Path, help="a map of these images, to be copied and finished")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds until finalize is cancelled")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    result = measure(args.street, args.images, args.composed, args.map, args.limit)
    print(result["answer"])
    for key in ("finalize seconds", "cancel seconds", "CPU seconds of the node", "CPU seconds of the worker"):
        print(f"{key}: {result[key]:.1f}")
    print("load: " + ", ".join(f"{phase} {load:.1f}" for phase, load in result["load"].items()))
    print(f"{'latency in ms':42}{'n':>6}{'p50':>8}{'p99':>8}{'max':>8}")
    for name, row in result["latency ms"].items():
        over = "" if row["p99"] <= AIM_MS else "  over the aim"
        print(f"{name:42}{row['n']:6}{row['p50']:8.1f}{row['p99']:8.1f}{row['max']:8.1f}{over}")
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
