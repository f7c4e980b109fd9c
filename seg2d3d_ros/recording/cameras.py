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
from seg2d3d_ros.recording.naming import camera_name
from seg2d3d_ros.recording.reader import Recording
from seg2d3d_ros.recording.topics import IMAGE, INFO, TopicTypes, is_image

_NO_PICTURE = ("mono16", "16UC1", "32FC1", "64FC1", "16SC1", "32SC1")
"""Encodings of depth and label images; 16-bit cameras exist, but have to be named."""
_NO_CAMERA = re.compile(r"segment|label|mask|truth|depth|disparity|semantic|instance|panoptic|theora|ffmpeg|zstd")
"""In the names of images that are no camera's."""
_SEGMENTS = re.compile(r"segment|instance|panoptic")


@dataclass(frozen=True)
class CameraTopic:
    """One camera.

    Attributes:
        topic: its images.
        compressed: whether they are ``CompressedImage``.
        info_topic: its ``camera_info``: the one that is there, else the place where image_transport would have it.
        frame_id: of its headers; empty where none was seen, as in the graph.
        name: of the camera in keyframe names; empty where no header was seen.
        segments: its topic of mono16 label images in a recording, or None.
    """

    topic: str
    compressed: bool
    info_topic: str
    frame_id: str = ""
    name: str = ""
    segments: str | None = None

    @property
    def image_name(self) -> str:
        """The last part of the topic's name, without the image transport: ``image_rect``."""
        return _base(self.topic).rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The topic's name before that: ``/front``."""
        return _base(self.topic).rpartition("/")[0]

    @property
    def rectified(self) -> bool:
        """Whether the images are undistorted already, by their name."""
        return "rect" in self.image_name


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
        if not is_image(types) or name.startswith(tuple(own)):
            continue
        camera = _camera(name, topics)
        if first is None:
            if _has_info(camera, topics) and not _NO_CAMERA.search(camera.image_name):
                cameras.append(camera)
        elif (message := first(name)) is None:
            left_out[name] = "no messages"
        elif reason := _no_picture(message):
            left_out[name] = reason
        else:
            cameras.append(_with_header(camera, message, topics))
    kept = _one_each(cameras, topics, left_out)
    for camera in kept:
        left_out.pop(camera.segments or "", None)  # read, but not as a camera
    return kept, left_out


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
        raise DataError(f"no camera: there is no topic of {IMAGE} or CompressedImage with 8-bit pictures. It has: {table}")
    return _unique_names(cameras), left_out


def find_segments(topics: TopicTypes, *, own: Iterable[str] = ()) -> list[str]:
    """Image topics whose last name speaks of segments."""
    return sorted(
        name
        for name, types in topics.items()
        if IMAGE in types and _SEGMENTS.search(name.rpartition("/")[2]) and not name.startswith(tuple(own))
    )


def _base(topic: str) -> str:
    """``/front/image_raw/compressed`` and ``/front/image_raw`` are the same images: ``/front/image_raw``."""
    return topic.removesuffix("/compressed")


def _beside(topic: str, name: str) -> tuple[str, str]:
    """Where ``name`` (``camera_info``, ``segments``) may lie: beside the images, as image_transport wants, or below."""
    base = _base(topic)
    return f"{base.rpartition('/')[0]}/{name}", f"{base}/{name}"


def _camera(topic: str, topics: TopicTypes) -> CameraTopic:
    places = _beside(topic, "camera_info")
    info = next((place for place in places if INFO in topics.get(place, ())), places[0])
    return CameraTopic(topic, IMAGE not in topics[topic], info)


def _has_info(camera: CameraTopic, topics: TopicTypes) -> bool:
    return INFO in topics.get(camera.info_topic, ())


def _with_header(camera: CameraTopic, message: Any, topics: TopicTypes) -> CameraTopic:
    frame = message.header.frame_id
    name = camera_name(frame or camera.folder.strip("/") or camera.topic)
    segments = next((place for place in _beside(camera.topic, "segments") if IMAGE in topics.get(place, ())), None)
    return replace(camera, frame_id=frame, name=name, segments=segments)


def _recorded_camera(wanted: str, topics: TopicTypes) -> CameraTopic:
    absolute = wanted if wanted.startswith("/") else f"/{wanted}"
    camera = resolve_camera(absolute, topics) or resolve_camera(wanted, topics)
    if camera is None:
        images = ", ".join(name for name, types in topics.items() if is_image(types)) or "none"
        raise UsageError(f"camera topic {wanted} is not in the recording; image topics: {images}")
    return camera


def _no_picture(message: Any) -> str:
    """Why this is no picture of a camera, empty if it may be one."""
    encoding = getattr(message, "encoding", "")
    if encoding in _NO_PICTURE:
        return f"{encoding} images are no pictures; name the topic if they are"
    return "compressed depth images" if "compressedDepth" in getattr(message, "format", "") else ""


def _one_each(cameras: Sequence[CameraTopic], topics: TopicTypes, left_out: dict[str, str]) -> list[CameraTopic]:
    """One topic per physical camera, in the order of the topics; the others go to ``left_out``."""
    kept: dict[tuple[str, str], CameraTopic] = {}
    for camera in sorted(cameras, key=lambda c: (c.rectified, "mono" in c.image_name, not c.compressed, c.topic)):
        # Without frame_id, two cameras in one folder are told apart by their calibrations.
        key = camera.frame_id, camera.folder if camera.frame_id else camera.info_topic
        if kept.setdefault(key, camera) is not camera:
            left_out[camera.topic] = f"the same camera as {kept[key].topic}"
    calibrated = {camera.frame_id: camera.topic for camera in kept.values() if _has_info(camera, topics)}
    drawings = [c for c in kept.values() if c.frame_id in calibrated and not _has_info(c, topics)]
    for camera in drawings:
        left_out[camera.topic] = f"no camera_info, and the same frame_id as {calibrated[camera.frame_id]}"
    return sorted((c for c in kept.values() if c not in drawings), key=lambda camera: camera.topic)


def _unique_names(cameras: Sequence[CameraTopic]) -> list[CameraTopic]:
    """Two cameras that claim one frame_id are told apart by their topics: their images must not mix."""
    counts = Counter(camera.name for camera in cameras)
    return [
        camera
        if counts[camera.name] == 1
        else replace(camera, name=camera_name(f"{camera.folder.strip('/')}_{camera.name}".replace("/", "_")))
        for camera in cameras
    ]
