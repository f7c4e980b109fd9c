"""``seg2d3d evaluate``: measure a map against ground truth, beside baselines."""

from __future__ import annotations

import argparse
from pathlib import Path

from seg2d3d_ros.cli.output.telling import tell_result

INTERRUPTED = "{map} is as it was; call the same command again"
EXAMPLES = ("seg2d3d evaluate map --truth street/truth",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The contract's options (design, section 3)."""
    parser.add_argument("map", type=Path, metavar="MAP", help="map directory")
    parser.add_argument(
        "--truth",
        type=Path,
        required=True,
        metavar="DIR",
        help="uint16 PNG per image, named by the image's stem: object id per pixel, 0 = background, 65535 = ignore",
    )
    parser.add_argument(
        "--truth-was-input",
        action="store_true",
        help="measure even if the truth is what the map was given as masks: then only the association is measured",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the result there too; it is always in MAP/metrics.json"
    )


def run(args: argparse.Namespace) -> int:
    """Print the table, keep the result, and show it in the map's report."""
    from seg2d3d_ros.disk.atomic import write_json
    from seg2d3d_ros.evaluation.measure import evaluate_map
    from seg2d3d_ros.evaluation.table import format_result
    from seg2d3d_ros.mapstore.held_map import change_map
    from seg2d3d_ros.progress import one_stage
    from seg2d3d_ros.report.page import write_report

    with change_map(args.map) as held:
        with one_stage("measuring"):
            result = evaluate_map(args.map, args.truth, truth_was_input=args.truth_was_input)
        tell_result(format_result(result), truth=result)
        if args.json is not None:
            write_json(args.json, result)
        held.store.update_metrics({"truth": result})
        if (held.store.root / "report.html").exists():
            write_report(held.store.root)
    return 0
