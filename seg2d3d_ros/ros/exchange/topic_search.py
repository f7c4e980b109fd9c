"""Topics that may be inputs: which of the graph's, and what is said where a named one is not there."""

from __future__ import annotations

import difflib
import time
from collections.abc import Mapping, Sequence

from rclpy.node import Node

from seg2d3d_ros.findings import ERROR, Finding, Kind
from seg2d3d_ros.recording.topics import TopicTypes
from seg2d3d_ros.ros.node.managed_node import ManagedNode

TOPICS_ABSENT = Kind(
    "topics_absent",
    "named topics that nobody publishes",
    cause="{advice}",
    remedy="correct the name, or start the publisher",
    level=ERROR,
)
TOPICS_MISTYPED = Kind(
    "topics_mistyped",
    "named topics of another type",
    cause="{advice}",
    remedy="name a topic of the right type",
    level=ERROR,
)
GRACE_SECONDS = 5.0
"""Publishers may be started after this node, and discovery takes a moment."""
SHOWN = 3
"""Similar names that are shown."""
_TRIGGER = "std_srvs/srv/Trigger"
_MARKS = ("flush", "resend")
"""Services of the nodes that process and publish (see ``ManagedNode.serve_flush``, ``reconstruction_node``); no player or
driver has one of them."""


def graph_of(node: Node) -> dict[str, list[str]]:
    """Topics that have a publisher, with their types."""
    return {name: types for name, types in node.get_topic_names_and_types() if node.count_publishers(name)}


def without_results(node: Node, graph: TopicTypes, types: Sequence[str]) -> dict[str, Sequence[str]]:
    """The topics that may be inputs: none of a pipeline's results, of this one or another one in the same domain.

    A topic is a result where its name lies below a pipeline's namespace (also in a recording that is played), or where all
    of its publishers are nodes of this package that process something, whatever they are called.

    Args:
        types: publishers are looked up for topics of these types only.
    """
    services = {name for name, kinds in node.get_service_names_and_types() if _TRIGGER in kinds}
    own = node.get_namespace().rstrip("/")
    below = tuple(f"{place}/{part}/" for place in {own, *pipelines(graph)} for part in ("keyframes", "instances", "map"))
    found = {}
    for name, kinds in graph.items():
        if name.startswith(below):
            continue
        if not set(types).isdisjoint(kinds):
            makers = {f"{p.node_namespace.rstrip('/')}/{p.node_name}" for p in node.get_publishers_info_by_topic(name)}
            if makers and all(any(f"{maker}/{mark}" in services for mark in _MARKS) for maker in makers):
                continue
        found[name] = kinds
    return found


def pipelines(graph: TopicTypes) -> set[str]:
    """The namespaces in which keyframes are published."""
    image, info = "/keyframes/image/compressed", "/keyframes/camera_info"
    places = {name.removesuffix(image) for name in graph if name.endswith(image)}
    return {place for place in places if f"{place}{info}" in graph}


class NamedTopics:
    """Says which of the topics that the user named are absent or of another type, as long as they are so."""

    def __init__(self, node: ManagedNode) -> None:
        self._node = node
        self._since: dict[str, float] = {}
        self._absent: dict[str, str] = {}
        self._mistyped: dict[str, str] = {}

    def check(self, topic: str, types: Sequence[str], graph: TopicTypes, also: Sequence[str] = ()) -> str:
        """The topic's name where it is there with one of these types, or the first of ``also``; empty where none is.

        Call it again and again, so that what is missing stays in /diagnostics.
        """
        there = [name for name in (topic, *also) if not set(types).isdisjoint(graph.get(name, ()))]
        kinds = graph.get(topic, ())
        self._absent.pop(topic, None)
        self._mistyped.pop(topic, None)
        if there:
            self._since.pop(topic, None)
        elif kinds:
            self._mistyped[topic] = f"{topic} is a {', '.join(kinds)}; {self._similar(topic, types, graph)}"
        elif time.monotonic() - self._since.setdefault(topic, time.monotonic()) > GRACE_SECONDS:
            self._absent[topic] = f"{topic} has no publisher; {self._similar(topic, types, graph)}"
        for kind, found in ((TOPICS_ABSENT, self._absent), (TOPICS_MISTYPED, self._mistyped)):
            told = Finding(kind, len(found), examples=tuple(found)[:SHOWN], details={"advice": "; ".join(found.values())})
            self._node.diagnostics.findings.put(told)
        return there[0] if there else ""

    def _similar(self, topic: str, types: Sequence[str], graph: TopicTypes) -> str:
        return similar(topic, types, without_results(self._node, graph, types))


def similar(topic: str, types: Sequence[str], graph: Mapping[str, Sequence[str]]) -> str:
    """The topics of these types with the nearest names, in words."""
    fitting = [name for name, kinds in graph.items() if not set(types).isdisjoint(kinds)]
    short = " or ".join(dict.fromkeys(kind.rpartition("/")[2] for kind in types))
    if not fitting:
        return f"no topic of type {short} is in the graph: is the driver running, and ROS_DOMAIN_ID the same?"
    near = difflib.get_close_matches(topic, fitting, SHOWN, cutoff=0.0)
    return f"of type {short} there {'is' if len(fitting) == 1 else 'are'} {', '.join(near)}" + ", …" * (len(fitting) > SHOWN)
