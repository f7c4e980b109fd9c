"""``seg2d3d train DIR``: a network that labels clouds, from a data set; ``train prompts MAP…``: the decoder of prompts."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from pathlib import Path
from typing import Any

from seg2d3d_ros.cli.learning.training_arguments import add_training_arguments
from seg2d3d_ros.cli.output.telling import tell_findings, tell_result

STEPS, LEARNING_RATE = 2000, 2e-3
"""Of each stage."""
PROMPTS = "prompts"
"""The first word that asks for the decoder of prompts; a data set of this name is ``./prompts``."""

INTERRUPTED = "{out} has the last checkpoint, if one was due: the same command with --resume goes on"
EXAMPLES = (
    "seg2d3d train streets --out model",
    "seg2d3d train prompts map1 map2 --download --out network",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "data", nargs="+", metavar="DIR | prompts MAP", help="a data set of `seg2d3d dataset`; or the word prompts, and maps"
    )
    add_training_arguments(parser)
    parser.add_argument(
        "--stage",
        default="all",
        choices=("1", "2", "3", "all"),
        help="1 = single views with their own masks, 2 = labels that all views agree on, 3 = whole streets; each begins with "
        "the weights of the one before, where they are there (default all)",
    )
    if (prompts := _prompts_command()) is not None:
        prompts.add_arguments(parser.add_argument_group("train prompts"))


def run(args: argparse.Namespace) -> int:
    """Train what the first word says."""
    from seg2d3d_ros.errors import UsageError

    first, *others = args.data
    if first == PROMPTS:
        prompts = _prompts_command()
        if prompts is None:
            raise UsageError("train prompts: this installation has no decoder of prompts to train; install a newer release")
        if not others:
            raise UsageError("train prompts: name the maps to learn from (or write ./prompts for a data set of that name)")
        args.maps = [Path(path) for path in others]
        code: int = prompts.run(args)
        return code
    if others:
        raise UsageError(f"train takes one data set, {len(args.data)} were given; `seg2d3d dataset MAP… --out DIR` joins maps")
    return _train_network(Path(first), args)


def _train_network(folder: Path, args: argparse.Namespace) -> int:
    from seg2d3d_ros.cli.learning.training_arguments import training_options
    from seg2d3d_ros.findings import Findings
    from seg2d3d_ros.learning.curriculum import STAGES, CurriculumOptions, train_stages
    from seg2d3d_ros.learning.dataset_folder import read_card
    from seg2d3d_ros.networks.weights import TORCH, require
    from seg2d3d_ros.progress import ProgressBars

    require([], TORCH)
    data = read_card(folder)
    findings, progress = Findings(), ProgressBars()
    scenes = data.scenes("train", findings)
    stages = STAGES if args.stage == "all" else (int(args.stage),)
    options = training_options(args, steps=STEPS, learning_rate=LEARNING_RATE)
    try:
        made = train_stages(
            scenes,
            data.voxel,
            args.out,
            stages,
            options,
            CurriculumOptions(),
            text=data.text,
            image=data.image,
            resume=args.resume,
            progress=progress,
            findings=findings,
        )
    finally:
        progress.close()
    words = f"{made}: learnt from {len(scenes)} streets; label a cloud: seg2d3d segment CLOUD --model {made} --out FILE.ply"
    tell_result(words, out=made, streets=len(scenes))
    tell_findings(findings.list())
    return 0


def _prompts_command() -> Any:
    name = "seg2d3d_ros.cli.learning.train_prompts"
    return importlib.import_module(name) if importlib.util.find_spec(name) is not None else None
