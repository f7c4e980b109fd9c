"""``seg2d3d edit MAP …``: corrections of a finished map without a browser; each is kept in ``edits.jsonl``."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg2d3d_ros.cli.arguments.parser import add_output_arguments
from seg2d3d_ros.cli.output.telling import tell_findings, tell_result
from seg2d3d_ros.errors import UsageError

if TYPE_CHECKING:
    from seg2d3d_ros.pipeline.correcting import Correction, MapEditor

INTERRUPTED = "{map} is as it was, or has the whole correction: seg2d3d edit {map} list"
EXAMPLES = (
    "seg2d3d edit map merge 3 7",
    "seg2d3d edit map split 12 --image 0001.jpg --line 412,80,420,600",
    "seg2d3d edit map undo",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("map", type=Path, metavar="MAP", help="a finished map")
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)

    def action(name: str, text: str) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        add_output_arguments(added, "edit")
        added.add_argument("--author", default="", metavar="NAME", help="who corrects; is kept in the log")
        return added

    ids: dict[str, Any] = {"type": int, "nargs": "+", "metavar": "ID"}
    action("merge", "these instances are one object; it keeps the lowest number").add_argument("instances", **ids)
    split = action("split", "this instance is two objects, on both sides of a line")
    split.add_argument("instance", type=int, metavar="ID")
    split.add_argument("--image", metavar="NAME", help="the image that --line is drawn in, by its name or file name")
    where = split.add_mutually_exclusive_group(required=True)
    where.add_argument("--line", metavar="X0,Y0,X1,Y1", help="pixels of two places on the line, in --image")
    where.add_argument(
        "--above",
        metavar="X0,Y0,X1,Y1",
        help="two places of the map seen from above, in its frame, as in --above=-3.5,2,4,2: an upright plane; X,Y,Z "
        "each where z is not up",
    )
    rename = action("rename", "call instances something else")
    rename.add_argument("instances", **ids)
    rename.add_argument("--name", required=True, metavar="CLASS")
    action("delete", "these instances are no objects").add_argument("instances", **ids)
    redraw = action("redraw", "an object is what clicks mean, in all images (see `seg2d3d prompt`)")
    redraw.add_argument("instance", type=int, nargs="?", metavar="ID", help="the instance in whose place; default: a new one")
    redraw.add_argument("--image", required=True, metavar="NAME", help="the image that is clicked in, by its name or file name")
    redraw.add_argument("--click", action="append", default=[], metavar="X,Y", help="a pixel of the object; again for more")
    redraw.add_argument("--negative", action="append", default=[], metavar="X,Y", help="a pixel that is not the object's")
    redraw.add_argument("--box", metavar="X0,Y0,X1,Y1", help="a box around the object in the image")
    redraw.add_argument("--level", default="fine", metavar="LEVEL", help="as for `seg2d3d prompt`")
    redraw.add_argument("--name", default="", metavar="CLASS", help="what it is called")
    undo = action("undo", "take the newest correction back, or that of a number; an undo, too")
    undo.add_argument("number", type=int, nargs="?", metavar="N")
    action("list", "say which corrections there are, and whether the map shows them")
    action("hide", "show the map as the software made it; the corrections are kept")
    action("show", "show the corrections, and make all of them again")


def run(args: argparse.Namespace) -> int:
    """Correct; the old map stays until the new one is whole."""
    from seg2d3d_ros.config import load_config
    from seg2d3d_ros.findings import Findings, printable
    from seg2d3d_ros.mapstore.held_map import change_map, look_into
    from seg2d3d_ros.pipeline.correcting import MapEditor
    from seg2d3d_ros.report.overlays import write_overlays
    from seg2d3d_ros.report.page import write_report

    if args.action == "list":
        return _list(args)
    look_into(args.map)
    done = _correct(MapEditor(args.map, args.author), args)
    findings = Findings()
    findings.update(done.findings)
    with change_map(args.map) as held:
        path = held.store.root / "config.yaml"
        width = load_config(file=path if path.exists() else None).association.overlay_width
        write_overlays(held.store, width, findings)
        write_report(held.store.root)
    tell_findings(findings.list())
    shown = "as the software made it" if args.action == "hide" else "with its corrections"
    words = f"the map is shown {shown}" if done.edit is None else f"{done.edit.id}: {done.edit.in_words}"
    there = f"; now {', '.join(map(str, done.ids))}" if done.ids else ""
    number = None if done.edit is None else done.edit.id
    tell_result(printable(f"{words}{there}"), edit=number, instances=list(done.ids))
    return 0


def _correct(editor: MapEditor, args: argparse.Namespace) -> Correction:
    from seg2d3d_ros.mapstore.files.prompts_file import Click

    if args.action == "merge":
        return editor.merge(args.instances)
    if args.action == "rename":
        return editor.rename(args.instances, args.name)
    if args.action == "delete":
        return editor.delete(args.instances)
    if args.action == "undo":
        return editor.undo(args.number)
    if args.action in ("hide", "show"):
        return editor.show(args.action == "show")
    image = _keyframe(args.map, args.image)
    if args.action == "split":
        if args.above:
            places = _numbers("--above", args.above, 6 if args.above.count(",") > 3 else 4)
            half = len(places) // 2
            return editor.split_from_above(args.instance, places[:half], places[half:])
        if not image:
            raise UsageError("--line is drawn in an image; say which one with --image NAME")
        x0, y0, x1, y1 = _numbers("--line", args.line, 4)
        return editor.split_in_image(args.instance, image, (x0, y0), (x1, y1))
    clicks = []
    for option, texts in (("--click", args.click), ("--negative", args.negative)):
        for text in texts:
            x, y = _numbers(option, text, 2)
            clicks.append(Click(image, (x, y), option == "--click"))
    x0, y0, x1, y1 = _numbers("--box", args.box, 4) if args.box else (0.0, 0.0, 0.0, 0.0)
    box = (image, (x0, y0, x1, y1)) if args.box else None
    return editor.redraw(clicks, instance=args.instance, level=args.level, box=box, name=args.name)


def _list(args: argparse.Namespace) -> int:
    from seg2d3d_ros.config import load_config
    from seg2d3d_ros.editing.edit_log import EditLog
    from seg2d3d_ros.findings import Findings, printable
    from seg2d3d_ros.mapstore.files.unedited_file import read_unedited
    from seg2d3d_ros.mapstore.held_map import look_into

    root = look_into(args.map).root
    log, unedited = EditLog(root), read_unedited(root)
    states = {} if unedited is None else unedited.states
    active = {edit.id for edit in log.active}
    path = root / "config.yaml"
    hidden = path.exists() and not load_config(file=path).association.edits
    missing = f"hidden; `seg2d3d edit {root} show` shows it" if hidden else "not shown: the map has not been made with it"
    lines = []
    for edit in log.entries:
        state = states.get(edit.id)
        said = "shown" if state == "" else f"not shown: {state}" if state else missing
        if edit.operation == "undo":
            said = "an undo"
        elif edit.id not in active:
            said = "undone"
        lines.append({"id": edit.id, "time": edit.time, "author": edit.author, "what": edit.in_words, "state": said})
    findings = Findings()
    log.tell(findings)
    tell_findings(findings.list())
    texts = []
    for line in lines:
        author = f" {line['author']}" if line["author"] else ""
        texts.append(printable(f"{line['id']:>4}  {line['time']}{author}  {line['what']}  ({line['state']})"))
    tell_result(*(texts or ["no corrections"]), edits=lines)
    return 0


def _keyframe(root: Path, given: str | None) -> str:
    """A keyframe's name, where its file's name was given."""
    from seg2d3d_ros.mapstore.held_map import look_into

    names = {record.file_name: record.name for record in look_into(root).read_keyframes()}
    return names.get(given or "", given or "")


def _numbers(option: str, text: str, count: int) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise UsageError(f"{option} {text}: write {count} numbers with commas between them, as in {','.join('123456'[:count])}")
    return values
