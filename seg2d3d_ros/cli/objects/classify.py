"""``seg2d3d classify MAP --label house --label shop``: name instances after the drive, without segmenting again."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from seg2d3d_ros.cli.arguments.options import add_words_arguments, config_from_args, words_overrides
from seg2d3d_ros.cli.output.telling import tell_findings, tell_result
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings, printable

if TYPE_CHECKING:
    from seg2d3d_ros.language.classification import Naming

INTERRUPTED = "{map} is as it was, and pictures seen so far are not seen again; call the same command again"
EXAMPLES = ("seg2d3d classify map --label house --label shop --download",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``MAP --label A --label B …``."""
    parser.add_argument("map", type=Path, metavar="MAP", help="map directory")
    parser.add_argument(
        "--label", action="append", required=True, metavar="LABEL", help="what instances may be; again for more, or with commas"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be named, and change nothing but embeddings.npz")
    add_words_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Name the instances, and write the report anew."""
    from seg2d3d_ros.language.classification import INSTANCES_UNNAMED, name_instances
    from seg2d3d_ros.language.embedding import INSTANCES_UNSEEN, VIEWS_UNUSED, embed_map
    from seg2d3d_ros.language.text_image_model import obtain_model
    from seg2d3d_ros.mapstore.held_map import change_map
    from seg2d3d_ros.pipeline.figures import add_findings
    from seg2d3d_ros.progress import ProgressBars
    from seg2d3d_ros.report.page import write_report

    config = config_from_args(args, words_overrides(args))
    labels = [word.strip() for text in args.label for word in text.split(",") if word.strip()]
    findings = Findings()
    with change_map(args.map) as held:
        store = held.store
        model = obtain_model(config.words.model, config.segmentation.networks, findings)
        progress = ProgressBars()
        try:
            embeddings = embed_map(store, model, config.words.views, findings, progress)
        finally:
            progress.close()
        named = name_instances(labels, store.read_tracks(), embeddings, model, config.words.margin, findings)
        if not named:
            raise DataError("; ".join([f"{args.map}: no instance to name", *(f.text for f in findings.list())]))
        if not args.dry_run:
            store.rename_classes({item.id: item.class_name for item in named})
            add_findings(store, findings.list(), instead_of=(INSTANCES_UNSEEN, VIEWS_UNUSED, INSTANCES_UNNAMED))
            write_report(store.root)
    tell_findings(findings.list(), aside=True)
    counts = Counter(item.label for item in named if item.clear)
    words = ", ".join(f"{counts[label]} {label}" for label in labels if counts[label]) or "none is clear"
    last = printable(f"{'would name' if args.dry_run else 'named'}: {words}; {len(named) - counts.total()} keep their name")
    answer = {"labels": labels, "model": model.name, "dry_run": args.dry_run}
    tell_result(*map(_line, named), last, **answer, instances=[item.to_json() for item in named])
    return 0


def _line(item: Naming) -> str:
    change = "stays" if item.class_name == item.former else f"was {item.former}"
    figures = f"{item.label} {item.probability:.2f}, ahead by {item.margin:+.2f}"
    return printable(f"  instance {item.id:<6}{item.class_name:<20} {change:<24} ({figures})")
