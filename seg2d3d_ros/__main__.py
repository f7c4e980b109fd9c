"""``python -m seg2d3d_ros`` is the same as ``seg2d3d``."""

import sys

try:
    from seg2d3d_ros.cli.main import main
except KeyboardInterrupt:  # nobody looks after it yet
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main())
