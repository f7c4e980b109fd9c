"""``seg2d3d bag``: a rosbag in, a map directory out, without a ROS installation."""

from __future__ import annotations

import argparse
from pathlib import Path

from seg2d3d_ros.cli.arguments.options import config_from_args
from seg2d3d_ros.cli.making.building import Step, add_map_arguments, add_trust_argument, build, overrides_from_args
from seg2d3d_ros.cli.making.dry_run import Source, tell_plan
from seg2d3d_ros.config import Config, make_config
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.keyframes.bag_keyframes import BagKeyframes, read_bag
from seg2d3d_ros.lidar.cloud_file import FILE as CLOUD_FILE
from seg2d3d_ros.lidar.cloud_file import label_recording
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.progress import Progress, ProgressBars
from seg2d3d_ros.recording.topics import CLOUD

INTERRUPTED = "nothing was written yet"
EXAMPLES = (
    "seg2d3d bag drive.mcap --label building --out map",
    "seg2d3d bag drive/ --segmenter grounded_sam --download --label house --cloud /lidar/points --preset vehicle --out map",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The contract's options (design, section 3)."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="rosbag2 directory, .mcap or .db3 file, or rosbag1 .bag file")
    add_map_arguments(parser)
    parser.add_argument(
        "--cameras", nargs="+", default=[], metavar="TOPIC", help="image topics; default: every camera in the bag"
    )
    parser.add_argument(
        "--cloud", default="", metavar="TOPIC", help="PointCloud2 topic of a LiDAR: its scans get the labels, in MAP/cloud.ply"
    )
    parser.add_argument("--odom", default="", metavar="TOPIC", help="nav_msgs/Odometry topic: metres where there is no GPS")
    parser.add_argument(
        "--imu", default="", metavar="TOPIC", help="Imu topic that tells what is up; default: the one with most messages"
    )
    parser.add_argument(
        "--pose",
        default="",
        metavar="TOPIC",
        help="Odometry or Pose(WithCovariance)Stamped topic: poses that the images are given",
    )
    add_trust_argument(parser)
    parser.add_argument("--fix", default="", metavar="TOPIC", help="NavSatFix topic; default: the one with most messages")


def run(args: argparse.Namespace) -> int:
    """Build the map and its report. Masks come from --segments, else from the bag's own segment topics."""
    from seg2d3d_ros.segmentation.factory import create_segmenter
    from seg2d3d_ros.segmentation.files.bag_segments import RecordedSegments

    findings = Findings()
    config = config_from_args(args, overrides_from_args(args))
    if args.trust and not args.pose:
        raise UsageError("--trust says how far the poses of --pose are trusted; give their topic, too")
    if config.segmentation.segmenter == "label_images" and args.segments is None:
        config = make_config({"segmentation.segmenter": "topic"}, config)
    segmentation = config.segmentation
    topics = {"cameras": args.cameras, "fix_topic": args.fix, "odom_topic": args.odom, "pose_topic": args.pose}
    topics["imu_topic"] = args.imu
    tolerance = segmentation.stamp_tolerance
    progress = None if args.dry_run else ProgressBars()
    with read_bag(
        args.bag, progress=progress, **topics, config=config.keyframes, tolerance=tolerance, findings=findings
    ) as bag:
        cloud = bag.recording.find(args.cloud, CLOUD) if args.cloud else ""
        if args.dry_run:
            return tell_plan(_plan(bag), args.out, config, findings, resume=args.resume, more=("LiDAR cloud",) if cloud else ())
        recorded = RecordedSegments(bag, len(segmentation.asked), segmentation.min_area, findings, bag.without_masks())
        given = {"directory": args.segments, "findings": findings}
        segmenter = recorded if segmentation.segmenter == "topic" else create_segmenter(segmentation, **given)
        return build(
            args.out,
            config,
            recorded.keyframes(),
            segmenter,
            resume=args.resume,
            images_in=None,
            findings=findings,
            reading=progress,
            then=[_cloud_step(bag, cloud, config)] if cloud else [],
        )


def _plan(bag: BagKeyframes) -> Source:
    """What a map would be made of: every image at most, as motion chooses."""
    names = {camera.topic for camera in bag.cameras}
    images = sum(topic.count for topic in bag.recording.topics.values() if topic.name in names)
    path = bag.recording.path
    size = sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())
    words = f"{images} images of {len(names)} cameras in {path} ({', '.join(sorted(names))}); motion chooses some"
    return Source(words, images, exact=False, kept=size)


def _cloud_step(bag: BagKeyframes, topic: str, config: Config) -> Step:
    """Carries the labels to the LiDAR's scans."""

    def label(store: MapStore, findings: Findings, progress: Progress) -> str:
        frames = {camera.name: camera.frame_id for camera in bag.cameras}
        labelled = label_recording(
            store,
            bag.recording,
            topic,
            config.cloud,
            config.superpoints,
            frame_of_camera=frames,
            progress=progress,
            findings=findings,
        )
        return f"{CLOUD_FILE}: {labelled}"

    return label
