"""``seg2d3d find MAP "red brick house"``: instances by words, ranked, with positions and a contact sheet."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from seg2d3d_ros.cli.arguments.options import add_words_arguments, config_from_args, words_overrides
from seg2d3d_ros.cli.output.telling import tell_findings, tell_result
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings, printable

if TYPE_CHECKING:
    from seg2d3d_ros.language.word_search import Found

INTERRUPTED = "{map} is as it was, and pictures seen so far are not seen again; call the same command again"
EXAMPLES = ('seg2d3d find map "red brick house" --download',)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``MAP WORDS [--top K]``."""
    parser.add_argument("map", type=Path, metavar="MAP", help="map directory")
    parser.add_argument("words", metavar="WORDS", help='what is looked for, e.g. "red brick house"')
    parser.add_argument("--top", type=int, default=10, metavar="K", help="how many instances are listed (default 10)")
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="where the contact sheet goes, a PNG (default MAP/found.png)"
    )
    add_words_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the ranking and write the contact sheet."""
    from seg2d3d_ros.disk.atomic import write_bytes
    from seg2d3d_ros.language.contact_sheet import FILE, contact_sheet
    from seg2d3d_ros.language.embedding import INSTANCES_UNSEEN, VIEWS_UNUSED
    from seg2d3d_ros.language.text_image_model import obtain_model
    from seg2d3d_ros.language.word_search import search_map
    from seg2d3d_ros.mapstore.held_map import change_map
    from seg2d3d_ros.pipeline.figures import add_findings
    from seg2d3d_ros.progress import ProgressBars

    if args.top < 1:
        raise UsageError(f"--top {args.top}: at least 1")
    config = config_from_args(args, words_overrides(args))
    findings = Findings()
    with change_map(args.map) as held:
        model = obtain_model(config.words.model, config.segmentation.networks, findings)
        progress = ProgressBars()
        try:
            found = search_map(held.store, args.words, model, config.words, args.top, findings, progress)
        finally:
            progress.close()
        about_the_map = (INSTANCES_UNSEEN, VIEWS_UNUSED)
        add_findings(held.store, [f for f in findings.list() if f.kind in about_the_map], instead_of=about_the_map)
        if not found:
            raise DataError("; ".join([f"{args.map}: no instance that words could find", *(f.text for f in findings.list())]))
        sheet = args.sheet or args.map / FILE
        write_bytes(sheet, contact_sheet(held.store, args.words, found))
    tell_findings(findings.list(), aside=True)
    first = printable(f"instances of {args.map} most like {args.words!r} to {model.name}")
    answer = {"words": args.words, "model": model.name, "instances": [item.to_json() for item in found]}
    tell_result(first, *map(_line, found), printable(f"contact sheet: {sheet}"), **answer, sheet=str(sheet))
    return 0


def _line(item: Found) -> str:
    words = f"  instance {item.id:<6}{item.class_name:<20} similarity {item.similarity:.3f}  relevance {item.relevance:.2f}"
    if item.position is not None:
        words += "  at {:.2f} {:.2f} {:.2f}".format(*item.position)
    if item.geographic is not None:
        words += "  ({:.6f}, {:.6f})".format(*item.geographic[:2])
    return printable(f"{words}  in {', '.join(item.boxes)}" + ("  doubtful" if item.doubtful else ""))
