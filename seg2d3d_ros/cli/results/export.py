"""``seg2d3d export``: a map in another format."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from seg2d3d_ros.city.city_folder import is_city
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
    parser.add_argument("map", type=Path, help="map directory, or that of a city")
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

    chosen = FORMATS[args.format]
    if is_city(args.map):
        return _city(args, chosen)
    if not (args.map / "tracks.json").exists():
        raise UsageError(f"{args.map}: no map directory (tracks.json is missing); make one with 'seg2d3d run'")
    _check_options(args, chosen)
    store = look_into(args.map)
    _check_out(args, chosen)
    findings, completed = Findings(), None
    if args.superpoints:
        from seg2d3d_ros.cli.learning.superpoints import superpoints_of

        found = superpoints_of(store, args.cloud)
        tell_result(found.words)
        completed = found.points
    contents = Contents.of(
        store,
        crs=_crs(args, chosen),
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
    return _tell(args, summary, findings)


def _city(args: argparse.Namespace, chosen: Format) -> int:
    """The same of a city, block by block."""
    from seg2d3d_ros.city.outputs.block_contents import city_contents
    from seg2d3d_ros.city.outputs.opened_city import OpenedCity
    from seg2d3d_ros.export.clouds.asprs import parse_codes
    from seg2d3d_ros.export.contents import NOTHING_FOUND

    if not chosen.parts:
        able = ", ".join(name for name, item in FORMATS.items() if item.parts)
        raise UsageError(
            f"--format {args.format}: a city is written as {able}; its blocks are maps: seg2d3d export {args.map}/blocks/NAME"
        )
    if args.superpoints:
        raise UsageError(f"--superpoints: of a city's blocks: seg2d3d export {args.map}/blocks/NAME")
    _check_options(args, chosen)
    city, findings = OpenedCity(args.map), Findings()
    _check_out(args, chosen)
    if chosen.instances and not any(city.numbers.values()):
        raise DataError(f"{args.map}: nothing to write as {args.format}: {NOTHING_FOUND.cause}; {NOTHING_FOUND.remedy}")
    parts = city_contents(
        city,
        crs=_crs(args, chosen),
        cloud=args.cloud,
        ids=_ids(args.instances),
        class_codes=parse_codes(args.class_codes),
        findings=findings,
    )
    with one_stage(f"writing {args.format}"):
        summary = importlib.import_module(f"seg2d3d_ros.export.{chosen.module}").export_parts(parts, args.out)
    return _tell(args, summary, findings)


def _tell(args: argparse.Namespace, summary: str, findings: Findings) -> int:
    tell_findings(findings.list(), aside=True)
    tell_result(printable(f"{args.out}: {summary}"), out=args.out, format=args.format)
    return 0


def _crs(args: argparse.Namespace, chosen: Format) -> str | None:
    return chosen.crs or ("local" if chosen.crs == "" else args.crs)


def _check_out(args: argparse.Namespace, chosen: Format) -> None:
    """Refuse a place that cannot be written, before any work."""
    if real(args.out).is_relative_to(real(args.map)):
        raise UsageError(f"{args.out}: lies in the map directory, which holds the map's own files alone; choose another --out")
    if not chosen.folder and args.out.is_dir():
        raise UsageError(f"{args.out}: is a folder; --format {args.format} writes a file")


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
