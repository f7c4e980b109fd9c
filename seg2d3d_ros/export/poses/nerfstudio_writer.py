"""nerfstudio's ``transforms.json``: poses in OpenGL's axes and intrinsics per image; points and masks beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.export.folders import new_folder
from seg2d3d_ros.export.photos import photo_path
from seg2d3d_ros.export.poses.pose_masks import write_empty_mask, write_masks
from seg2d3d_ros.export.poses.posed_images import PosedImage, posed_images, write_frame_note
from seg2d3d_ros.findings import Kind
from seg2d3d_ros.geometry.attitude import FLU_FROM_FRD
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.mapstore.point_cloud import write_points
from seg2d3d_ros.types import SparseModel

OPTICAL_FROM_OPENGL = FLU_FROM_FRD
"""x right, y down, z forward from x right, y up, z backward: half a turn about x."""
PERSPECTIVE, FISHEYE = "OPENCV", "OPENCV_FISHEYE"
COEFFICIENTS = {
    "SIMPLE_PINHOLE": (PERSPECTIVE, ()),
    "PINHOLE": (PERSPECTIVE, ()),
    "SIMPLE_RADIAL": (PERSPECTIVE, ("k1",)),
    "RADIAL": (PERSPECTIVE, ("k1", "k2")),
    "OPENCV": (PERSPECTIVE, ("k1", "k2", "p1", "p2")),
    "FULL_OPENCV": (PERSPECTIVE, ("k1", "k2", "p1", "p2", "k3")),  # where the denominator is 1
    "OPENCV_FISHEYE": (FISHEYE, ("k1", "k2", "k3", "k4")),
    "SIMPLE_RADIAL_FISHEYE": (FISHEYE, ("k1",)),
    "RADIAL_FISHEYE": (FISHEYE, ("k1", "k2")),
}
"""nerfstudio's kind of lens, and its names for the distortion coefficients of COLMAP's models, in COLMAP's order."""

LENS_UNKNOWN = Kind(
    "export_lens_unknown",
    "images whose lens nerfstudio cannot say, which are left out",
    cause="a file has one kind of lens, the most frequent ({detail}), and knows no FOV, thin prism or rational model",
    remedy="undistort the images (colmap image_undistorter) and export that model, or export with --format colmap",
)
MASK_UNKNOWN = Kind(
    "export_mask_unknown",
    "images without labels, whose mask is empty",
    cause="nerfstudio wants a mask for every image, or none; nobody looked for objects there",
    remedy="run the map again with a segmenter; or take the entries 'mask_path' out of transforms.json, to use whole images",
)


def export(contents: Contents, path: Path) -> str:
    """Write ``transforms.json``, which leads to the photographs where they are, ``sparse_pc.ply``, ``masks`` and ``labels``.

    Raises:
        DataError: the map has no model, or none of its images' lenses is known.
    """
    images = posed_images(contents)
    kind = _most_frequent(images)
    known = [image for image in images if lens(image.camera)[0] == kind]
    others = [image.record.file_name for image in images if lens(image.camera)[0] != kind]
    if not known:
        raise DataError(f"{contents.store.root}: nerfstudio knows none of these lenses; take --format colmap")
    if others:
        contents.findings.add(LENS_UNKNOWN, *others, of=len(images), detail=kind)
    with new_folder(path) as folder:
        masks = _masks(contents, folder, known)
        write_points(folder / "sparse_pc.ply", _colored(contents.models[0]))
        frames = []
        for image in known:
            frame = {"file_path": str(photo_path(contents, image.record.image)), **lens(image.camera)[1]}
            frame["transform_matrix"] = _opengl(image).tolist()
            if masks:
                frame["mask_path"] = f"masks/{image.record.file_name}.png"
            frames.append(frame)
        document = {
            "camera_model": kind,
            "applied_transform": np.eye(3, 4).tolist(),
            "ply_file_path": "sparse_pc.ply",
            "frames": frames,
        }
        write_json(folder / "transforms.json", document)
        words = write_frame_note(folder, contents.models[0].frame)
    return f"{len(known)} images, {len(contents.models[0].point_ids)} points, {masks} masks; {words}"


def lens(camera: Camera) -> tuple[str, dict[str, Any]]:
    """nerfstudio's kind of lens and the intrinsics of an image; the kind is "" where it has none like it."""
    kind, names = COEFFICIENTS.get(camera.model, ("", ()))
    if any(camera.distortion[len(names) :]):
        return "", {}
    focal_x, focal_y = camera.focal_lengths
    center_x, center_y = camera.principal_point
    facts = {"w": camera.width, "h": camera.height, "fl_x": focal_x, "fl_y": focal_y, "cx": center_x, "cy": center_y}
    return kind, {**facts, **dict(zip(names, camera.distortion, strict=False))}


def _most_frequent(images: Sequence[PosedImage]) -> str:
    kinds = [lens(image.camera)[0] for image in images]
    return max((PERSPECTIVE, FISHEYE), key=kinds.count)


def _opengl(image: PosedImage) -> np.ndarray:
    """(4, 4) from the camera's axes in OpenGL to the world."""
    matrix = image.world_from_camera.matrix
    matrix[:3, :3] = matrix[:3, :3] @ OPTICAL_FROM_OPENGL
    return matrix


def _masks(contents: Contents, folder: Path, images: Sequence[PosedImage]) -> int:
    """Write the mask of every image; of none where nothing is labelled. Returns how many there are."""
    files = {image.record.name: image.record.file_name for image in images}
    shown = write_masks(contents, folder, files)
    if not any(shown.values()):
        return 0
    lacking = [image for image in images if image.record.name not in shown]
    for image in lacking:
        write_empty_mask(folder, image.record.file_name, image.camera.width, image.camera.height)
    if lacking:
        contents.findings.add(MASK_UNKNOWN, *(image.record.file_name for image in lacking), of=len(images))
    return len(images)


def _colored(model: SparseModel) -> np.ndarray:
    """(P,) structured: the model's points in the photographs' colours."""
    points = np.empty(len(model.xyz), [(axis, "<f4") for axis in "xyz"] + [(color, "u1") for color in ("red", "green", "blue")])
    for k, axis in enumerate("xyz"):
        points[axis] = model.xyz[:, k]
    for k, color in enumerate(("red", "green", "blue")):
        points[color] = model.rgb[:, k]
    return points
