"""Notices a second node of the same name: two pipelines in one namespace mix their maps."""

from __future__ import annotations

from seg2d3d_ros.findings import ERROR, Finding, Kind
from seg2d3d_ros.ros.node.managed_node import ManagedNode

LOOK_SECONDS = 5.0
DEAD_SECONDS = 30.0
"""A node that was killed stays in DDS's graph for about 20 s; who is seen for longer lives."""

TWIN_NODES = Kind(
    "twin_nodes",
    "other nodes of the same name",
    cause="a second pipeline runs in this ROS domain and namespace: {name} is there more than once, and their messages mix",
    remedy="end one of them, or give one another namespace (namespace:=/second) and another map_dir",
    level=ERROR,
)


class TwinWatch:
    """Make it in ``activate``; the finding goes when the other node goes."""

    def __init__(self, node: ManagedNode) -> None:
        self._node, self._looks = node, 0
        node.every(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        name = self._node.get_fully_qualified_name()
        others = self._node.get_node_names_and_namespaces().count((self._node.get_name(), self._node.get_namespace())) - 1
        self._looks = self._looks + 1 if others > 0 else 0
        lasting = others if self._looks * LOOK_SECONDS > DEAD_SECONDS else 0
        self._node.diagnostics.findings.put(Finding(TWIN_NODES, max(lasting, 0), details={"name": name}))
