"""What the pipeline would do with a graph, and what is wrong with it, in lines for a person. Pure: no ROS here.

The choices are those of the nodes: the same functions find cameras, positions and masks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import ERROR, NOTE, WARNING, Findings
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.images import decode_small_gray, image_size
from seg2d3d_ros.keyframes.streams.fixes import FixFilter
from seg2d3d_ros.reconstruction.calibration.plausibility import tell_implausible
from seg2d3d_ros.recording.calibration import camera_from_message
from seg2d3d_ros.recording.cameras import CameraTopic, find_cameras, find_segments, resolve_camera
from seg2d3d_ros.recording.compressed_images import compressed_image
from seg2d3d_ros.recording.naming import camera_name, stamp_to_ns
from seg2d3d_ros.recording.raw_images import raw_gray
from seg2d3d_ros.recording.topics import CLOUD, FIX, IMU, ODOMETRY, POSES
from seg2d3d_ros.ros.graph_check.heard_topics import GraphHeard, TopicHeard
from seg2d3d_ros.sections.keyframe_config import KeyframeConfig

GOOD = "ok"
LATE = 1.0
"""Seconds by which stamps may differ from their arrival: more is a camera's great delay, or another clock …"""
RECORDED = 3600.0
"""… and so much more is a recording that is played."""
LOST = 0.05
"""A share of messages that do not arrive is told from here on."""

ALWAYS = {"/rosout", "/parameter_events"}
"""Topics of any node, also of who listens."""


@dataclass(frozen=True)
class Remark:
    """One thing: how grave it is, what it is about, and what there is to say."""

    level: str
    subject: str
    text: str


def verdict(graph: GraphHeard, cameras: Sequence[str] = (), fix: str = "") -> list[Remark]:
    """All lines, in the order of the pipeline.

    Args:
        cameras: topics, as ``camera_topics``; empty = all.
        fix: topic, as ``fix_topic``; empty = the one there is, none = no positions.
    """
    if not set(graph.types) - ALWAYS:
        domain, span = os.environ.get("ROS_DOMAIN_ID", "0"), os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
        text = (
            f"no topic at all on ROS_DOMAIN_ID {domain} (ROS_AUTOMATIC_DISCOVERY_RANGE {span}): are the drivers running, with "
        )
        return [Remark(ERROR, "graph", text + "the same domain, range and RMW_IMPLEMENTATION?")]
    chosen, lines = _chosen(graph, cameras)
    for camera in chosen:
        lines += _camera(graph, camera)
    lines += _frame_ids(graph, chosen)
    lines += _mounts(graph, chosen)
    lines += _positions(graph, chosen, fix)
    lines += _masks(graph)
    lines += _others(graph)
    return lines


def works(lines: Sequence[Remark]) -> bool:
    """Whether the pipeline could make a map: nothing is grave."""
    return not any(line.level == ERROR for line in lines)


def _chosen(graph: GraphHeard, names: Sequence[str]) -> tuple[list[CameraTopic], list[Remark]]:
    if names:
        found = {name: resolve_camera(name, graph.inputs) for name in names}
        lines = [Remark(ERROR, name, "nobody publishes it") for name, camera in found.items() if camera is None]
        return [camera for camera in found.values() if camera is not None], lines
    chosen, left_out = find_cameras(graph.inputs)
    lines = [Remark(NOTE, name, f"is left out: {reason}") for name, reason in left_out.items()]
    if not chosen:
        lines.append(Remark(ERROR, "cameras", "no image topic with a camera_info beside it; name them with camera_topics"))
    return chosen, lines


def _camera(graph: GraphHeard, camera: CameraTopic) -> Iterator[Remark]:
    topic, info = graph.topics.get(camera.topic), graph.topics.get(camera.info_topic)
    if topic is None or not topic.count:
        yield Remark(ERROR, camera.topic, _silence(graph, camera.topic, topic))
        return
    yield from _unfit(topic)
    try:
        size, words = _picture(camera, topic)
    except DataError as error:
        yield Remark(ERROR, camera.topic, str(error))
        return
    yield Remark(
        GOOD, camera.topic, f"{topic.rate:.1f} Hz, {size[0]}×{size[1]}, {words}, {topic.size / topic.count / 1e3:.0f} kB"
    )
    yield from _stamps(graph, topic)
    if topic.missing > LOST * topic.count:
        text = (
            f"about {topic.missing} of {topic.missing + topic.count} images do not arrive; publish them compressed, or widen "
        )
        yield Remark(WARNING, camera.topic, text + "the network's buffers (net.core.rmem_max)")
    if not topic.first.header.frame_id:
        yield Remark(WARNING, camera.topic, "its header has no frame_id: cameras are told apart by it, and mounts found")
    yield from _calibration(graph, camera, info, size)


