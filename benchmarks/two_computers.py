"""The nodes on two computers of a vehicle, each a network namespace of its own: needs root and iproute2.

    python benchmarks/two_computers.py STREET/street.mcap

One has the cameras (bag_player), keyframe_node and segmentation_node, the other one reconstruction_node and association_node
with the map directory. They share a cable (veth) and nothing else: /dev/shm is another one, too. Prints what finalize said.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAMES = ("seg2d3d-front", "seg2d3d-back")
ADDRESSES = ("10.231.7.1/24", "10.231.7.2/24")
CABLE = ("s2d3f", "s2d3b")
START_S, END_S = 60.0, 900.0


def ip(words: str) -> None:
    """Run ``ip`` with these words."""
    subprocess.run(["ip", *shlex.split(words)], check=True)


@contextmanager
def computers() -> Iterator[None]:
    """Two namespaces with a cable between them."""
    try:
        for name in NAMES:
            ip(f"netns add {name}")
        ip(f"link add {CABLE[0]} type veth peer name {CABLE[1]}")
        for name, end, address in zip(NAMES, CABLE, ADDRESSES, strict=True):
            ip(f"link set {end} netns {name}")
            for words in (
                f"addr add {address} dev {end}",
                f"link set {end} up",
                "link set lo up",
                f"link set {end} multicast on",
            ):
                ip(f"-n {name} {words}")
            ip(f"-n {name} route add 224.0.0.0/4 dev {end}")
        yield
    finally:
        for name in NAMES:
            subprocess.run(["ip", "netns", "del", name], check=False)


def start(computer: int, node: str, log: Path, **parameters: str) -> subprocess.Popen[bytes]:
    """A node on one of the computers, with the shared memory of that computer."""
    command = [sys.executable, "-m", f"seg2d3d_ros.nodes.{node}", "--ros-args"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    memory = log.parent / f"shm{computer}"
    memory.mkdir(exist_ok=True)
    inside = f"mount --bind {shlex.quote(str(memory))} /dev/shm && exec {shlex.join(command)}"
    words = ["ip", "netns", "exec", NAMES[computer], "unshare", "--mount", "sh", "-c", inside]
    environment = {**os.environ, "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
    return subprocess.Popen(words, env=environment, stdout=log.open("wb"), stderr=subprocess.STDOUT)


def main() -> None:
    """Set up, play, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bag", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="computers-") as folder, computers():
        here, map_dir = Path(folder), str(Path(folder) / "map")
        nodes = [
            start(1, "association_node", here / "association.log", map_dir=map_dir, prompts="['building']"),
            start(1, "reconstruction_node", here / "reconstruction.log", map_dir=map_dir),
            start(0, "segmentation_node", here / "segmentation.log", **{"segmentation.segmenter": "topic"}),
            start(0, "keyframe_node", here / "keyframes.log"),
        ]
        try:
            waiting = "['finalize','association_node/flush']"
            player = start(
                *(0, "bag_player", here / "player.log"),
                **{
                    "bag": str(args.bag.resolve()),
                    "when_done": "finalize",
                    "wait_for": waiting,
                    "subscriber_timeout": str(START_S),
                },
            )
            code = player.wait(END_S)
        finally:
            for node in nodes:
                node.send_signal(signal.SIGINT)
            for node in nodes:
                node.wait(60)
        said = [line for line in (here / "player.log").read_text().splitlines() if "finalized" in line or "ERROR" in line]
        print("\n".join(said) or (here / "player.log").read_text())
        sys.exit(code)


if __name__ == "__main__":
    main()
