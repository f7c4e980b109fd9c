"""``seg2d3d dataset MAP…``: maps as streets to learn from."""

from __future__ import annotations

import argparse
from pathlib import Path

from seg2d3d_ros.cli.arguments.options import add_config_arguments, networks_from_args
from seg2d3d_ros.cli.output.telling import tell_findings, tell_result
from seg2d3d_ros.learning.image_features import REACH

INTERRUPTED = "{out} is incomplete: remove it and call the same command again"
EXAMPLES = ("seg2d3d dataset maps/* --cloud lidar --validation 0.2 --out streets",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("maps", nargs="+", type=Path, metavar="MAP", help="map directories, a street each")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder for the data set")
    parser.add_argument(
        "--cloud",
        default="auto",
        choices=("auto", "lidar", "dense", "points"),
        help="which cloud: cloud.ply, dense.ply or the reconstruction's points; auto = the first of these that is there",
    )
    parser.add_argument("--voxel", type=float, default=0.25, metavar="M", help="metres between points (default 0.25)")
    parser.add_argument(
        "--range", type=float, default=REACH, metavar="M", help=f"metres between a camera and what it sees (default {REACH:g})"
    )
    parser.add_argument("--validation", type=float, default=0.0, metavar="SHARE", help="share of the maps for validation")
    parser.add_argument("--test", type=float, default=0.0, metavar="SHARE", help="share of the maps for tests")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the division into splits")
    parser.add_argument(
        "--image-model",
        metavar="NAME",
        help="also ask a vision transformer (facebook/dinov2-small) what the photographs show at each point",
    )
    parser.add_argument("--pointcept", action="store_true", help="also write npy files as Pointcept's trainers read them")
    parser.add_argument("--download", action="store_true", help="download that model's weights if they are missing")
    add_config_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Make it."""
    from seg2d3d_ros.findings import Findings
    from seg2d3d_ros.learning.dataset_making import make_dataset
    from seg2d3d_ros.learning.image_features import obtain_features
    from seg2d3d_ros.progress import ProgressBars

    findings, progress, features = Findings(), ProgressBars(), None
    if args.image_model:
        features = obtain_features(args.image_model, networks_from_args(args), findings)
    try:
        facts = make_dataset(
            args.maps,
            args.out,
            voxel=args.voxel,
            reach=args.range,
            cloud=args.cloud,
            held_out=(args.validation, args.test),
            seed=args.seed,
            pointcept=args.pointcept,
            findings=findings,
            progress=progress,
            features=features,
        )
    finally:
        progress.close()
    points, instances, masks = (sum(fact[name] for fact in facts) for name in ("points", "instances", "masks"))
    words = f"{args.out}: {len(facts)} streets, {points} points, {instances} instances, {masks} masks in single views"
    tell_result(words, out=args.out, streets=len(facts), points=points, instances=instances, masks=masks)
    tell_findings(findings.list())
    return 0