def _picture(camera: CameraTopic, topic: TopicHeard) -> tuple[tuple[int, int], str]:
    """Size and encoding of the first image, which is decoded. Raises ``DataError``."""
    message = topic.first
    if camera.compressed:
        encoded = compressed_image(message, camera.topic)
        decode_small_gray(encoded, 8, camera.topic)
        return image_size(encoded, camera.topic), message.format or "compressed"
    raw_gray(message, 64, camera.topic)
    return (message.width, message.height), message.encoding


def _silence(graph: GraphHeard, name: str, topic: TopicHeard | None) -> str:
    text = f"no data for {graph.seconds:.0f} s (publishers: {len(topic.publishers) if topic else 0}"
    return f"{text}; {topic.unfit or 'silent'})" if topic else f"{text})"


def _unfit(topic: TopicHeard) -> Iterator[Remark]:
    if topic.unfit:
        yield Remark(ERROR, topic.name, f"{topic.unfit}; set input_qos:=auto or sensor_data")
    if len(topic.publishers) > 1:
        yield Remark(WARNING, topic.name, f"has {len(topic.publishers)} publishers: {', '.join(topic.publishers)}")


def _stamps(graph: GraphHeard, topic: TopicHeard) -> Iterator[Remark]:
    if not any(topic.stamps):
        yield Remark(ERROR, topic.name, "its stamps are zero: nothing can be matched with it; let the driver fill header.stamp")
        return
    if abs(topic.behind) > RECORDED:
        clock = "set use_sim_time:=true" if "/clock" in graph.types else "play it with --clock, and set use_sim_time:=true"
        yield Remark(NOTE, topic.name, f"its stamps are {topic.behind / 3600:.1f} h old, as of a recording; {clock}")
    elif abs(topic.behind) > LATE:
        text = f"its stamps are {topic.behind:+.1f} s behind this computer's clock: a great delay, or clocks that are not "
        yield Remark(WARNING, topic.name, text + "synchronized (chrony, PTP)")
    if topic.backwards:
        yield Remark(WARNING, topic.name, f"{topic.backwards} of {topic.count} stamps are not newer than the one before")


def _calibration(graph: GraphHeard, camera: CameraTopic, info: TopicHeard | None, size: tuple[int, int]) -> Iterator[Remark]:
    if info is None or not info.count:
        yield Remark(WARNING, camera.info_topic, f"{_silence(graph, camera.info_topic, info)}: the focal length is estimated")
        return
    yield from _unfit(info)
    try:
        known = camera_from_message(info.kept[-1], size, camera.info_topic, rectified=camera.rectified)
    except DataError as error:
        yield Remark(WARNING, camera.info_topic, f"{error}; without a calibration the focal length is estimated")
        return
    if known is None:
        yield Remark(WARNING, camera.info_topic, "K is zero: the camera is not calibrated, its focal length is estimated")
        return
    if any(list(message.k) != list(info.kept[0].k) for message in info.kept):
        yield Remark(WARNING, camera.info_topic, "it changes: a zoom, or two drivers on one topic")
    yield Remark(
        GOOD, camera.info_topic, f"{known.model}, focal length {known.focal_lengths[0]:.0f} px{_implausible(camera, known)}"
    )


def _implausible(camera: CameraTopic, known: Camera) -> str:
    found = Findings()
    tell_implausible({camera.topic: known}, found)
    return "".join(f"; BUT {finding.text}" for finding in found.list())


def _frame_ids(graph: GraphHeard, chosen: Sequence[CameraTopic]) -> Iterator[Remark]:
    owners: dict[str, list[str]] = {}
    for topic, frame in _frames(graph, chosen).items():
        owners.setdefault(camera_name(frame), []).append(topic)
    for name, topics in owners.items():
        if len(topics) > 1:
            yield Remark(ERROR, ", ".join(topics), f"have one frame_id ({name}): give each camera its own, or name one of them")


