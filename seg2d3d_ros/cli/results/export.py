"""``seg2d3d export``: a map in another format."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from seg2d3d_ros.cli.output.telling import tell_findings, tell_result
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.export.formats import FORMATS, Format
from seg2d3d_ros.findings import Findings, printable
from seg2d3d_ros.mapstore.held_map import look_into, real
from seg2d3d_ros.progress import one_stage

CLOUD_NAMES = ("points", "dense", "lidar")

INTERRUPTED = "{out} is as it was; call the same command again"
EXAMPLES = (
    "seg2d3d export map --format laz --crs EPSG:25833 --out street.laz",
    "seg2d3d export map --format gpkg --out street.gpkg",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``MAP --format NAME --out FILE``."""
    parser.epilog = "formats:\n" + "\n".join(f"  {name:<17}{item.what}" for name, item in FORMATS.items())
    parser.add_argument("map", type=Path, help="map directory")
    parser.add_argument("--format", required=True, choices=list(FORMATS), metavar="NAME", help="one of those below")
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help="the file, or the new folder, to write")
    parser.add_argument(
        "--crs",
        metavar="EPSG:CODE",
        help="coordinate reference system, any that PROJ knows, or 'local' for the map's own frame (default: the UTM zone of "
        "the map; heights above the ellipsoid, unless the system has heights of its own: EPSG:25833+7837)",
    )
    parser.add_argument(
        "--cloud", choices=CLOUD_NAMES, default="points", help="which cloud: sparse points, dense.ply or the LiDAR's cloud.ply"
    )
    parser.add_argument(
        "--superpoints",
        action="store_true",
        help="complete a cloud's labels over superpoints first, also outside all masks",
    )
    parser.add_argument("--instances", metavar="ID,ID…", help="these instances alone (default: all)")
    parser.add_argument(
        "--class-codes", default="", metavar="NAME=CODE,…", help="ASPRS classes of points beside the usual ones (building = 6)"
    )


def run(args: argparse.Namespace) -> int:
    """Write the file or folder."""
    from seg2d3d_ros.export.clouds.asprs import parse_codes
    from seg2d3d_ros.export.contents import NOTHING_FOUND, Contents

    if not (args.map / "tracks.json").exists():
        raise UsageError(f"{args.map}: no map directory (tracks.json is missing); make one with 'seg2d3d run'")
    chosen = FORMATS[args.format]
    _check_options(args, chosen)
    store = look_into(args.map)
    if real(args.out).is_relative_to(real(args.map)):
        raise UsageError(f"{args.out}: lies in the map directory, which holds the map's own files alone; choose another --out")
    if not chosen.folder and args.out.is_dir():
        raise UsageError(f"{args.out}: is a folder; --format {args.format} writes a file")
    findings, completed = Findings(), None
    if args.superpoints:
        from seg2d3d_ros.cli.learning.superpoints import superpoints_of

        found = superpoints_of(store, args.cloud)
        tell_result(found.words)
        completed = found.points
    contents = Contents.of(
        store,
        crs=chosen.crs or ("local" if chosen.crs == "" else args.crs),
        cloud=args.cloud,
        ids=_ids(args.instances),
        class_codes=parse_codes(args.class_codes),
        findings=findings,
        completed=completed,
    )
    if chosen.instances and not contents.instances:
        raise DataError(f"{args.map}: nothing to write as {args.format}: {NOTHING_FOUND.cause}; {NOTHING_FOUND.remedy}")
    with one_stage(f"writing {args.format}"):
        summary = importlib.import_module(f"seg2d3d_ros.export.{chosen.module}").export(contents, args.out)
    tell_findings(findings.list(), aside=True)
    tell_result(printable(f"{args.out}: {summary}"), out=args.out, format=args.format)
    return 0


def _check_options(args: argparse.Namespace, chosen: Format) -> None:
    """Refuse an option that the format does not heed, before any work."""
    if args.crs is not None and chosen.crs is not None and args.crs.upper() != chosen.crs:
        fixed = f"is always in {chosen.crs}" if chosen.crs else "is in the map's own frame, or has no places"
        raise UsageError(f"--crs {args.crs}: the format {args.format} {fixed}")
    if args.cloud != "points" and not chosen.cloud:
        raise UsageError(f"--cloud {args.cloud}: the format {args.format} holds no cloud")
    if args.superpoints and not chosen.cloud:
        raise UsageError(f"--superpoints: the format {args.format} holds no cloud")


def _ids(text: str | None) -> list[int] | None:
    if text is None:
        return None
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isdigit() for word in words):
        raise UsageError(f"--instances {text}: numbers separated by commas, e.g. 3,7,12")
    return [int(word) for word in words]
