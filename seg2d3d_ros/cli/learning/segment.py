"""``seg2d3d segment CLOUD --model MODEL``: instances of a cloud, without any image."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "cloud", type=Path, metavar="CLOUD", help="a PLY, LAS or LAZ file in metres with z up, or a map directory"
    )
    parser.add_argument("--model", type=Path, required=True, metavar="MODEL", help="folder of a model of `seg2d3d train`")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the labelled cloud, a PLY file")
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto (default), cpu, cuda, cuda:1, …")


def run(args: argparse.Namespace) -> int:
    """Label it; every point of the cloud is in the file, in order."""
    import time

    from seg2d3d_ros.errors import UsageError
    from seg2d3d_ros.findings import Findings
    from seg2d3d_ros.learning.cloud_reading import read_cloud_file
    from seg2d3d_ros.learning.cloud_segmentation import CloudSegmenter
    from seg2d3d_ros.learning.labelled_file import write_labelled
    from seg2d3d_ros.mapstore.held_map import real
    from seg2d3d_ros.progress import ProgressBars

    if args.out.suffix.lower() != ".ply":
        raise UsageError(f"{args.out}: the labelled cloud is a .ply file")
    if args.cloud.is_dir() and real(args.out).is_relative_to(real(args.cloud)):
        raise UsageError(f"{args.out}: lies in the map directory, which holds the map's own files alone; choose another --out")
    findings, progress = Findings(), ProgressBars()
    segmenter = CloudSegmenter(args.model, args.device, findings)
    cloud = read_cloud_file(args.cloud)
    begin = time.monotonic()
    try:
        found = segmenter.segment(cloud, progress)
    finally:
        progress.close()
    seconds = time.monotonic() - begin
    write_labelled(args.out, cloud, found)
    labelled, instances = int((found.instance > 0).sum()), len(set(found.instance[found.instance > 0].tolist()))
    pace = len(cloud.xyz) / max(seconds, 1e-6)
    print(f"{args.out}: {labelled} of {len(cloud.xyz)} points in {instances} instances, {pace:.0f} points per second")
    for item in findings.list():
        print(f"note: {item.text}")
    return 0 if instances else 1
