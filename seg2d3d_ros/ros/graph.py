"""Which topics are cameras, and which carry segments: found in the live graph, refused where ambiguous."""

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
        found = ", ".join(c.topic for c in find_cameras(topics, ambiguous=True)) or "none"
        raise UsageError(f"camera topic {wanted} is a {', '.join(topics[wanted])}, not an image; image topics: {found}")
    return None


def find_cameras(topics: Topics, *, own: Iterable[str] = (), ambiguous: bool = False) -> list[CameraTopic]:
    """Every image topic that has a ``camera_info`` beside it, compressed where both transports are there.

    Args:
        own: names that begin like this are outputs of the package.
        ambiguous: list all instead of raising.

    Raises:
        UsageError: several different images beside one ``camera_info``, such as raw and rectified, with the candidates.
    """
    groups: dict[str, dict[str, CameraTopic]] = {}
    for name in sorted(topics):
        types = topics[name]
        if not (IMAGE in types or COMPRESSED in types) or name.startswith(tuple(own)):
            continue
        camera = CameraTopic(name, IMAGE not in types, info_topic(name, topics))
        if _NO_CAMERA.search(camera.image_name):
            continue
        if INFO in topics.get(camera.info_topic, ()):
            bases = groups.setdefault(camera.info_topic, {})
            if camera.compressed or _base(name) not in bases:
                bases[_base(name)] = camera
    for info, bases in groups.items():
        if len(bases) > 1 and not ambiguous:
            names = ", ".join(camera.topic for camera in bases.values())
            raise UsageError(f"several images belong to {info}: {names}; choose with camera_topics")
    return [camera for bases in groups.values() for camera in bases.values()]


def find_segments(topics: Topics, *, own: Iterable[str] = ()) -> list[str]:
    """Image topics whose last name speaks of segments."""
    return sorted(
        name
        for name, types in topics.items()
        if IMAGE in types and _SEGMENTS.search(name.rsplit("/", 1)[-1]) and not name.startswith(tuple(own))
    )
