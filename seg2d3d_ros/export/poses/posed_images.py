"""The images of the largest model with their poses, and what of the map has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.findings import NOTE, Kind
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.recording.naming import natural_key
from seg2d3d_ros.types import WorldFrame

IMAGES_WITHOUT_POSE = Kind(
    "export_without_pose",
    "images without a pose, which are left out",
    cause="the reconstruction could not register them",
    remedy="see the report for the reason; take photographs that overlap more, or give poses (--poses), and run again",
)
POSES_ELSEWHERE = Kind(
    "export_poses_elsewhere",
    "images of other models than the largest, which are left out",
    cause="the photographs fall into separate models, each in a frame of its own",
    remedy="take photographs that overlap with both, or give positions (--gps), and run again; sparse/1 … hold the others",
)
POSES_WITHOUT_IMAGE = Kind(
    "export_poses_without_image",
    "images of the model that the map does not list",
    cause="a finished model was given, and not all of its photographs were found; only COLMAP's format keeps their poses",
    remedy="give all photographs of the model, or take the model itself (sparse/0)",
)
TIMES_UNKNOWN = Kind(
    "export_times_unknown",
    "cameras whose images have no times of their own: numbers stand in the place of the times",
    cause="the photographs have no time, or several have the same (EXIF counts whole seconds)",
    remedy="nothing, if the order is enough: it is by time, then by name; else give times to the photographs",
    level=NOTE,
)


@dataclass(frozen=True)
class PosedImage:
    """An image of the largest model: its intrinsics, and ``camera_from_world`` in the map's frame."""

    record: KeyframeRecord
    camera: Camera
    camera_from_world: Pose

    @property
    def world_from_camera(self) -> Pose:
        """The inverse."""
        return self.camera_from_world.inverse()


def posed_images(contents: Contents) -> list[PosedImage]:
    """All of them by time, then by name; images that have no pose there are told of.

    Raises:
        DataError: the map has no model.
    """
    largest, *others = contents.models
    elsewhere = sorted({name for model in others for name in model.names} & set(contents.records))
    without = sorted(set(contents.records) - set(largest.names) - set(elsewhere))
    unlisted = sorted(set(largest.names) - set(contents.records))
    for kind, names, total in (
        (IMAGES_WITHOUT_POSE, without, len(contents.records)),
        (POSES_ELSEWHERE, elsewhere, len(contents.records)),
        (POSES_WITHOUT_IMAGE, unlisted, len(largest.names)),
    ):
        if names:
            contents.findings.add(kind, *names, of=total)
    found = [
        PosedImage(contents.records[name], camera, pose)
        for name, camera, pose in zip(largest.names, largest.cameras, largest.pose, strict=True)
        if name in contents.records
    ]
    return sorted(found, key=lambda image: (image.record.stamp_ns, natural_key(image.record.name)))


def times_of(contents: Contents, camera: str, images: Sequence[PosedImage]) -> list[int] | None:
    """Nanoseconds of the images of a camera, which must be all different; None, and a note, where they are not or not known."""
    stamps = [image.record.stamp_ns for image in images]
    if min(stamps, default=1) > 0 and len(set(stamps)) == len(stamps):
        return stamps
    contents.findings.add(TIMES_UNKNOWN, camera)
    return None


def by_camera(images: Sequence[PosedImage]) -> dict[str, list[PosedImage]]:
    """The images of each camera, in the same order."""
    found: dict[str, list[PosedImage]] = {}
    for image in images:
        found.setdefault(image.record.camera_name, []).append(image)
    return dict(sorted(found.items()))


def write_frame_note(folder: Path, frame: WorldFrame) -> str:
    """Write ``frame.json``: what the coordinates mean, and where on the Earth the origin is. Returns that in words."""
    note: dict[str, object] = {"kind": frame.kind, "axes": AXES[frame.kind]}
    words = AXES[frame.kind]
    if frame.datum is not None:
        latitude, longitude, altitude = frame.datum
        note["datum"] = {"latitude": latitude, "longitude": longitude, "altitude": altitude}
        words += f" of {latitude:.7f}, {longitude:.7f}, {altitude:.3f} m"
    write_json(folder / "frame.json", note)
    return words


AXES = {
    "enu": "metres east, north, up",
    "metric": "metres, z up, from an origin of its own",
    "arbitrary": "z up, from an origin and in a unit of its own",
}
"""What x, y and z are, by the kind of a frame."""
