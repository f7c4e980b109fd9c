"""``seg2d3d run``: a folder of unordered images, or a video, and a text label in, a map directory out."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seg2d3d_ros.cli.arguments.options import config_from_args
from seg2d3d_ros.cli.making.building import add_map_arguments, add_trust_argument, build, overrides_from_args
from seg2d3d_ros.cli.making.dry_run import Source, tell_plan
from seg2d3d_ros.config import Config
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.progress import ProgressBars

if TYPE_CHECKING:
    from seg2d3d_ros.keyframes.folder import ImageFolder
    from seg2d3d_ros.keyframes.folder_scan import PhotoFile
    from seg2d3d_ros.keyframes.positions.pose_rows import PoseHints, PoseSource
    from seg2d3d_ros.keyframes.video.video_keyframes import VideoKeyframes

INTERRUPTED = "nothing was written yet"
EXAMPLES = (
    "seg2d3d run photos/ --label building --segmenter grounded_sam --download --out map",
    "seg2d3d run photos/ --label building --segments masks/ --gps positions.csv --out map",
    "seg2d3d run drive.mp4 --gpx track.gpx --segmenter none --out map",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The contract's options (design, section 3)."""
    parser.add_argument(
        "images", type=Path, metavar="IMAGES", help="folder of photographs, or of one folder per camera; or a video"
    )
    add_map_arguments(parser)
    parser.add_argument(
        "--camera", type=Path, metavar="FILE", help="camera.json with the intrinsics; else EXIF, else estimated"
    )
    parser.add_argument(
        "--gps", default="exif", metavar="exif|none|FILE", help="positions: from EXIF (default), a CSV file, or none"
    )
    parser.add_argument(
        "--gpx", type=Path, metavar="FILE", help="a video's positions: GPX, NMEA, or a table time,latitude,longitude,altitude"
    )
    parser.add_argument(
        "--model",
        metavar="DIR",
        help="a finished COLMAP model of these images (COLMAP, hloc, …), taken as it is: only objects and outputs are made",
    )
    parser.add_argument(
        "--poses",
        metavar="FILE|DIR",
        help="where each image was taken and how it was turned: a table like that of --gps with roll,pitch,yaw (INS), a TUM or "
        "KITTI trajectory, transforms.json, OpenSfM's reconstruction.json, or a COLMAP model",
    )
    add_trust_argument(parser)
    parser.add_argument("--order", default="name", metavar="name|shuffle:SEED", help="order in which the images are taken")


def run(args: argparse.Namespace) -> int:
    """Build the map and its report."""
    from seg2d3d_ros.keyframes.video.video_keyframes import is_video
    from seg2d3d_ros.segmentation.factory import create_segmenter
    from seg2d3d_ros.segmentation.files.photo_names import PhotoName

    findings = Findings()
    config = config_from_args(args, overrides_from_args(args))
    video = is_video(args.images)
    reading = ProgressBars() if video else None
    source = _video(args, config, findings, reading) if video else _folder(args, config, findings)
    if config.segmentation.segmenter == "label_images" and args.segments is None:
        raise UsageError(
            "no segments: give --segmenter grounded_sam to find the label by text, --segments DIR with a label image per "
            "photo, or --segmenter none for 3D only"
        )
    if args.dry_run:
        return tell_plan(_plan(args, source, video), args.out, config, findings, resume=args.resume)
    segmenter = create_segmenter(config.segmentation, directory=args.segments, findings=findings)
    if source.photos and segmenter is not None and hasattr(segmenter, "expect"):
        segmenter.expect([PhotoName(*names) for names in source.photos])
    return build(
        args.out,
        config,
        source,
        segmenter,
        resume=args.resume,
        images_in=None if video else args.images.resolve(),
        findings=findings,
        skipped=lambda: dict(source.skipped),
        total=len(source.photos),
        reading=reading,
    )


def _plan(args: argparse.Namespace, source: ImageFolder | VideoKeyframes, video: bool) -> Source:
    """What a map would be made of."""
    if video:
        return Source(f"{args.images}, a video, whose frames are chosen by motion", 0, exact=False)
    count = len(source.photos)
    return Source(f"{count} photographs in {args.images}", count, exact=True)


def _folder(args: argparse.Namespace, config: Config, findings: Findings) -> ImageFolder:
    from seg2d3d_ros.keyframes.folder import read_folder
    from seg2d3d_ros.keyframes.positions.pose_rows import PoseHints

    if args.gpx is not None:
        raise UsageError("--gpx goes with a video; for photographs --gps takes a table image,latitude,longitude,altitude")
    gps = args.gps if args.gps in ("exif", "none") else Path(args.gps)
    poses = _poses(Path(args.poses), PoseHints.of(config.keyframes)) if args.poses else None
    if args.trust and poses is None:
        raise UsageError("--trust says how far the poses of --poses are trusted; give them, too")
    known = {"camera": args.camera, "gps": gps, "poses": poses}
    return read_folder(args.images, **known, order=args.order, findings=findings, config=config.keyframes)


def _video(args: argparse.Namespace, config: Config, findings: Findings, progress: ProgressBars | None) -> VideoKeyframes:
    from seg2d3d_ros.keyframes.video.video_keyframes import read_video

    if args.gps not in ("exif", "none") or args.order != "name" or args.model or args.poses or args.trust:
        raise UsageError(
            "a video takes its positions from --gpx; --gps, --poses, --order and --model go with a folder of photographs"
        )
    known = {"track": args.gpx, "camera": args.camera, "config": config.keyframes}
    return read_video(args.images, **known, findings=findings, progress=progress)


def _poses(path: Path, hints: PoseHints) -> Callable[[Sequence[PhotoFile], Findings], PoseSource]:
    """What reads the poses once the photographs are known."""
    from seg2d3d_ros.keyframes.positions.pose_file import named_poses, read_poses
    from seg2d3d_ros.keyframes.positions.pose_rows import PoseRow

    def read(photos: Sequence[PhotoFile], findings: Findings) -> PoseSource:
        if path.is_dir():
            from seg2d3d_ros.reconstruction.given_model import model_poses

            rows = [
                PoseRow(k, name, hints.pose(pose.rotation, pose.translation, body="camera", metric=False))
                for k, (name, pose) in enumerate(model_poses(path).items(), start=1)
            ]
            return named_poses(str(path), rows, photos, findings)
        return read_poses(path, photos, hints, findings)

    return read
