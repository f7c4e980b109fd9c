"""``seg2d3d prompt``: a click in one image, the object in all images and clouds out."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from seg2d3d_ros.cli.arguments.options import add_config_arguments, config_from_args
from seg2d3d_ros.cli.output.telling import tell_findings, tell_result
from seg2d3d_ros.cli.processes.supervisor import tell_if_interrupted
from seg2d3d_ros.errors import UsageError

if TYPE_CHECKING:
    from seg2d3d_ros.config import Config
    from seg2d3d_ros.declaration import Value
    from seg2d3d_ros.findings import Findings
    from seg2d3d_ros.mapstore.files.prompts_file import Click
    from seg2d3d_ros.prompts.session import ClickNetwork, PromptSession

INTERRUPTED = "{map} is as it was; call the same command again"
EXAMPLES = (
    "seg2d3d prompt map --image 0001.jpg --click 640,400",
    "seg2d3d prompt map --instance 12 --image 0002.jpg --negative 90,300",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the object is, and which one it is."""
    parser.add_argument("map", type=Path, metavar="MAP", help="map directory")
    parser.add_argument(
        "--image", metavar="NAME", help="the keyframe that is clicked in, by name (keyframes.json) or file name"
    )
    parser.add_argument("--click", action="append", default=[], metavar="X,Y", help="a pixel of the object; again for more")
    parser.add_argument("--negative", action="append", default=[], metavar="X,Y", help="a pixel that is not the object's")
    parser.add_argument("--box", metavar="X0,Y0,X1,Y1", help="a box around the object in the image")
    parser.add_argument(
        "--point",
        action="append",
        default=[],
        metavar="X,Y,Z",
        help="a place of the object in the map's frame, as RViz tells it",
    )
    parser.add_argument(
        "--instance", type=int, metavar="ID", help="refine this instance with further clicks, instead of making a new one"
    )
    parser.add_argument(
        "--level",
        metavar="LEVEL",
        help="which of the things that agree with all clicks and lie in each other: fine = the smallest (default), coarse = "
        "the largest, auto = the instance of the map, or a level of the tree: 0, 1, …",
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="a mask model that refines the object in every image that sees it (clicks.model; default: none); `seg2d3d models` "
        "lists some",
    )
    parser.add_argument("--download", action="store_true", help="download the model's weights if they are missing")
    group = parser.add_argument_group("masks by a trained network (seg2d3d train prompts), not by those of the map")
    group.add_argument("--network", type=Path, metavar="MODEL", help="folder of the network")
    group.add_argument("--base", default="", metavar="NAME", help="where its base model lies, if it is not found by its name")
    add_config_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Ask, and write labels, tracks and points; the old map stays until the new one is whole."""
    from seg2d3d_ros.editing.replaying import TOLD, edits_lifted
    from seg2d3d_ros.findings import Findings
    from seg2d3d_ros.mapstore.changed_copy import changed_copy
    from seg2d3d_ros.mapstore.held_map import change_map
    from seg2d3d_ros.pipeline.figures import add_findings
    from seg2d3d_ros.progress import one_stage
    from seg2d3d_ros.prompts.masking.mask_sources import model_masks
    from seg2d3d_ros.prompts.prompting import ask, write
    from seg2d3d_ros.prompts.session import PromptSession, check_level

    config = config_from_args(args, _overrides(args))
    check_level(config.clicks.level)
    clicks, box = _clicks(args), _numbers("--box", args.box, 4) if args.box else None
    if box and not (box[0] < box[2] and box[1] < box[3]):
        raise UsageError(f"--box {args.box}: write the left, upper, right and lower border, as in 100,50,300,200")
    findings = Findings()
    with change_map(args.map) as held:
        names = {record.file_name: record.name for record in held.store.read_keyframes()}
        name = names.get(args.image, args.image)
        source = model_masks(held.store, config, findings)
        session = PromptSession(held.store.root, source)
        with one_stage("asking"):
            item = ask(
                session,
                [click if click.image is None else replace(click, image=name) for click in clicks],
                level=config.clicks.level,
                box=(name, (box[0], box[1], box[2], box[3])) if box else None,
                instance=args.instance,
                findings=findings,
                network=_network(args, config, session, findings),
            )
    with changed_copy(args.map, made_anew=()) as new:
        with one_stage("writing"), edits_lifted(new.store, findings):
            found = write(session, new.store, item)
        add_findings(new.store, [f for f in findings.list() if f.kind in TOLD], instead_of=TOLD)
        new.publish()
    tell_if_interrupted("the map is whole")
    tell_findings(findings.list())
    images = sorted(found.regions)
    points = int(found.facts["points"])
    carried = f", in {len(found.carried)} of them carried over from others" if found.carried else ""
    tell_result(
        f"instance {found.id}: seen in {len(images)} images{carried}; {points} points",
        f"refine it: seg2d3d prompt {args.map} --instance {found.id} --image NAME --click X,Y or --negative X,Y",
        instance=found.id,
        images=images,
        points=points,
    )
    return 0


def _network(args: argparse.Namespace, config: Config, session: PromptSession, findings: Findings) -> ClickNetwork | None:
    if args.network is None:
        return None
    if config.clicks.model:
        raise UsageError("--network and --model each make the masks of all images; give one of them")
    from seg2d3d_ros.prompts.network.encoded_map import EncodedMap
    from seg2d3d_ros.prompts.network.network_folder import open_network
    from seg2d3d_ros.prompts.network.network_masks import NetworkMasks

    network, base = open_network(args.network, config.segmentation.networks, findings, args.base)
    return NetworkMasks(network, EncodedMap(session, base))


def _overrides(args: argparse.Namespace) -> dict[str, Value]:
    given: dict[str, Value] = {"clicks.model": args.model or "", "clicks.level": args.level or ""}
    given["segmentation.allow_download"] = args.download
    return {name: value for name, value in given.items() if value}


def _clicks(args: argparse.Namespace) -> list[Click]:
    from seg2d3d_ros.mapstore.files.prompts_file import Click

    if (args.click or args.negative or args.box) and not args.image:
        raise UsageError("--click, --negative and --box are pixels of an image; say which one with --image NAME")
    if not (args.click or args.negative or args.box or args.point):
        raise UsageError("nothing is asked for; give --image NAME --click X,Y, or --point X,Y,Z")
    found = []
    for option, texts, positive in (("--click", args.click, True), ("--negative", args.negative, False)):
        for text in texts:
            x, y = _numbers(option, text, 2)
            found.append(Click(args.image, (x, y), positive))
    for text in args.point:
        x, y, z = _numbers("--point", text, 3)
        found.append(Click(None, xyz=(x, y, z)))
    return found


def _numbers(option: str, text: str, count: int) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise UsageError(f"{option} {text}: write {count} numbers with commas between them, as in {','.join('123'[:count])}")
    return values
