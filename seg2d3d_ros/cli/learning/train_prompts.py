"""``seg2d3d train prompts MAP… --out MODEL``: the network that answers clicks in every view, taught by maps."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from seg2d3d_ros.cli.output.telling import tell, tell_findings, tell_result
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.findings import printable

BASE = "facebook/sam-vit-base"
STEPS, LEARNING_RATE, QUESTIONS = 20000, 3e-4, 4


def add_arguments(parser: Any) -> None:
    """Options beside those of every training."""
    parser.add_argument(
        "--base",
        default=BASE,
        metavar="NAME",
        help="SAM or SAM 2 whose encoder stays as it is and whose decoder is trained: a name (`seg2d3d models`), or a folder "
        f"of transformers (default {BASE})",
    )
    parser.add_argument(
        "--models-dir", default="", metavar="DIR", help="folder of models, else $SEG2D3D_MODELS, else the cache"
    )
    parser.add_argument("--download", action="store_true", help="download the base model's weights if they are missing")
    parser.add_argument(
        "--truth",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a simulated street's folder, to learn from its truth instead of the map's own objects; one per map, in order",
    )
    parser.add_argument(
        "--questions",
        type=int,
        default=QUESTIONS,
        metavar="N",
        help=f"asked per step, each of four views (default {QUESTIONS})",
    )


def run(args: argparse.Namespace) -> int:
    """Train, and say what was made."""
    from seg2d3d_ros.cli.learning.training_arguments import training_options
    from seg2d3d_ros.findings import Findings
    from seg2d3d_ros.networks.obtaining import NetworkSettings
    from seg2d3d_ros.networks.training.trainer import train
    from seg2d3d_ros.progress import ProgressBars
    from seg2d3d_ros.prompts.network.base_model import obtain_base
    from seg2d3d_ros.prompts.network.learning_task import LearningTask
    from seg2d3d_ros.prompts.network.network_folder import KIND, VERSION, described
    from seg2d3d_ros.prompts.network.place_network import PlaceNetwork

    if args.truth and len(args.truth) != len(args.maps):
        raise UsageError(f"{len(args.maps)} maps and {len(args.truth)} times --truth: give one for each map, in the same order")
    if args.questions < 1:
        raise UsageError(f"--questions {args.questions}: at least 1")
    options = training_options(args, steps=STEPS, learning_rate=LEARNING_RATE)
    findings = Findings()
    base = obtain_base(args.base, NetworkSettings(args.models_dir, args.download, args.device, args.precision), findings)
    network = PlaceNetwork(base.decoder(), base.width, args.seed)
    task = LearningTask(network, base, args.maps, args.truth, at_once=args.questions, findings=findings)
    taught = sum(len(known.objects) for known in task.known)
    tell(
        printable(
            f"{network.trained:,} weights are trained, {base.name} stays as it is; {taught} objects in {len(args.maps)} maps"
        )
    )
    sources = {"maps": [str(path) for path in args.maps], "truth": [str(path) for path in args.truth]}
    progress = ProgressBars()
    try:
        made = train(
            network.weights,
            task.loss,
            args.out,
            options,
            kind=KIND,
            version=VERSION,
            config={**described(base), **sources, "questions": args.questions},
            resume=args.resume,
            stage="prompts",
            progress=progress,
            findings=findings,
        )
    finally:
        progress.close()
    tell_findings(findings.list())
    words = f"{args.out}: {made.steps} steps in {made.seconds:.0f} s; ask it: seg2d3d prompt MAP … --network {args.out}"
    tell_result(printable(words), out=args.out, steps=made.steps, seconds=made.seconds)
    return 0
