"""``seg2d3d regroup MAP``: another granularity for a map of overlapping masks; nothing is segmented or reconstructed again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from seg2d3d_ros.cli.output.telling import tell_findings, tell_result
from seg2d3d_ros.cli.processes.supervisor import tell_if_interrupted

INTERRUPTED = "{map} is as it was; call the same command again"
EXAMPLES = ("seg2d3d regroup map --granularity coarse",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("map", type=Path, metavar="MAP", help="a map that was made with overlapping masks")
    parser.add_argument(
        "--granularity",
        default="auto",
        metavar="LEVEL",
        help="coarse = whole objects, fine = their smallest parts, auto = the views decide (default), or a level: 0, 1, …",
    )
    parser.add_argument(
        "--recover",
        action=argparse.BooleanOptionalAction,
        help="draw objects where the detector missed them, from other views; default: as the map was made",
    )
    parser.add_argument(
        "--edits",
        action=argparse.BooleanOptionalAction,
        help="make people's corrections (MAP/edits.jsonl) again (the default); --no-edits: the raw result, the log stays",
    )


def run(args: argparse.Namespace) -> int:
    """Choose anew; the old map stays until the new one is whole. Instances that stay keep their ids."""
    from seg2d3d_ros.cli.making.building import summary
    from seg2d3d_ros.config import load_config
    from seg2d3d_ros.errors import DataError
    from seg2d3d_ros.findings import Findings
    from seg2d3d_ros.granularity.cut import check_granularity
    from seg2d3d_ros.mapstore.changed_copy import changed_copy
    from seg2d3d_ros.mapstore.held_map import change_map
    from seg2d3d_ros.pipeline.regrouping import regroup
    from seg2d3d_ros.progress import ProgressBars
    from seg2d3d_ros.report.overlays import write_overlays
    from seg2d3d_ros.report.page import write_report

    changes: dict[str, Any] = {"association.granularity": check_granularity(args.granularity)}
    if args.recover is not None:
        changes["association.recover"] = args.recover
    if args.edits is not None:
        changes["association.edits"] = args.edits
    with change_map(args.map) as held:
        root = held.store.root
        if not held.store.overlapping_names():
            raise DataError(
                f"{args.map}: has no overlapping masks to choose from; make the map with --segmenter everything, or with "
                "--segments and --granularity"
            )
        config = load_config(file=root / "config.yaml", overrides=changes)
    findings, progress = Findings(), ProgressBars()
    with changed_copy(args.map) as new:
        try:
            progress("association", 0, 1)
            regroup(new.store, config, progress)
            progress("association", 1, 1)
            write_overlays(new.store, config.association.overlay_width, findings, progress)
        finally:
            progress.close()
        write_report(new.store.root)
        words, counts = summary(new.store, config), new.store.read_metrics()["counts"]
        new.publish()
    tell_if_interrupted("the map is whole")
    tell_findings(findings.list(), told=True)
    tell_result(words, f"open {args.map / 'report.html'}", map=args.map, counts=counts)
    return 0
