"""``seg2d3d export``: one exporter per format."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.mapstore.held_map import look_into, real

FORMATS = {"ply": "the labelled cloud, coloured by instance, for any point cloud viewer"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``MAP --format NAME --out FILE``."""
    parser.add_argument("map", type=Path, help="map directory")
    parser.add_argument(
        "--format", required=True, choices=list(FORMATS), help="; ".join(f"{k}: {v}" for k, v in FORMATS.items())
    )
    parser.add_argument(
        "--superpoints", action="store_true", help="complete the labels over superpoints first: also points outside all masks"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write")


def run(args: argparse.Namespace) -> int:
    """Write the file."""
    if not (args.map / "tracks.json").exists():
        raise UsageError(f"{args.map}: no map directory (tracks.json is missing); make one with 'seg2d3d run'")
    store = look_into(args.map)
    if real(args.out).is_relative_to(real(args.map)):
        raise UsageError(f"{args.out}: lies in the map directory, which holds the map's own files alone; choose another --out")
    exporter = importlib.import_module(f"seg2d3d_ros.export.{args.format}")
    if args.superpoints:
        from seg2d3d_ros.cli.learning.superpoints import superpoints_of

        found = superpoints_of(store, "points")
        print(found.words)
        count = exporter.export(store, args.out, found.points)
    else:
        count = exporter.export(store, args.out)
    print(f"{args.out}: {count}")
    return 0
