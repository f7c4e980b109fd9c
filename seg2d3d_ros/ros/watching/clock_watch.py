"""A node with use_sim_time and without /clock: ROS's time stands at 0, which nothing else would show."""

from __future__ import annotations

import time

from rclpy.node import Node

from seg2d3d_ros.findings import Finding, Findings, Kind

CLOCK_SILENT = Kind(
    "clock_silent",
    "nodes with use_sim_time whose clock stands still",
    cause="nothing comes on /clock",
    remedy="let the player or simulator publish it (ros2 bag play --clock), or set use_sim_time:=false",
)
CLOCK_SECONDS = 15.0
"""How long a node waits for a publisher of /clock before it says so, …"""
BEGIN_SECONDS = 60.0
"""… and for the time of one that is there: a player waits for its subscribers."""


class ClockWatch:
    """Call ``look`` once a second."""

    def __init__(self, node: Node, findings: Findings) -> None:
        self._node, self._findings = node, findings
        self._since = time.monotonic()

    def look(self) -> None:
        """Find out whether the clock runs."""
        if not self._node.get_parameter("use_sim_time").value or self._node.get_clock().now().nanoseconds:
            self._since = time.monotonic()
            self._findings.put(Finding(CLOCK_SILENT, 0))
        elif time.monotonic() - self._since > (BEGIN_SECONDS if self._node.count_publishers("/clock") else CLOCK_SECONDS):
            self._findings.put(Finding(CLOCK_SILENT, 1, examples=(self._node.get_name(),)))
