"""``seg2d3d simulate``: a synthetic street with ground truth."""

from __future__ import annotations

import argparse
from pathlib import Path

from seg2d3d_ros.cli.output.telling import tell_result

INTERRUPTED = "{out} is incomplete: remove it and call the same command again"
EXAMPLES = (
    "seg2d3d simulate street --seed 1",
    "seg2d3d simulate street --seed 1 --scene hard --cameras 1 --keyframes 40 --no-bag",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("out", type=Path, metavar="OUT", help="a new or empty folder")
    parser.add_argument("--seed", type=int, required=True, metavar="N", help="the same seed gives the same bytes")
    parser.add_argument("--buildings", type=int, default=10, metavar="N", help="houses, both sides together (default 10)")
    parser.add_argument(
        "--keyframes",
        type=int,
        default=96,
        metavar="N",
        help="images of all cameras together, half in each direction (default 96)",
    )
    parser.add_argument(
        "--cameras", type=int, default=3, metavar="N", help="1 = front, 2 = front and left, 3 = front, left and right (default)"
    )
    parser.add_argument(
        "--scene",
        default="typical",
        metavar="NAME",
        help="typical (default), or hard as real drives are: rows of plain houses that look alike, one pass, sun and shade; "
        "with --cameras 1 on foot, with more from a survey vehicle",
    )
    parser.add_argument("--length", type=float, metavar="METRES", help="of the street; default: by the number of houses")
    parser.add_argument(
        "--detector",
        default="typical",
        metavar="QUALITY",
        help="quality of the segments and the GPS: clean, typical (default), hard",
    )
    parser.add_argument(
        "--miss", type=float, metavar="SHARE", help="of the houses that the detector misses in an image; default: its quality's"
    )
    parser.add_argument("--width", type=int, default=960, metavar="PX", help="of the images (default 960)")
    parser.add_argument("--height", type=int, default=640, metavar="PX", help="of the images (default 640)")
    parser.add_argument("--no-bag", action="store_true", help="leave street.mcap out")
    parser.add_argument(
        "--lidar", action="store_true", help="a LiDAR's scans in the bag, with the true house of each point (2 MB a second)"
    )
    parser.add_argument(
        "--cloud",
        action="store_true",
        help="also truth/cloud.ply: a dense cloud of what stands, with the true house of each point",
    )
    parser.add_argument(
        "--levels",
        action="store_true",
        help="also the truth of storeys and of doors, windows, signs, and masks/: a detector that cuts each house at a random "
        "level in each image",
    )
    parser.add_argument(
        "--furniture",
        action="store_true",
        help="poles, signs, lamps, bins, hydrants and manholes are to be mapped, too; truth/objects.json has their places",
    )


def run(args: argparse.Namespace) -> int:
    """Simulate and say what was written."""
    from seg2d3d_ros.progress import ProgressBars
    from seg2d3d_ros.simulation.street_folder import simulate

    same: tuple[str, ...] = ("seed", "buildings", "keyframes", "cameras", "detector", "width", "height", "miss", "lidar")
    same += ("scene", "length", "furniture", "levels", "cloud")
    options = {name: getattr(args, name) for name in same}
    progress = ProgressBars()
    try:
        simulate(args.out, bag=not args.no_bag, progress=lambda done, total: progress("images", done, total), **options)
    finally:
        progress.close()
    words = f"{args.out}: {args.keyframes} images of {args.buildings} houses{'' if args.no_bag else ', street.mcap'}"
    tell_result(words, out=args.out, images=args.keyframes, buildings=args.buildings)
    return 0
