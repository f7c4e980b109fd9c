"""``seg2d3d superpoints MAP``: a cloud of a map in small pieces of surface, with its labels completed over them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg2d3d_ros.cli.output.telling import tell_findings, tell_result
from seg2d3d_ros.superpoints.clouds import CLOUDS

if TYPE_CHECKING:
    from seg2d3d_ros.mapstore.store import MapStore
    from seg2d3d_ros.superpoints.map_superpoints import MapSuperpoints

INTERRUPTED = "{out} is as it was; call the same command again"
EXAMPLES = ("seg2d3d superpoints map --cloud dense --out pieces.ply",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("map", type=Path, metavar="MAP", help="map directory")
    parser.add_argument(
        "--cloud",
        default="points",
        choices=list(CLOUDS),
        help="points = points.ply (default), lidar = cloud.ply, dense = dense.ply",
    )
    parser.add_argument(
        "--geometric-only",
        action="store_true",
        help="by geometry and colour alone, without the borders that the views show",
    )
    parser.add_argument("--scale", type=float, metavar="S", help="the larger, the larger the superpoints (superpoints.scale)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the PLY to write, outside the map")


def run(args: argparse.Namespace) -> int:
    """Write the cloud in the superpoints' colours, with their numbers as a column."""
    from seg2d3d_ros.errors import UsageError
    from seg2d3d_ros.mapstore.held_map import look_into, real
    from seg2d3d_ros.superpoints.superpoint_file import write_superpoints

    store = look_into(args.map)
    if real(args.out).is_relative_to(real(args.map)):
        raise UsageError(f"{args.out}: lies in the map directory, which holds the map's own files alone; choose another --out")
    changes = {} if args.scale is None else {"superpoints.scale": args.scale}
    found = superpoints_of(store, args.cloud, by_views=not args.geometric_only, changes=changes)
    write_superpoints(args.out, found)
    tell_result(f"{args.out}: {found.words}", out=args.out)
    return 0


def superpoints_of(
    store: MapStore, cloud: str, *, by_views: bool = True, changes: Mapping[str, Any] | None = None
) -> MapSuperpoints:
    """Divide a cloud of a map with the map's own parameters, and print what was found doubtful.

    Args:
        cloud: one of ``CLOUDS``.
        by_views: keep the borders that the views show.
        changes: parameters that are not the map's.
    """
    from seg2d3d_ros.config import load_config
    from seg2d3d_ros.findings import Findings
    from seg2d3d_ros.progress import ProgressBars
    from seg2d3d_ros.superpoints.map_superpoints import map_superpoints

    file = store.root / "config.yaml"
    config = load_config(file=file if file.exists() else None, overrides=changes or {})
    findings, progress, reach = Findings(), ProgressBars(), config.cloud.max_range
    try:
        found = map_superpoints(
            store, cloud, config.superpoints, max_range=reach, by_views=by_views, findings=findings, progress=progress
        )
    finally:
        progress.close()
    tell_findings(findings.list())
    return found
