"""For Python programs: ``seg2d3d_ros.run``, ``open_map`` and ``associate``."""
