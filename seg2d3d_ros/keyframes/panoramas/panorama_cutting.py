"""A panorama as the keyframes of virtual pinhole cameras that look around from its centre."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from seg2d3d_ros.findings import NOTE, Findings, Kind
from seg2d3d_ros.geometry.given_pose import GivenPose
from seg2d3d_ros.geometry.panorama.equirectangular import Equirectangular
from seg2d3d_ros.geometry.panorama.panorama_view import PanoramaView
from seg2d3d_ros.images import decode_rgb, encode_jpeg
from seg2d3d_ros.keyframes.panoramas.panorama import is_two_to_one
from seg2d3d_ros.recording.naming import stream_name
from seg2d3d_ros.sections.keyframe_config import KeyframeConfig
from seg2d3d_ros.types import Keyframe

PANORAMAS = Kind(
    "panoramas",
    "panoramas (equirectangular, 360°)",
    cause="each became {views} images of virtual cameras that look around from its centre, from {below}° below to {above}° "
    "above the horizon; labels lie in the panorama too, and nothing is looked for beyond",
    remedy="nothing need be done; keyframes.panorama=never takes such pictures for photographs of one lens",
    level=NOTE,
)
PANORAMAS_NOT_READ = Kind(
    "panoramas_not_read",
    "panoramas that are not read",
    cause="{reason}",
    remedy="give them as they came from the camera: equirectangular, 360° around (2:1, or with GPano's note of what was cut "
    "off above and below)",
)
QUALITY = 95
"""Of the views' JPEG files: they are cut from files that were compressed before."""


def views_of(panorama: Keyframe, shape: Equirectangular, count: int) -> list[PanoramaView]:
    """The views that a panorama is cut into, from its middle column to the right."""
    facts = panorama.name, panorama.camera_name, panorama.file_name, panorama.source, shape
    return [PanoramaView(*facts, number, count) for number in range(count)]


def view_name(view: PanoramaView, stamp_ns: int) -> str:
    """The key of a view's keyframe: the panorama's with the view's degrees, ``0001_060`` or ``front_060_<stamp ns>``."""
    if view.panorama == stream_name(view.camera_name, stamp_ns):
        return stream_name(f"{view.camera_name}_{view.tag}", stamp_ns)
    return f"{view.panorama}_{view.tag}"


def as_keyframes(image: Keyframe, config: KeyframeConfig, findings: Findings) -> Iterator[Keyframe]:
    """A stream's image as it is; or, where panoramas are expected and it is 2:1, its views.

    Raises:
        DataError: a panorama that cannot be decoded.
    """
    if config.panorama != "always" or not is_two_to_one(*image.size):
        yield image
        return
    views = views_of(image, Equirectangular(*image.size), config.panorama_views)
    yield from cut_panorama(image, views)
    findings.add(PANORAMAS, image.name, **what_views_show(views))


def what_views_show(views: Sequence[PanoramaView]) -> dict[str, Any]:
    """How many views there are and how far they reach, for the note on panoramas."""
    below, above = (f"{abs(degrees):.0f}" for degrees in np.degrees(views[0].reach))
    return {"views": str(len(views)), "below": below, "above": above}


def cut_panorama(panorama: Keyframe, views: Sequence[PanoramaView]) -> Iterator[Keyframe]:
    """The keyframes of a panorama's views: its moment and position, exact intrinsics, and the mount of each where that of the
    panorama's camera is known.

    Args:
        panorama: with the picture.
        views: see ``views_of``.

    Raises:
        DataError: the picture cannot be decoded.
    """
    picture = decode_rgb(panorama.encoded, panorama.source or panorama.name)
    for view in views:
        name = view_name(view, panorama.stamp_ns)
        yield replace(
            panorama,
            name=name,
            camera_name=f"{panorama.camera_name}_{view.tag}",
            encoded=encode_jpeg(view.cut(picture), QUALITY),
            camera=view.camera,
            file_name=f"{name}.jpg",
            mount=None if panorama.mount is None else panorama.mount @ view.mounted_from_view,
            given=None if panorama.given is None else _given(panorama.given, view),
            view=view,
        )


def _given(pose: GivenPose, view: PanoramaView) -> GivenPose:
    """The pose of a view, from that of its panorama's camera; one of the vehicle stays, for the view has a mount on it."""
    if pose.body == "vehicle" or (pose.body == "auto" and pose.axes != "optical"):
        return replace(pose, body="vehicle")
    body_from_view = view.mounted_from_view if pose.axes == "optical" else view.panorama_from_view
    return replace(pose, rotation=pose.rotation @ body_from_view.rotation, axes="optical", body="camera")
