"""Map directory → one self-contained HTML page with plan, pictures, warnings and figures."""

from seg2d3d_ros.report.page import write_report

__all__ = ["write_report"]
