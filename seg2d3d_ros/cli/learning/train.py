"""``seg2d3d train DIR``: a network that labels clouds, from a data set; ``train prompts MAP…``: the decoder of prompts."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from pathlib import Path
from typing import Any

from seg2d3d_ros.cli.learning.training_arguments import add_training_arguments

PROMPTS = "prompts"
"""The first word that asks for the decoder of prompts; a data set of this name is ``./prompts``."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "data", nargs="+", metavar="DIR | prompts MAP", help="a data set of `seg2d3d dataset`; or the word prompts, and maps"
    )
    add_training_arguments(parser)
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
    raise UsageError("train: to be written")


def _prompts_command() -> Any:
    name = "seg2d3d_ros.cli.learning.train_prompts"
    return importlib.import_module(name) if importlib.util.find_spec(name) is not None else None
