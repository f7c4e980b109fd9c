"""``seg2d3d city``: many drives in, one map of blocks out, on this machine or on a Ray cluster."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seg2d3d_ros.city.cutting.block_cut import LIMIT, OVERLAP, CutLimits
from seg2d3d_ros.cli.arguments.options import config_from_args
from seg2d3d_ros.cli.making.building import add_map_arguments, overrides_from_args
from seg2d3d_ros.cli.output.telling import tell, tell_findings, tell_result
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.progress import ProgressBars

INTERRUPTED = "finished blocks are in {out}/blocks; the same command goes on with the others"
EXAMPLES = (
    "seg2d3d city monday.mcap tuesday.mcap --label building --out city",
    "seg2d3d city day1/ day2/ --label building --segments masks1/ --segments masks2/ --out city --workers 2",
)
LEAST = 20
"""Keyframes of a block below which it is none."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The contract's options (design, section 9)."""
    parser.add_argument(
        "drives", nargs="+", type=Path, metavar="BAG|FOLDER", help="recordings and folders of photographs, each a drive"
    )
    add_map_arguments(parser, drives=True)
    parser.add_argument(
        "--camera",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="camera.json with the intrinsics of folders; once for all, or once for each drive",
    )
    parser.add_argument(
        "--gps",
        action="append",
        default=[],
        metavar="exif|none|FILE",
        help="positions of folders: from EXIF (default), a CSV file, or none; once for all, or once for each drive",
    )
    group = parser.add_argument_group("blocks, and who makes them")
    group.add_argument(
        "--block-keyframes", type=int, default=LIMIT, metavar="N", help=f"keyframes of a block at most (default {LIMIT})"
    )
    group.add_argument(
        "--overlap",
        type=float,
        default=OVERLAP,
        metavar="METRES",
        help=f"a block also gets the keyframes that are this near to its own (default {OVERLAP:g})",
    )
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes on this machine, each making one block (default: one for two cores; 0 = no Ray, one after the other)",
    )
    group.add_argument(
        "--address", default="", metavar="HOST:PORT", help="a Ray cluster whose machines see --out under the same path"
    )
    group.add_argument("--block-cpus", type=int, default=1, metavar="N", help="cores of a cluster for each block (default 1)")


def run(args: argparse.Namespace) -> int:
    """Make the city, or go on with it."""
    from seg2d3d_ros.city.city_making import make_city
    from seg2d3d_ros.city.drives.drive_source import drive_sources

    if args.block_keyframes < LEAST or args.overlap <= 0:
        raise UsageError(f"--block-keyframes must be {LEAST} or more, and --overlap more than 0 metres")
    sources = drive_sources(args.drives, args.segments, args.gps, args.camera)
    args.segments = args.segments[0] if args.segments else None
    config = config_from_args(args, overrides_from_args(args))
    if config.reconstruction.model:
        raise UsageError("reconstruction.model, a finished model, is for `seg2d3d run`: a city makes its own")
    workers, note = _workers(args)
    limits = CutLimits(args.block_keyframes, args.overlap)
    findings, progress = Findings(), ProgressBars()
    if note:
        tell(f"note: {note}")
    try:
        index = make_city(args.out, sources, config, limits, workers, findings=findings, progress=progress)
    finally:
        progress.close()
    tell_findings(findings.list(), told=True)
    page = args.out / "report.html"
    tell_result(summary(index), f"open {page}", city=args.out, report=page, counts=index["counts"])
    if not index["counts"]["instances"] and config.segmentation.segmenter != "none":
        asked = " or ".join(config.segmentation.prompts)
        raise DataError(f"{args.out}: no {asked} was found in any block; the reports of the blocks say why")
    return 0


def _workers(args: argparse.Namespace) -> tuple[Any, str]:
    """Who makes the blocks, and what is to be said of it."""
    import os

    from seg2d3d_ros.city.blocks.ray_tasks import HOW_TO_INSTALL, ray_is_installed
    from seg2d3d_ros.city.blocks.workers import Workers

    if (args.workers or 0) < 0 or args.block_cpus < 1:
        raise UsageError("--workers must be 0 or more, and --block-cpus 1 or more")
    if args.address and args.workers is not None:
        raise UsageError("--workers is of this machine, --address of a cluster; give one of them")
    wanted = bool(args.workers or args.address)
    if wanted and not ray_is_installed():
        raise UsageError(f"--workers and --address need Ray: {HOW_TO_INSTALL}; --workers 0 makes one block after the other")
    if args.address:
        return Workers(0, args.address, args.block_cpus), ""
    if args.workers is None:
        if not ray_is_installed():
            return Workers(), f"Ray is not installed ({HOW_TO_INSTALL}): blocks are made one after the other"
        return Workers(max(1, (os.cpu_count() or 1) // 2)), ""
    return Workers(args.workers), ""


def summary(index: Mapping[str, Any]) -> str:
    """The result in a few lines."""
    counts = index["counts"]
    lines = [
        f"{counts['blocks_made']} of {counts['blocks']} blocks made, {counts['blocks_joined']} of them in one frame",
        f"{counts['registered']} of {counts['keyframes']} keyframes of {counts['drives']} drives are in it",
        f"{counts['instances']} instances, {counts['instances_of_several_blocks']} of them seen by several blocks",
    ]
    for finding in index["findings"]:
        drive = f"{finding['drive']}: " if finding.get("drive") else ""
        lines.append(f"note: {drive}{finding['text']}")
    for finding in index["findings_of_blocks"]:
        if finding["level"] != "note":
            count = len(finding["blocks"])
            where = "1 block" if count == 1 else f"{count} blocks, {finding['count']} in all"
            lines.append(f"note: in {where}: {finding['text']}")
    return "\n".join(lines)
