"""Options of every training, and the training that they describe."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """``--out``, ``--resume`` and what ``TrainingOptions`` has; without a value, the training's own default holds."""
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL", help="folder of the trained model")
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted training stopped; else begin")
    parser.add_argument("--steps", type=int, metavar="N", help="steps of a training, or of each of its stages")
    parser.add_argument(
        "--learning-rate", type=float, metavar="RATE", help="the highest, after the first twentieth of the steps"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="the same seed, data and options give the same weights"
    )
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto (default), cpu, cuda, cuda:1, …")
    parser.add_argument(
        "--precision", default="auto", choices=("auto", "full", "half"), help="auto = half (mixed) on CUDA, full elsewhere"
    )
    parser.add_argument(
        "--save-seconds", type=float, default=60.0, metavar="S", help="between checkpoints (default 60); a kill costs so much"
    )


def training_options(args: argparse.Namespace, *, steps: int, learning_rate: float, **others: Any) -> Any:
    """``TrainingOptions`` of a command line, with the training's own defaults where nothing was given.

    Raises:
        UsageError: a value that makes no sense.
    """
    from seg2d3d_ros.networks.training.training_options import TrainingOptions

    return TrainingOptions(
        steps=steps if args.steps is None else args.steps,
        learning_rate=learning_rate if args.learning_rate is None else args.learning_rate,
        seed=args.seed,
        device=args.device,
        precision=args.precision,
        save_seconds=args.save_seconds,
        **others,
    )
