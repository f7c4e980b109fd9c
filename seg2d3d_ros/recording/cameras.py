"""Which topics are cameras, and what belongs to each: in a recording as in a running system.

Both give the names and types of their topics. A recording can be looked into, too: the first message of a topic has the
encoding of its images and their frame_id, where else only the names of topics can say what is a camera.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.recording.compressed_images import unreadable
from seg2d3d_ros.recording.label_messages import LABEL_ENCODINGS
from seg2d3d_ros.recording.naming import camera_name
from seg2d3d_ros.recording.reader import Recording
from seg2d3d_ros.recording.topics import COMPRESSED, IMAGE, INFO, VIDEO, TopicTypes, is_image
from seg2d3d_ros.recording.video.video_stream import codec_of, header_of, is_packet, why_unreadable

_NO_PICTURE = ("16UC1", "32FC1", "64FC1", "16SC1", "32SC1")
"""Encodings of depth and label images; 16-bit cameras exist, but have to be named."""
_NO_CAMERA = re.compile(r"segment|label|mask|truth|depth|disparity|semantic|instance|panoptic|theora|ffmpeg|zstd")
"""In the names of images that are no camera's."""
_SEGMENTS = re.compile(r"segment|instance|panoptic")
_MASKS = re.compile(r"segment|instance|panoptic|mask|label|semantic")
"""In the names of topics that may hold masks, if nothing is called ``segments``."""
_DEPTH = re.compile(r"depth|disparity|truth")
_TRANSPORTS = re.compile(r"/(compressed|compressedDepth|theora|zstd|ffmpeg|h264|h265|av1)$")
"""What image_transport's plugins append to the name of the images."""
_RECTIFIED = re.compile(r"(?<![a-z])rect(ified)?(?![a-z])")
"""A word of the names that image_proc gives its images; not within ``direct`` or ``corrected``."""
_OTHER_IMAGES = re.compile(r"theora.*/Packet$|FFMPEGPacket$|CompressedVideo$|CompressedImage$")
"""Types of image topics that are none of ROS's two."""


@dataclass(frozen=True)
class CameraTopic:
    """One camera.

    Attributes:
        topic: its images.
        compressed: whether they are ``CompressedImage``.
        info_topic: its ``camera_info``: the one that is there, else the place where image_transport would have it.
        frame_id: of its headers; empty where none was seen, as in the graph.
        name: of the camera in keyframe names; empty where no header was seen.
        segments: its topic of label images in a recording, or None.
        video: whether its messages are packets of video, which refer to each other.
    """

    topic: str
    compressed: bool
    info_topic: str
    frame_id: str = ""
    name: str = ""
    segments: str | None = None
    video: bool = False

    @property
    def image_name(self) -> str:
        """The last part of the topic's name, without the image transport: ``image_rect``."""
        return _base(self.topic).rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The topic's name before that: ``/front``."""
        return _base(self.topic).rpartition("/")[0]

    @property
    def masks_beside(self) -> bool:
        """Whether the label images were found by the names of their topic and of the images."""
        return self.segments is not None and _base(self.segments) in _beside(self.topic, "segments")

    @property
    def rectified(self) -> bool:
        """Whether the images are undistorted already, by a word of their name, or by the name of their folder."""
        return _RECTIFIED.search(self.image_name) is not None or self.folder.rpartition("/")[2] in ("rect", "rectified")


def find_cameras(
    topics: TopicTypes, *, own: Iterable[str] = (), first: Callable[[str], Any | None] | None = None
) -> tuple[list[CameraTopic], dict[str, str]]:
    """Every camera among ``topics``, and the image topics left out with the reasons.

    In a recording all topics of 8-bit pictures are cameras; in the graph, those whose names do not speak of something else
    and that have a ``camera_info``. Of topics that show the same camera (raw and compressed, rectified and not) one is
    taken: the camera's own before rectified, colour before grey, compressed before raw. Pictures without ``camera_info`` in
    the frame of a camera that has one (drawings of somebody's results) are none.

    Args:
        own: names that begin like this are outputs of the package.
        first: gives a topic's first message, or None; without it only names and types are known.
    """
    cameras, left_out = [], {}
    for name, types in topics.items():
        if name.startswith(tuple(own)):
            continue
        if not is_image(types) and (first is None or types[0] not in VIDEO):
            if first is not None and _OTHER_IMAGES.search(types[0]):
                left_out[name] = f"{types[0]} is not read; record raw or compressed, or republish it"
            continue
        camera = _camera(name, topics)
        if first is None:
            if _has_info(camera, topics) and not _NO_CAMERA.search(camera.image_name):
                cameras.append(camera)
        elif (message := first(name)) is None:
            left_out[name] = "no messages"
        elif reason := _no_picture(message, name, _has_info(camera, topics)):
            left_out[name] = reason
        else:
            cameras.append(_with_header(camera, message, topics))
    return _one_each(cameras, topics, left_out), left_out


