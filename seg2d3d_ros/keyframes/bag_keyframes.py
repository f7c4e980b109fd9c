"""Keyframes from a recording, without ROS and as fast as it can be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import NOTE, Finding, Findings, Kind
from seg2d3d_ros.keyframes.streams.bag_pass import BagItem, BagPass, BagSource
from seg2d3d_ros.keyframes.streams.gravity import tells_vertical
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.recording.cameras import possible_masks, recorded_cameras
from seg2d3d_ros.recording.reader import Recording, open_recording
from seg2d3d_ros.recording.recorded_frames import recorded_frames
from seg2d3d_ros.recording.topics import FIX, IMU, INFO, ODOMETRY, POSES
from seg2d3d_ros.sections.keyframe_config import KeyframeConfig
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig

IMAGE_TOPICS_LEFT_OUT = Kind(
    "image_topics_left_out",
    "image topics that are not read as cameras",
    cause="{detail}",
    remedy="--cameras chooses",
    level=NOTE,
)
FIX_TOPICS_LEFT_OUT = Kind(
    "fix_topics_left_out",
    "NavSatFix topics that are not read",
    cause="{chosen} has most messages",
    remedy="--fix chooses",
    level=NOTE,
)
MASK_TOPICS_ASSUMED = Kind(
    "mask_topics_assumed",
    "topics taken for a camera's masks by their name and frame_id",
    cause="nothing is called segments beside the images: {detail}",
    remedy="call the topic <camera>/segments if that is right; give --segments if it is not",
    level=NOTE,
)


class BagKeyframes(AbstractContextManager["BagKeyframes"]):
    """The keyframes of a recording, read one by one while iterating; nothing but a few seconds is held in memory.

    Attributes:
        recording: open until ``close``.
        cameras: the camera topics that are read.
        left_out: the image topics that are not, with the reasons.
        counts: what became of the messages (``seen``, ``kept``, ``redundant``, …, ``fixes``, ``segments``).
        findings: complete after an iteration.
    """

    def __init__(
        self,
        recording: Recording,
        cameras: Sequence[str],
        fix_topic: str,
        config: KeyframeConfig,
        progress: Progress | None,
        odom_topic: str = "",
        pose_topic: str = "",
        findings: Findings | None = None,
        tolerance: float = 0.0,
        imu_topic: str = "",
    ):
        self.recording, self._config, self._progress, self._tolerance = recording, config, progress, tolerance
        self.findings = Findings() if findings is None else findings
        self.counts: dict[str, int] = {}
        self.cameras, self.left_out = recorded_cameras(recording, cameras)
        fix = recording.find(fix_topic, FIX) if fix_topic else self._busiest_fix_topic()
        odometry = recording.find(odom_topic, ODOMETRY) if odom_topic else None
        poses = recording.find(pose_topic, *POSES) if pose_topic else None
        there = [topic for topic, types in recording.types.items() if INFO in types]
        infos = {c.topic: recording.first(c.info_topic) if c.info_topic in there else None for c in self.cameras}
        imu = recording.find(imu_topic, IMU) if imu_topic else self._busiest_imu_topic()
        self._source = BagSource(recording, self.cameras, fix, odometry, recorded_frames(recording), infos, poses, imu)
        self._tell_topics()

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self.recording.close()

    def __iter__(self) -> Iterator[BagItem]:
        """Yield the keyframes in about the order of time.

        Raises:
            DataError: at the end, if not one image could be used.
        """
        run = BagPass(self._source, self._config, self._tolerance, self.findings, self._progress)
        for item in run.items():
            self.counts = run.counts
            yield item
        self.counts = run.counts
        for finding in self.recording.findings:
            self.findings.put(finding)
        if not self.counts["kept"]:
            reasons = "; ".join(finding.text for finding in self.findings.list()) or "no image could be decoded"
            raise DataError(f"{self.recording.path}: no keyframe among {self.counts['seen']} images: {reasons}")

    def without_masks(self) -> str:
        """Why cameras have no masks, in words; empty where all have a topic of masks."""
        lacking = [camera.topic for camera in self.cameras if not camera.segments]
        if not lacking:
            return ""
        near = [name for name in possible_masks(self.recording.types) if name not in {c.segments for c in self.cameras}]
        words = f"there is no topic called segments beside {', '.join(lacking)}"
        return f"{words}; by their names these may be masks: {', '.join(near)}" if near else words

    def _busiest_fix_topic(self) -> str | None:
        """The topic with most fixes; None where there is none."""
        fixes = self._topics_of(FIX)
        if len(fixes) > 1:
            others = tuple(fixes[1:])
            self.findings.put(Finding(FIX_TOPICS_LEFT_OUT, len(others), len(fixes), others[:3], {"chosen": fixes[0]}))
        return fixes[0] if fixes else None

    def _busiest_imu_topic(self) -> str | None:
        """The topic of an IMU with most messages that say anything of the vertical; None where there is none."""
        firsts = ((name, self.recording.first(name)) for name in self._topics_of(IMU))
        return next((name for name, message in firsts if message is not None and tells_vertical(message)), None)

    def _topics_of(self, kind: str) -> list[str]:
        """The topics of a type that have messages, the busiest first."""
        there = [topic for topic in self.recording.topics.values() if topic.msgtype == kind and topic.count]
        return [topic.name for topic in sorted(there, key=lambda topic: -topic.count)]

    def _tell_topics(self) -> None:
        left_out = "; ".join(f"{topic}: {reason}" for topic, reason in self.left_out.items())
        self.findings.put(Finding(IMAGE_TOPICS_LEFT_OUT, len(self.left_out), 0, (), {"detail": left_out}))
        assumed = [f"{c.segments} for {c.topic}" for c in self.cameras if c.segments and not c.masks_beside]
        self.findings.put(Finding(MASK_TOPICS_ASSUMED, len(assumed), 0, (), {"detail": ", ".join(assumed)}))


def read_bag(
    bag: Path,
    *,
    cameras: Sequence[str] = (),
    fix_topic: str = "",
    odom_topic: str = "",
    imu_topic: str = "",
    pose_topic: str = "",
    config: KeyframeConfig | None = None,
    tolerance: float = SegmentationConfig.stamp_tolerance,
    progress: Progress | None = None,
    findings: Findings | None = None,
) -> BagKeyframes:
    """Open a recording and find its cameras.

    A keyframe is named ``<camera>_<stamp ns>`` after its header, or after the time of recording where that has no stamp.
    Segments are matched by camera and stamp; positions are interpolated to the stamp.

    Args:
        bag: rosbag2 directory, or a ``.mcap``, ``.db3`` or (ROS 1) ``.bag`` file.
        cameras: image topics; empty = every camera there is.
        fix_topic: ``NavSatFix`` topic; empty = the only one, or the one with most messages.
        odom_topic: ``nav_msgs/Odometry`` topic; empty = none. The cameras' mounts come from ``/tf_static``.
        imu_topic: ``sensor_msgs/Imu`` topic, which tells the vertical; empty = the only one, or the one with most messages.
        pose_topic: ``Odometry``, ``PoseWithCovarianceStamped`` or ``PoseStamped`` topic whose poses the images are given;
            empty = none.
        tolerance: seconds between the stamps of a mask and its image.
        progress: called as ``progress("reading", messages so far, all)``.
        findings: gets what cannot be used.

    Raises:
        UsageError: no such bag or topic.
        DataError: no camera in it, or nothing that can be read.
    """
    recording = open_recording(Path(bag))
    options = config or KeyframeConfig(), progress, odom_topic, pose_topic, findings, tolerance, imu_topic
    try:
        return BagKeyframes(recording, cameras, fix_topic, *options)
    except (DataError, UsageError) as error:
        damage = recording.damage
        recording.close()
        raise type(error)("; ".join([f"{bag}: {error}", *damage])) from error
