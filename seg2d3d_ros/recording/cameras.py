"""Which topics of a recording are cameras, and what belongs to each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.recording.naming import camera_name
from seg2d3d_ros.recording.reader import Topic

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
INFO, FIX = "sensor_msgs/msg/CameraInfo", "sensor_msgs/msg/NavSatFix"
TF = "tf2_msgs/msg/TFMessage"

_NO_PICTURE = ("mono16", "16UC1", "32FC1", "64FC1", "16SC1", "32SC1")
"""Encodings of depth and label images; 16-bit cameras exist, but have to be named."""


@dataclass(frozen=True)
class CameraTopic:
    """One camera of a recording.

    Attributes:
        name: of the camera in keyframe names.
        topic: its images.
        frame_id: of its headers.
        compressed: whether they are ``CompressedImage``.
        info: its ``camera_info`` topic, or None; ``expected_info`` is where it was looked for.
        segments: its topic of mono16 label images, or None.
        rectified: whether the images are undistorted already.
    """

    name: str
    topic: str
    frame_id: str
    compressed: bool
    info: str | None
    expected_info: str
    segments: str | None
    rectified: bool


def image_base(topic: str) -> str:
    """``/front/image_raw/compressed`` and ``/front/image_raw`` are the same images: ``/front/image_raw``."""
    return topic.removesuffix("/compressed")


def neighbours(topic: str, name: str) -> tuple[str, str]:
    """Where ``name`` (``camera_info``, ``segments``) may lie: beside the image topic, as image_transport wants, or below."""
    base = image_base(topic)
    return f"{base.rpartition('/')[0]}/{name}", f"{base}/{name}"


def find_cameras(
    topics: Mapping[str, Topic], wanted: Sequence[str], first: Callable[[str], Any | None]
) -> tuple[list[CameraTopic], dict[str, str]]:
    """The cameras among ``topics``, and the image topics left out with the reasons.

    Without ``wanted`` all topics of 8-bit pictures are cameras, but of topics that show the same camera (the same frame_id
    and camera_info, raw and compressed, rectified and not) one is taken: compressed before raw, the camera's own before
    rectified or grey; and pictures without ``camera_info`` in the frame of a camera that has one (drawings of somebody's
    results) are none.

    Args:
        topics: by name, with counts.
        wanted: names of image topics; a camera's compressed topic may go without ``/compressed``.
        first: gives a topic's first message, or None.

    Raises:
        UsageError: a wanted topic is not there.
        DataError: no camera; the message lists all topics.
    """
    pictures = {name: t for name, t in topics.items() if t.msgtype in (IMAGE, COMPRESSED) and t.count}
    left_out: dict[str, str] = {}
    if wanted:
        chosen = [_named(name, pictures, topics) for name in wanted]
        cameras = [camera for name in dict.fromkeys(chosen) if (camera := _camera(name, topics, first(name))) is not None]
    else:
        seen = {name: first(name) for name in pictures}
        usable = []
        for name, message in seen.items():
            if message is None or (reason := _no_camera(message)):
                left_out[name] = "no messages" if message is None else reason
            else:
                usable.append(_camera(name, topics, message))
        cameras = _one_each([camera for camera in usable if camera is not None], left_out)
        for camera in cameras:
            left_out.pop(camera.segments or "", None)  # read, but not as a camera
    if not cameras:
        table = "; ".join(f"{topic.name} ({topic.msgtype}, {topic.count})" for topic in topics.values()) or "nothing"
        raise DataError(f"no camera: there is no topic of {IMAGE} or CompressedImage with 8-bit pictures. It has: {table}")
    return _unique_names(cameras), left_out


def _named(name: str, pictures: Mapping[str, Topic], topics: Mapping[str, Topic]) -> str:
    absolute = name if name.startswith("/") else f"/{name}"
    for candidate in (absolute, name, f"{absolute}/compressed"):
        if candidate in pictures:
            return candidate
    kind = f"is of type {topics[absolute].msgtype}" if absolute in topics else "is not in the recording"
    raise UsageError(f"camera topic {name} {kind}; image topics: {', '.join(pictures) or 'none'}")


def _no_camera(message: Any) -> str:
    """Why this is no picture of a camera, empty if it may be one."""
    encoding = getattr(message, "encoding", "")
    if encoding in _NO_PICTURE:
        return f"{encoding} images are no pictures; name the topic if they are"
    return "compressed depth images" if "compressedDepth" in getattr(message, "format", "") else ""


def _camera(name: str, topics: Mapping[str, Topic], message: Any | None) -> CameraTopic | None:
    if message is None:
        return None
    frame = message.header.frame_id
    info = neighbours(name, "camera_info")
    return CameraTopic(
        name=camera_name(frame or image_base(name).rpartition("/")[0].strip("/") or name),
        topic=name,
        frame_id=frame,
        compressed=topics[name].msgtype == COMPRESSED,
        info=next((t for t in info if t in topics and topics[t].msgtype == INFO and topics[t].count), None),
        expected_info=info[0],
        segments=next(
            (t for t in neighbours(name, "segments") if t in topics and topics[t].msgtype == IMAGE and topics[t].count), None
        ),
        rectified="rect" in image_base(name).rpartition("/")[2],
    )


def _one_each(cameras: Sequence[CameraTopic], left_out: dict[str, str]) -> list[CameraTopic]:
    """One topic per physical camera."""

    def preference(camera: CameraTopic) -> tuple[bool, bool, bool, str]:
        leaf = image_base(camera.topic).rpartition("/")[2]
        return camera.rectified, "mono" in leaf, not camera.compressed, camera.topic

    kept: list[CameraTopic] = []
    for camera in sorted(cameras, key=preference):
        twin = next((k for k in kept if k.frame_id == camera.frame_id and k.expected_info == camera.expected_info), None)
        if twin is not None:
            left_out[camera.topic] = f"the same camera as {twin.topic}"
        else:
            kept.append(camera)
    calibrated = {camera.frame_id: camera.topic for camera in kept if camera.info}
    for camera in [c for c in kept if c.info is None and c.frame_id in calibrated]:
        left_out[camera.topic] = f"no camera_info, and the same frame_id as {calibrated[camera.frame_id]}"
        kept.remove(camera)
    return sorted(kept, key=lambda camera: camera.topic)


def _unique_names(cameras: Sequence[CameraTopic]) -> list[CameraTopic]:
    """Two cameras that claim one frame_id are told apart by their topics: their images must not mix."""
    from dataclasses import replace

    names = [camera.name for camera in cameras]
    result = []
    for camera in cameras:
        if names.count(camera.name) > 1:
            folder = image_base(camera.topic).rpartition("/")[0].strip("/")
            camera = replace(camera, name=camera_name(f"{folder}_{camera.name}".replace("/", "_")))
        result.append(camera)
    return result