def resolve_camera(wanted: str, topics: TopicTypes) -> CameraTopic | None:
    """The camera of a topic that the user named, with or without ``/compressed``; None where there is no such topic.

    Raises:
        UsageError: the topic has another type.
    """
    for name in (wanted, f"{wanted}/compressed"):
        if is_image(topics.get(name, ())):
            return _camera(name, topics)
    if topics.get(wanted):
        found = ", ".join(name for name, types in topics.items() if is_image(types)) or "none"
        raise UsageError(f"camera topic {wanted} is a {', '.join(topics[wanted])}, not an image; image topics: {found}")
    return None


def recorded_cameras(recording: Recording, wanted: Sequence[str] = ()) -> tuple[list[CameraTopic], dict[str, str]]:
    """The cameras of a recording, and the image topics left out with the reasons.

    Args:
        wanted: names of image topics, with or without the leading slash and ``/compressed``; empty = ``find_cameras``.

    Raises:
        UsageError: a wanted topic is not there.
        DataError: no camera; the message lists all topics.
    """
    topics = recording.types
    if wanted:
        named = dict.fromkeys(_recorded_camera(name, topics) for name in wanted)
        seen = [(camera, recording.first(camera.topic)) for camera in named]
        cameras = [_with_header(camera, message, topics) for camera, message in seen if message is not None]
        left_out: dict[str, str] = {}
    else:
        cameras, left_out = find_cameras(topics, first=recording.first)
    if not cameras:
        table = "; ".join(f"{t.name} ({t.msgtype}, {t.count})" for t in recording.topics.values()) or "nothing"
        why = "".join(f"; {name} is left out: {reason}" for name, reason in left_out.items())
        raise DataError(f"no camera: there is no topic of {IMAGE} or CompressedImage with 8-bit pictures. It has: {table}{why}")
    cameras = _with_masks(_unique_names(cameras), recording)
    for camera in cameras:
        left_out.pop(camera.segments or "", None)  # read, but not as a camera
    return cameras, left_out


def possible_masks(topics: TopicTypes) -> list[str]:
    """Image topics whose names speak of masks in any way."""
    return sorted(name for name, types in topics.items() if is_image(types) and _MASKS.search(name) and not _DEPTH.search(name))


def find_segments(topics: TopicTypes, *, own: Iterable[str] = ()) -> list[str]:
    """Image topics whose last name speaks of segments."""
    return sorted(
        name
        for name, types in topics.items()
        if IMAGE in types and _SEGMENTS.search(name.rpartition("/")[2]) and not name.startswith(tuple(own))
    )


def _base(topic: str) -> str:
    """``/front/image_raw/compressed`` and ``/front/image_raw`` are the same images: ``/front/image_raw``."""
    return _TRANSPORTS.sub("", topic)


def _beside(topic: str, name: str) -> tuple[str, str]:
    """Where ``name`` (``camera_info``, ``segments``) may lie: beside the images, as image_transport wants, or below."""
    base = _base(topic)
    return f"{base.rpartition('/')[0]}/{name}", f"{base}/{name}"


def _camera(topic: str, topics: TopicTypes) -> CameraTopic:
    places = _beside(topic, "camera_info")
    info = next((place for place in places if INFO in topics.get(place, ())), places[0])
    return CameraTopic(topic, COMPRESSED in topics[topic], info, video=topics[topic][0] in VIDEO)


def _has_info(camera: CameraTopic, topics: TopicTypes) -> bool:
    return INFO in topics.get(camera.info_topic, ())


def _with_header(camera: CameraTopic, message: Any, topics: TopicTypes) -> CameraTopic:
    frame = header_of(message).frame_id
    if camera.compressed and codec_of(message):
        camera = replace(camera, compressed=False, video=True)
    name = camera_name(frame or camera.folder.strip("/") or camera.topic)
    beside = [f"{place}{transport}" for place in _beside(camera.topic, "segments") for transport in ("", "/compressed")]
    segments = next((place for place in beside if is_image(topics.get(place, ()))), None)
    return replace(camera, frame_id=frame, name=name, segments=segments)


