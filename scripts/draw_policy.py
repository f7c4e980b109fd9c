#!/usr/bin/env python3
"""Write config/sros2/policy.xml, the rights of each node under SROS 2, from what the nodes really create.

Needs rclpy. The nodes are started once, on a ROS domain of their own; what depends on the vehicle or on packages that need not
be installed is in the tables here. test/nodes/test_ros_graph_names.py holds the file against the nodes.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "config/sros2/policy.xml"
NAMESPACE = "/seg2d3d"
DOMAIN = 231
"""Of ROS, where nobody else is expected."""
SAME = 5
"""Looks at the graph that must agree: it is told piece by piece."""
KINDS = {
    "publish": ("topics", "topic"),
    "subscribe": ("topics", "topic"),
    "reply": ("services", "service"),
    "request": ("services", "service"),
}
"""By right: the group and its entries in the policy."""
SITE: dict[str, dict[str, list[str]]] = {
    "keyframe_node": {"subscribe": ["/*/image_raw", "/*/image_raw/compressed", "/*/camera_info", "/fix"]},
    "reconstruction_node": {"subscribe": ["/odom", "/pose", "/imu"], "publish": ["map/path/*"]},
    "segmentation_node": {"subscribe": ["/*/segments"]},
    "cloud_node": {"subscribe": ["/lidar/points"]},
}
"""Names that depend on the vehicle: replace them by yours. A star stands for any text."""
OPTIONAL: dict[str, dict[str, list[str]]] = {
    "association_node": {"publish": ["instances/tracks", "instances/boxes"]},
    "reconstruction_node": {"publish": ["/tf"], "subscribe": ["/tf_static", "keyframes/segments", "keyframes/classes"]},
    "segmentation_node": {"subscribe": ["keyframes/prompts"], "reply": ["segmentation_node/resegment"]},
    "cloud_node": {"subscribe": ["/tf", "/tf_static"]},
}
"""Only where vision_msgs and tf2_msgs are installed, or parameters ask for it."""
ALWAYS = {"subscribe": ["/clock"]}
"""With use_sim_time."""


def nodes(folder: Path) -> list[tuple[type, dict[str, Any]]]:
    """The classes of all nodes with the parameters that let them be activated."""
    from seg2d3d_ros.nodes.association_node import AssociationNode
    from seg2d3d_ros.nodes.cloud_node import CloudNode
    from seg2d3d_ros.nodes.keyframe_node import KeyframeNode
    from seg2d3d_ros.nodes.prompt_node import PromptNode
    from seg2d3d_ros.nodes.reconstruction_node import ReconstructionNode
    from seg2d3d_ros.nodes.segmentation_node import SegmentationNode

    here = {"map_dir": str(folder / "map")}
    return [
        (ReconstructionNode, {**here, "segmentation.segmenter": "topic"}),
        (AssociationNode, here),
        (SegmentationNode, {"segmentation.segmenter": "topic"}),
        (KeyframeNode, {}),
        (CloudNode, {**here, "cloud_topic": "/lidar/points"}),
        (PromptNode, here),
    ]


@contextmanager
def running(domain: int, folder: Path) -> Iterator[tuple[Any, list[Any]]]:
    """A plain node that looks on, and all nodes, active."""
    import rclpy
    from rclpy.context import Context
    from rclpy.node import Node
    from rclpy.parameter import Parameter

    context = Context()
    rclpy.init(context=context, domain_id=domain)
    probe, made = Node("probe", context=context), []
    try:
        for make, parameters in nodes(folder):
            overrides = [Parameter(name, value=value) for name, value in parameters.items()]
            made.append(make(context=context, parameter_overrides=overrides))
            made[-1].start()
        yield probe, made
    finally:
        for node in reversed(made):
            node.close()
        probe.destroy_node()
        rclpy.shutdown(context=context)


def names_of(probe: Any, node: Any) -> dict[str, list[str]]:
    """By right, the full names of what a node has made, as the graph tells them; waits until it tells of all."""
    name = node.get_name()
    look = {
        "publish": probe.get_publisher_names_and_types_by_node,
        "subscribe": probe.get_subscriber_names_and_types_by_node,
        "reply": probe.get_service_names_and_types_by_node,
        "request": probe.get_client_names_and_types_by_node,
    }
    own = {
        "publish": {one.topic_name for one in node.publishers},
        "subscribe": {one.topic_name for one in node.subscriptions},
        "reply": {node.resolve_service_name(one.srv_name) for one in node.services},
        "request": {node.resolve_service_name(one.srv_name) for one in node.clients},
    }
    before, same = dict[str, list[str]](), 0
    for _ in range(600):
        found = {right: sorted(topic for topic, _ in ask(name, NAMESPACE)) for right, ask in look.items()}
        same = same + 1 if found == before and all(own[right] <= set(found[right]) for right in look) else 0
        if same == SAME:
            return found
        before = found
        time.sleep(0.2)
    raise RuntimeError(f"{name} does not appear whole in the graph: {own} of {before}")


def absolute(name: str) -> str:
    """The full name of one in the tables."""
    return name if name.startswith("/") else f"{NAMESPACE}/{name}"


def allowed(name: str, found: dict[str, list[str]]) -> dict[str, list[str]]:
    """By right, what a node of this name may do: what it makes, and what the tables add."""
    rights = {}
    for right in KINDS:
        more = [*SITE.get(name, {}).get(right, []), *OPTIONAL.get(name, {}).get(right, []), *ALWAYS.get(right, [])]
        rights[right] = sorted({*found.get(right, []), *map(absolute, more)})
    return rights


def document(found: dict[str, dict[str, list[str]]]) -> str:
    """The policy: an enclave for each node by itself, and one for all in one process."""
    profiles = {name: profile(name, allowed(name, made)) for name, made in found.items()}
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        "<!-- Rights of the nodes under SROS 2, made by scripts/draw_policy.py; how to use them: docs/operations.md.",
        "     Topics of cameras, positions, LiDAR and masks are examples: put your vehicle's in their place. -->",
        '<policy version="0.2.0">',
        "  <enclaves>",
    ]
    for name, text in profiles.items():
        lines += [f'    <enclave path="{NAMESPACE}/{name}">', "      <profiles>", *text, "      </profiles>", "    </enclave>"]
    lines += [f'    <enclave path="{NAMESPACE}/pipeline">', "      <profiles>"]
    for text in profiles.values():
        lines += text
    lines += ["      </profiles>", "    </enclave>", "  </enclaves>", "</policy>", ""]
    return "\n".join(lines)


def profile(name: str, rights: dict[str, list[str]]) -> list[str]:
    """The lines of one node."""
    lines = [f'        <profile ns="{NAMESPACE}" node="{name}">']
    for right, (group, entry) in KINDS.items():
        if names := rights[right]:
            lines.append(f'          <{group} {right}="ALLOW">')
            lines += [f"            <{entry}>{escape(one)}</{entry}>" for one in names]
            lines.append(f"          </{group}>")
    return [*lines, "        </profile>"]


def main() -> None:
    """Start the nodes and write the file."""
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with tempfile.TemporaryDirectory() as folder, running(DOMAIN, Path(folder)) as (probe, made):
        found = {node.get_name(): names_of(probe, node) for node in made}
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(document(found))


if __name__ == "__main__":
    main()
