"""``python -m seg2d3d_ros`` is the same as ``seg2d3d``."""

import sys

from seg2d3d_ros.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
