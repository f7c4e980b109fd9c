"""How fast every node of the composed pipeline answers while it replays a bag and finalizes the map.

    python benchmarks/responsiveness_bag.py BAG [--cloud TOPIC] [--rate HZ] [--limit S] [--json FILE]

All nodes run in one process, which plays the bag in real time, as a user starts it; another process asks each of them for
its lifecycle state and a parameter. Phases: start, replay, finalize, after. Latencies are whole round trips; the load counts.
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
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node

AIM_MS = 100.0
NAMESPACE = "/seg2d3d"
PHASES = (("finalized:", "after"), ("finalizing the map", "finalize"), ("topics have subscribers", "replay"))
"""Words of the bag player's log, the latest phase first."""


def command(bag: Path, cloud: str, root: Path) -> list[str]:
    """The pipeline that ends when the bag is mapped."""
    parameters = {"bag": bag, "segmenter": "topic", "map_dir": root / "map", "exit_when_done": "true"}
    if cloud:
        parameters["cloud_topic"] = cloud
    words = [sys.executable, "-m", "seg2d3d_ros.nodes.pipeline", "--ros-args", "-r", f"__ns:={NAMESPACE}"]
    return words + [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]


class Probe(Node):
    """Asks all nodes at once, again and again, and notes the milliseconds until each answer under the phase of the question."""

    def __init__(self, nodes: list[str], rate: float, log: Path) -> None:
        super().__init__("probe", namespace=NAMESPACE)
        self._log = log
        self.latencies: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        self.loads: list[float] = []
        self._state = {node: self.create_client(GetState, f"{node}/get_state") for node in nodes}
        self._parameter = {node: self.create_client(GetParameters, f"{node}/get_parameters") for node in nodes}
        self.create_timer(1 / rate, self._ask)

    def _ask(self) -> None:
        text = self._log.read_text()
        phase = next((name for words, name in PHASES if words in text), "start")
        self.loads.append(os.getloadavg()[0])
        for node, client in self._state.items():
            self._time((phase, node, "get_state"), client, GetState.Request())
        for node, client in self._parameter.items():
            self._time((phase, node, "get_parameters"), client, GetParameters.Request(names=["use_sim_time"]))

    def _time(self, key: tuple[str, str, str], client: Any, request: Any) -> None:
        if client.service_is_ready():
            begin, found = time.monotonic(), self.latencies[key]
            client.call_async(request).add_done_callback(lambda _: found.append(1000 * (time.monotonic() - begin)))


def measure(bag: Path, cloud: str, rate: float, limit: float) -> tuple[int, Probe]:
    """Exit code of the pipeline, and what the probe noted."""
    nodes = [
        "keyframe_node",
        "segmentation_node",
        "reconstruction_node",
        "association_node",
        *(["cloud_node"] if cloud else []),
    ]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(command(bag.absolute(), cloud, Path(folder)), stdout=out, stderr=out)
        rclpy.init(args=[])
        probe, end = Probe(nodes, rate, log), time.monotonic() + limit
        while process.poll() is None and time.monotonic() < end:
            rclpy.spin_once(probe, timeout_sec=0.05)
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
        rclpy.shutdown()
        print("\n".join(line for line in log.read_text().splitlines() if "finalized:" in line or "ERROR" in line))
    return code, probe


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bag", type=Path)
    parser.add_argument("--cloud", default="", metavar="TOPIC", help="a LiDAR's topic: cloud_node runs too")
    parser.add_argument("--rate", type=float, default=5.0, metavar="HZ", help="of the questions (default 5)")
    parser.add_argument("--limit", type=float, default=600.0, metavar="S", help="the pipeline is stopped after so many seconds")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    code, probe = measure(args.bag, args.cloud, args.rate, args.limit)
    print(f"exit code {code}; load {np.mean(probe.loads):.1f} on {os.cpu_count()} cores")
    print(f"{'latency in ms':50}{'n':>6}{'p50':>8}{'p99':>8}{'max':>8}")
    rows = {}
    for key, found in probe.latencies.items():
        if found:
            row = {"n": len(found), "p50": np.percentile(found, 50), "p99": np.percentile(found, 99), "max": max(found)}
            rows[" ".join(key)] = row
            over = "" if row["p99"] <= AIM_MS else "  over the aim"
            print(f"{' '.join(key):50}{row['n']:6}{row['p50']:8.1f}{row['p99']:8.1f}{row['max']:8.1f}{over}")
    if args.json:
        args.json.write_text(json.dumps({"exit code": code, "load": float(np.mean(probe.loads)), "latency ms": rows}, indent=1))


if __name__ == "__main__":
    main()
