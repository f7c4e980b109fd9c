"""graph_doctor: listens to a running graph and says what the pipeline would do with it (``seg2d3d doctor --live``).

Ends with 0 where a map could be made, with 1 where something prevents it.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.utilities import remove_ros_args

from seg2d3d_ros.errors import Seg2d3dError
from seg2d3d_ros.findings import printable
from seg2d3d_ros.ros.graph_check.graph_listener import GraphListener
from seg2d3d_ros.ros.graph_check.graph_verdict import verdict, works
from seg2d3d_ros.ros.graph_check.heard_topics import GraphHeard

NAME = "seg2d3d_doctor"


def listen(seconds: float, args: Sequence[str] | None = None) -> GraphHeard:
    """Listen so long.

    Args:
        args: of ROS; None = the command line.
    """
    rclpy.init(args=None if args is None else list(args))
    node = Node(NAME, namespace=f"/{NAME}")
    executor = SingleThreadedExecutor()
    try:
        listener = GraphListener(node)
        executor.add_node(node)
        over = threading.Event()
        node.create_timer(seconds, over.set)
        while rclpy.ok() and not over.is_set():
            executor.spin_once(timeout_sec=0.5)
        return listener.heard()
    finally:
        executor.shutdown(timeout_sec=1.0)
        node.destroy_node()
        rclpy.try_shutdown()


def run(words: Sequence[str]) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="graph_doctor", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--cameras", nargs="*", default=[], metavar="TOPIC")
    parser.add_argument("--fix", default="", metavar="TOPIC")
    args = parser.parse_args(remove_ros_args(["graph_doctor", *words])[1:])
    try:
        graph = listen(args.seconds, list(words))
        lines = verdict(graph, args.cameras, args.fix)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 130
    except Seg2d3dError as error:
        sys.stderr.write(f"{printable(str(error))}\n")
        return error.exit_code
    for line in lines:
        print(printable(f"{line.level:<8} {line.subject}: {line.text}"))
    fine = works(lines)
    print("a map can be made of this" if fine else "no map can be made of this before the errors are mended")
    return 0 if fine else 1


def main() -> None:
    """Console script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
