"""kapture 1.1 as text: sensors, records of cameras, trajectories (``camera_from_world``), points; links to the photographs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from seg2d3d_ros.disk.atomic import write_text
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.export.folders import new_folder
from seg2d3d_ros.export.names import inside, plain_names, without_separators
from seg2d3d_ros.export.photos import link_photo, photo_path
from seg2d3d_ros.export.poses.colmap_writer import IMAGES_RENAMED
from seg2d3d_ros.export.poses.pose_masks import write_masks
from seg2d3d_ros.export.poses.posed_images import PosedImage, by_camera, posed_images, times_of, write_frame_note
from seg2d3d_ros.geometry.camera import Camera

VERSION = "# kapture format: 1.1"


def export(contents: Contents, path: Path) -> str:
    """Write a kapture folder, with ``masks`` and ``labels`` beside what kapture knows.

    Raises:
        DataError: the map has no model.
    """
    images = posed_images(contents)
    sensors = _sensors(images)
    times = [times_of(contents, camera, own) for camera, own in by_camera(images).items()]
    stamps = range(len(images)) if None in times else [image.record.stamp_ns for image in images]
    names = without_separators(image.record.file_name for image in images)
    if renamed := sorted(old for old, new in names.items() if old != new):
        contents.findings.add(IMAGES_RENAMED, *renamed, of=len(names))
    files = {image.record.name: names[image.record.file_name] for image in images}
    cameras: list[list[Any]] = [
        [sensor, plain_names([name])[name], "camera", camera.model, camera.width, camera.height, *camera.params]
        for (name, camera), sensor in sensors.items()
    ]
    poses: list[list[Any]] = []
    records: list[list[Any]] = []
    for stamp, image in zip(stamps, images, strict=True):
        sensor, pose = sensors[image.record.camera_name, image.camera], image.camera_from_world
        x, y, z, w = pose.quaternion
        poses.append([stamp, sensor, *map(float, (w, x, y, z, *pose.translation))])
        records.append([stamp, sensor, files[image.record.name]])
    model = contents.models[0]
    with new_folder(path) as folder:
        written = inside(folder, "sensors/sensors.txt").parent
        write_text(written / "sensors.txt", _table("sensor_id, name, sensor_type, [sensor_params]+", cameras))
        write_text(written / "trajectories.txt", _table("timestamp, device_id, qw, qx, qy, qz, tx, ty, tz", poses))
        write_text(written / "records_camera.txt", _table("timestamp, device_id, image_path", records))
        points = [[*xyz, *rgb] for xyz, rgb in zip(model.xyz.tolist(), model.rgb.tolist(), strict=True)]
        write_text(inside(folder, "reconstruction/points3d.txt"), _table("X, Y, Z, R, G, B", points))
        for image in images:
            photo = photo_path(contents, image.record.image)
            link_photo(photo, inside(written / "records_data", files[image.record.name]))
        masks = write_masks(contents, folder, files)
        frame = write_frame_note(folder, model.frame)
    return f"{len(images)} images of {len(sensors)} cameras, {len(points)} points, {len(masks)} masks; {frame}"


def _sensors(images: Sequence[PosedImage]) -> dict[tuple[str, Camera], str]:
    """kapture's id of each camera: one for each calibration, since images of one camera may have several."""
    keys = sorted({(image.record.camera_name, image.camera) for image in images}, key=lambda key: (key[0], str(key[1])))
    names = [name for name, _ in keys]
    wanted = [f"{name}\0{k}" if names.count(name) > 1 else name for k, name in enumerate(names)]  # like no camera's name
    plain = plain_names(wanted)
    return dict(zip(keys, (plain[name] for name in wanted), strict=True))


def _table(header: str, rows: Iterable[Sequence[Any]]) -> str:
    lines = (", ".join(f"{value:.17g}" if isinstance(value, float) else str(value) for value in row) for row in rows)
    return "\n".join([VERSION, f"# {header}", *lines]) + "\n"
