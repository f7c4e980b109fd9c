"""``seg2d3d report MAP``: write MAP/report.html."""

from __future__ import annotations

import argparse
from pathlib import Path

from seg2d3d_ros.city.city_folder import CityFolder, is_city
from seg2d3d_ros.cli.output.telling import tell_result

INTERRUPTED = "{map} is as it was; call the same command again"
EXAMPLES = ("seg2d3d report map",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("map", type=Path, metavar="MAP", help="the map directory, or that of a city")


def run(args: argparse.Namespace) -> int:
    """Write the report and say where it is."""
    from seg2d3d_ros.mapstore.held_map import change_map
    from seg2d3d_ros.progress import one_stage
    from seg2d3d_ros.report import write_report

    if is_city(args.map):
        from seg2d3d_ros.city.outputs.overview_page import write_overview

        folder = CityFolder(args.map)
        with folder.hold():
            path = write_overview(folder)
        tell_result(f"{path}: open it in any browser ({path.resolve().as_uri()})", report=path)
        return 0
    with change_map(args.map), one_stage("report"):
        path = write_report(args.map)
    tell_result(f"{path}: open it in any browser ({path.resolve().as_uri()})", report=path)
    return 0
