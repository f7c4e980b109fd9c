"""``seg2d3d compare MAP --with FILE|MAP``: control against a register, or what changed between two drives."""

from __future__ import annotations

import argparse
from pathlib import Path

from seg2d3d_ros.cli.output.telling import tell_findings, tell_result
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.findings import Findings, printable
from seg2d3d_ros.mapstore.held_map import real
from seg2d3d_ros.progress import one_stage

WITHIN, MOVED = 5.0, 1.0

INTERRUPTED = "{map} is as it was; call the same command again"
EXAMPLES = (
    "seg2d3d compare map --with cadastre.gpkg --page control.html",
    "seg2d3d compare autumn --with spring --out changes.gpkg",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``MAP --with FILE|MAP [--out FILE.gpkg]``."""
    parser.add_argument("map", type=Path, metavar="MAP", help="map directory, with positions on the Earth")
    parser.add_argument(
        "--with",
        dest="other",
        type=Path,
        required=True,
        metavar="FILE|MAP",
        help="a register (GeoPackage, GeoJSON, Shapefile, …), or the map of another drive",
    )
    parser.add_argument(
        "--within", type=float, default=WITHIN, metavar="M", help=f"how far apart at most (default {WITHIN:g} m)"
    )
    parser.add_argument(
        "--moved", type=float, default=MOVED, metavar="M", help=f"from where on a thing has moved (default {MOVED:g} m)"
    )
    parser.add_argument("--layer", metavar="NAME", help="of the register")
    parser.add_argument(
        "--id-field", metavar="NAME", help="the register's field that names its things (default: the feature id)"
    )
    parser.add_argument("--with-crs", metavar="EPSG:CODE", help="the register's system, if its file does not say it")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the rows with their shapes there, a GeoPackage")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write a page to look at, HTML")


def run(args: argparse.Namespace) -> int:
    """Print the table, and write the files that were asked for; 1 where nothing of the two agrees."""
    from seg2d3d_ros.comparison.comparing import compare_map, summary
    from seg2d3d_ros.comparison.comparison_file import write_comparison
    from seg2d3d_ros.comparison.comparison_page import write_page

    if not (args.within > 0 and args.moved > 0):
        raise UsageError("--within and --moved: more than 0 metres")
    for path in (args.out, args.page):
        if path is not None and real(path).is_relative_to(real(args.map)):
            raise UsageError(f"{path}: lies in the map directory, which holds the map's own files alone; choose another name")
    findings = Findings()
    options = {"layer": args.layer, "id_field": args.id_field, "crs": args.with_crs}
    with one_stage("comparing"):
        result = compare_map(args.map, args.other, findings, within=args.within, moved=args.moved, **options)
    if args.out is not None:
        write_comparison(result, args.out)
    if args.page is not None:
        write_page(result, args.page, f"{args.map} against {args.other}")
    tell_findings(findings.list(), aside=True)
    lines = []
    for row in result.rows:
        if row.status not in ("matched", "unseen"):
            far = "" if row.distance is None else f"{row.distance:.2f} m"
            lines.append(printable(f"  {row.status:<9}{row.instance or '-':>8}  {row.known or '-':<16} {row.kind:<16} {far}"))
    lines += [f"{status:<9}{words}" for status, words in summary(result).items()]
    tell_result(*lines, **result.to_json())
    return 0 if any(row.distance is not None for row in result.rows) else 1
