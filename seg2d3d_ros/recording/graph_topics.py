"""Which topics are cameras, and which carry segments: found in the live graph."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from seg2d3d_ros.errors import UsageError

IMAGE, COMPRESSED, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/CameraInfo"
Topics = Mapping[str, Sequence[str]]
"""Topic name -> types, as ``dict(node.get_topic_names_and_types())``."""

_NO_CAMERA = re.compile(r"segment|label|mask|truth|depth|disparity|semantic|instance|panoptic|theora|ffmpeg|zstd")
_SEGMENTS = re.compile(r"segment|instance|panoptic")


@dataclass(frozen=True)
class CameraTopic:
    """A camera's image topic, whether it is compressed, and its ``camera_info``."""

    topic: str
    compressed: bool
    info_topic: str

    @property
    def image_name(self) -> str:
        """The last part of the name, without the image transport: ``image_rect``."""
        return _base(self.topic).rsplit("/", 1)[-1]

    @property
    def rectified(self) -> bool:
        """Whether the images are undistorted already, by their name."""
        return "rect" in self.image_name


def _base(topic: str) -> str:
    """The topic without its image transport."""
    return topic.removesuffix("/compressed")


def info_topic(topic: str, topics: Topics) -> str:
    """``camera_info`` beside an image topic: the one that exists, else the one that image_transport would use."""
    beside = [f"{name.rsplit('/', 1)[0]}/camera_info" for name in dict.fromkeys((_base(topic), topic))]
    return next((name for name in beside if INFO in topics.get(name, ())), beside[0])


def resolve_camera(wanted: str, topics: Topics) -> CameraTopic | None:
    """The camera of a topic that the user named, with or without ``/compressed``; None while nobody publishes it.

    Raises:
        UsageError: the topic has another type.
    """
    for name in (wanted, f"{wanted}/compressed"):
        types = topics.get(name, ())
        if IMAGE in types or COMPRESSED in types:
            return CameraTopic(name, IMAGE not in types, info_topic(name, topics))
    if topics.get(wanted):
        found = ", ".join(name for name, types in topics.items() if IMAGE in types or COMPRESSED in types) or "none"
        raise UsageError(f"camera topic {wanted} is a {', '.join(topics[wanted])}, not an image; image topics: {found}")
    return None


def find_cameras(topics: Topics, *, own: Iterable[str] = ()) -> tuple[list[CameraTopic], dict[str, str]]:
    """Every camera in the graph, and the image topics left out with the topic that was taken instead.

    A camera is an image topic with a ``camera_info`` beside it. Of several that share one (raw and compressed, rectified
    and not) the same is taken as from a bag: the camera's own before rectified, colour before grey, compressed before raw.

    Args:
        own: names that begin like this are outputs of the package.
    """
    groups: dict[str, list[CameraTopic]] = {}
    for name, types in topics.items():
        if not (IMAGE in types or COMPRESSED in types) or name.startswith(tuple(own)):
            continue
        camera = CameraTopic(name, IMAGE not in types, info_topic(name, topics))
        if INFO in topics.get(camera.info_topic, ()) and not _NO_CAMERA.search(camera.image_name):
            groups.setdefault(camera.info_topic, []).append(camera)
    taken, left_out = [], {}
    for cameras in groups.values():
        first, *others = sorted(cameras, key=lambda c: (c.rectified, "mono" in c.image_name, not c.compressed, c.topic))
        taken.append(first)
        left_out.update({camera.topic: first.topic for camera in others})
    return sorted(taken, key=lambda camera: camera.topic), left_out


def find_segments(topics: Topics, *, own: Iterable[str] = ()) -> list[str]:
    """Image topics whose last name speaks of segments."""
    return sorted(
        name
        for name, types in topics.items()
        if IMAGE in types and _SEGMENTS.search(name.rsplit("/", 1)[-1]) and not name.startswith(tuple(own))
    )