def _frames(graph: GraphHeard, chosen: Sequence[CameraTopic]) -> dict[str, str]:
    """Topic -> frame_id, of cameras that were heard."""
    heard = {camera.topic: graph.topics.get(camera.topic) for camera in chosen}
    return {name: topic.first.header.frame_id for name, topic in heard.items() if topic is not None and topic.first is not None}


def _mounts(graph: GraphHeard, chosen: Sequence[CameraTopic]) -> Iterator[Remark]:
    frames = _frames(graph, chosen)
    if not graph.reads_frames:
        yield Remark(
            NOTE, "/tf_static", "cannot be read: tf2_msgs is not installed; reconstruction.rig can name a file of mounts"
        )
        return
    if len(frames) < 2:
        return
    mounts = graph.frames.mounts({camera_name(frame): frame for frame in frames.values()})
    lacking = [topic for topic, frame in frames.items() if camera_name(frame) not in mounts]
    if lacking:
        text = f"does not tie {', '.join(lacking)} to the other cameras: they are mapped without mounts"
        yield Remark(WARNING, "/tf_static", f"{text}; publish the static transforms, or name a file with reconstruction.rig")
    else:
        yield Remark(GOOD, "/tf_static", f"has the mounts of {len(mounts)} cameras")


def _positions(graph: GraphHeard, chosen: Sequence[CameraTopic], wanted: str) -> Iterator[Remark]:
    if wanted == "none":
        return
    known = [topic for topic in graph.of_type(FIX) if wanted in ("", topic.name)]
    if not known:
        level = ERROR if wanted else NOTE
        yield Remark(level, wanted or "positions", "no NavSatFix topic: the map has no place on the Earth, and maybe no scale")
        return
    if len(known) > 1:
        names = ", ".join(topic.name for topic in known)
        yield Remark(WARNING, names, "several topics with positions, and none is used: choose one with fix_topic")
        return
    (topic,) = known
    if not topic.count:
        yield Remark(WARNING, topic.name, _silence(graph, topic.name, topic))
        return
    filtered = FixFilter(KeyframeConfig())
    images = [heard for camera in chosen if (heard := graph.topics.get(camera.topic)) is not None]
    for stamp, came in sorted(pair for heard in images for pair in zip(heard.stamps, heard.arrivals, strict=True)):
        filtered.add_image(stamp, came)
    for message, came in zip(topic.kept, topic.arrivals, strict=True):
        filtered.add(message, stamp_to_ns(message.header.stamp), came)
    filtered.flush()
    level = GOOD if filtered.used else WARNING
    yield Remark(level, topic.name, f"{topic.rate:.1f} Hz, {filtered.used} of {topic.count} fixes would be used")
    for finding in filtered.findings():
        if finding.count:
            yield Remark(NOTE if finding.kind.level == NOTE else WARNING, topic.name, finding.text)


def _masks(graph: GraphHeard) -> Iterator[Remark]:
    names = find_segments(graph.inputs)
    for name in names:
        if topic := graph.topics.get(name):
            yield Remark(GOOD if topic.count else WARNING, name, f"masks, {topic.rate:.1f} Hz (segmenter:=topic)")
    if not names:
        yield Remark(NOTE, "masks", "no topic called segments: choose a segmenter that finds objects, e.g. grounded_sam")


def _others(graph: GraphHeard) -> Iterator[Remark]:
    for argument, kinds in (
        ("cloud_topic", (CLOUD,)),
        ("odom_topic", (ODOMETRY,)),
        ("imu_topic", (IMU,)),
        ("pose_topic", POSES[1:]),
    ):
        for topic in graph.of_type(*kinds):
            yield Remark(
                NOTE, topic.name, f"{topic.msgtype.rpartition('/')[2]}, {topic.rate:.1f} Hz; {argument}:={topic.name} uses it"
            )
    if "/clock" in graph.types:
        yield Remark(NOTE, "/clock", "time is simulated: set use_sim_time:=true on every node")
    for name, count in sorted(graph.nodes.items()):
        if count > 1:
            yield Remark(WARNING, name, f"{count} nodes have this name: give one another name or namespace")
    for place in graph.pipelines:
        yield Remark(NOTE, place, "a pipeline runs here: start another one with another namespace, map_dir and camera_topics")
    for name, (level, words) in sorted(graph.statuses.items()):
        yield Remark(WARNING if level else GOOD, name, words)
