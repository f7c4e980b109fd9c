"""``seg2d3d report MAP``: write MAP/report.html."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("map", type=Path, metavar="MAP", help="the map directory")


def run(args: argparse.Namespace) -> int:
    """Write the report and say where it is."""
    from seg2d3d_ros.mapstore.held_map import change_map
    from seg2d3d_ros.report import write_report

    with change_map(args.map):
        path = write_report(args.map)
    print(f"{path}: open it in any browser ({path.resolve().as_uri()})")
    return 0