def _with_masks(cameras: list[CameraTopic], recording: Recording) -> list[CameraTopic]:
    """For cameras without ``segments`` beside them: the only topic of label images that has their frame_id, if there is one."""
    taken = {camera.segments for camera in cameras} | {camera.topic for camera in cameras}
    by_frame: dict[str, list[str]] = {}
    for name in possible_masks(recording.types):
        message = recording.first(name) if name not in taken else None
        if message is not None and _may_be_labels(message):
            by_frame.setdefault(message.header.frame_id, []).append(name)
    found = []
    for camera in cameras:
        masks = by_frame.get(camera.frame_id, [])
        alone = sum(other.frame_id == camera.frame_id for other in cameras) == 1
        found.append(replace(camera, segments=masks[0]) if not camera.segments and alone and len(masks) == 1 else camera)
    return found


def _may_be_labels(message: Any) -> bool:
    return getattr(message, "encoding", "") in LABEL_ENCODINGS or "png" in getattr(message, "format", "")


def _recorded_camera(wanted: str, topics: TopicTypes) -> CameraTopic:
    absolute = wanted if wanted.startswith("/") else f"/{wanted}"
    if any(msgtype in VIDEO for msgtype in topics.get(absolute, ())):
        return _camera(absolute, topics)
    camera = resolve_camera(absolute, topics) or resolve_camera(wanted, topics)
    if camera is None:
        images = ", ".join(name for name, types in topics.items() if is_image(types)) or "none"
        raise UsageError(f"camera topic {wanted} is not in the recording; image topics: {images}")
    return camera


def _no_picture(message: Any, topic: str, calibrated: bool) -> str:
    """Why this is no picture of a camera, empty if it may be one."""
    form = getattr(message, "format", "")
    if is_packet(message):
        if reason := why_unreadable(message, topic):
            return reason
        encoding = ""
    elif form and (reason := unreadable(message)):
        return reason
    else:
        encoding = getattr(message, "encoding", form.partition(";")[0].strip())
    if encoding in _NO_PICTURE or (encoding == "mono16" and not form):
        return f"{encoding} images are no pictures but depth or labels; name the topic if they are"
    name = _base(topic).rpartition("/")[2]
    if _DEPTH.search(name) or (_MASKS.search(name) and not calibrated):
        return "no pictures of a camera by its name; name the topic if they are"
    return ""


def _one_each(cameras: Sequence[CameraTopic], topics: TopicTypes, left_out: dict[str, str]) -> list[CameraTopic]:
    """One topic per physical camera, in the order of the topics; the others go to ``left_out``."""
    kept: dict[tuple[str, str], CameraTopic] = {}
    for camera in sorted(cameras, key=_rank):
        # Without frame_id, two cameras in one folder are told apart by their calibrations.
        key = camera.frame_id, camera.folder if camera.frame_id else camera.info_topic
        if kept.setdefault(key, camera) is not camera:
            left_out[camera.topic] = f"the same camera as {kept[key].topic}"
    calibrated = {camera.frame_id: camera.topic for camera in kept.values() if _has_info(camera, topics)}
    drawings = [c for c in kept.values() if c.frame_id in calibrated and not _has_info(c, topics)]
    for camera in drawings:
        left_out[camera.topic] = f"no camera_info, and the same frame_id as {calibrated[camera.frame_id]}"
    return sorted((c for c in kept.values() if c not in drawings), key=lambda camera: camera.topic)


def _rank(camera: CameraTopic) -> tuple[bool | str, ...]:
    """Of topics that show the same camera the first is taken."""
    name = camera.image_name
    return bool(_MASKS.search(name)), camera.video, camera.rectified, "mono" in name, not camera.compressed, camera.topic


def _unique_names(cameras: Sequence[CameraTopic]) -> list[CameraTopic]:
    """Two cameras that claim one frame_id are told apart by their topics: their images must not mix."""
    counts = Counter(camera.name for camera in cameras)
    return [
        camera
        if counts[camera.name] == 1
        else replace(camera, name=camera_name(f"{camera.folder.strip('/')}_{camera.name}".replace("/", "_")))
        for camera in cameras
    ]
