"""The HTML report of a map directory."""

from seg2d3d_ros.report.page import write_report

__all__ = ["write_report"]
