"""``seg2d3d segment CLOUD --model MODEL``: instances of a cloud, without any image."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from seg2d3d_ros.cli.arguments.options import add_config_arguments, config_from_args, networks_from_args
from seg2d3d_ros.cli.output.telling import tell_findings, tell_result
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.findings import Findings, printable

if TYPE_CHECKING:
    from seg2d3d_ros.language.text_image_model import TextImageModel
    from seg2d3d_ros.learning.cloud_segmentation import CloudSegmenter
    from seg2d3d_ros.learning.image_features import PlaceFeatures
    from seg2d3d_ros.progress import Progress

INTERRUPTED = "{out} is as it was; call the same command again"
EXAMPLES = ("seg2d3d segment street.laz --model model --out street.ply",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "cloud", type=Path, metavar="CLOUD", help="a PLY, LAS or LAZ file in metres with z up, or a map directory"
    )
    parser.add_argument("--model", type=Path, required=True, metavar="MODEL", help="folder of a model of `seg2d3d train`")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the labelled cloud, a PLY file")
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto (default), cpu, cuda, cuda:1, …")
    parser.add_argument(
        "--label",
        action="append",
        metavar="LABEL",
        help="what instances may be; again for more, or with commas. The model must have learnt from maps with embeddings",
    )
    parser.add_argument(
        "--words-model",
        metavar="NAME",
        help="the text-image model that reads the labels, if it lies elsewhere than in training",
    )
    parser.add_argument(
        "--image-model", metavar="NAME", help="the model of image features, where it lies elsewhere now; for map directories"
    )
    parser.add_argument("--download", action="store_true", help="download these models' weights if they are missing")
    add_config_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Label it; every point of the cloud is in the file, in order."""
    import time

    from seg2d3d_ros.language.cloud_naming import name_cloud
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
    labels = [word.strip() for text in args.label or () for word in text.split(",") if word.strip()]
    words = _words(args, segmenter, findings) if labels else None
    features = _features(args, segmenter, findings, progress)
    cloud = read_cloud_file(args.cloud)
    begin = time.monotonic()
    try:
        found = segmenter.segment(cloud, progress, features)
    finally:
        progress.close()
    seconds = time.monotonic() - begin
    named = [] if words is None else name_cloud(labels, found, segmenter.text_model, *words, findings)
    classes = {item.id: item.label for item in named if item.clear} if labels else None
    write_labelled(args.out, cloud, found, classes)
    labelled, instances = int((found.instance > 0).sum()), len(set(found.instance[found.instance > 0].tolist()))
    pace = len(cloud.xyz) / max(seconds, 1e-6)
    lines = [f"{args.out}: {labelled} of {len(cloud.xyz)} points in {instances} instances, {pace:.0f} points per second"]
    for item in named:
        what = f"{item.label if item.clear else 'none is clear':<20} ({item.label} {item.probability:.2f})"
        lines.append(printable(f"  instance {item.id:<6}{what}"))
    tell_result(*lines, out=args.out, points=len(cloud.xyz), labelled=labelled, instances=instances)
    tell_findings(findings.list())
    return 0 if instances else 1


def _features(
    args: argparse.Namespace, segmenter: CloudSegmenter, findings: Findings, progress: Progress
) -> PlaceFeatures | None:
    """What gives the image features that the network learnt from, where there are photographs and a model to look at them."""
    from seg2d3d_ros.learning.image_features import FEATURES_UNUSED, REACH, obtain_features
    from seg2d3d_ros.learning.map_scenes import map_features

    if not segmenter.image_model:
        return None
    if not args.cloud.is_dir():
        findings.add(FEATURES_UNUSED, count=1, of=1, reason=f"{args.cloud} is no map directory, and has no photographs")
        return None
    try:
        model = obtain_features(args.image_model or segmenter.image_model, networks_from_args(args), findings)
    except UsageError as error:
        if args.image_model or args.download:
            raise
        findings.add(FEATURES_UNUSED, count=1, of=1, reason=str(error))
        return None
    return map_features(args.cloud, model, REACH, findings, progress)


def _words(args: argparse.Namespace, segmenter: CloudSegmenter, findings: Findings) -> tuple[TextImageModel, float]:
    """The text-image model that reads the labels, and the margin by which a label must be ahead."""
    from seg2d3d_ros.language.text_image_model import obtain_model

    if not segmenter.text_model:
        raise UsageError(
            f"--label: {args.model} learnt no words; run `seg2d3d find` on its maps, then make the data set and train anew"
        )
    model = obtain_model(args.words_model or segmenter.text_model, networks_from_args(args), findings)
    return model, config_from_args(args).words.margin
