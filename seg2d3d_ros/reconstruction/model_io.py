"""COLMAP models to ``SparseModel`` and back from disk, with vectorised observations."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.disk.documents import read_json, shown
from seg2d3d_ros.disk.leftovers import ScratchFolder
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.reconstruction.model_check import NO_POINT, REMEDY, check_model
from seg2d3d_ros.types import FrameKind, SparseModel, WorldFrame

FRAME_FILE = "frame.json"


def read_image_points(path: Path) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Image id -> (N, 2) float64 xy and (N,) uint64 point ids (``NO_POINT`` = none), from COLMAP's ``images.bin``."""
    data = path.read_bytes()
    (count,) = np.frombuffer(data, "<u8", 1)
    row = np.dtype([("xy", "<f8", 2), ("id", "<u8")])
    found, at = {}, 8
    for _ in range(int(count)):
        (image_id,) = np.frombuffer(data, "<u4", 1, at)
        at = data.index(b"\0", at + 4 + 7 * 8 + 4) + 1
        (points,) = np.frombuffer(data, "<u8", 1, at)
        table = np.frombuffer(data, row, int(points), at + 8)
        found[int(image_id)] = (table["xy"], table["id"])
        at += 8 + int(points) * row.itemsize
    return found


def sparse_model(
    reconstruction: pycolmap.Reconstruction,
    names: Mapping[str, str],
    *,
    frame: WorldFrame | None = None,
    component: int = 0,
    revision: int = 0,
    folder: Path | None = None,
) -> SparseModel:
    """The registered images, points and observations of a pycolmap reconstruction.

    Args:
        reconstruction: COLMAP's model.
        names: COLMAP image name -> keyframe name; names that are missing fall back to the stem.
        frame: what the coordinates mean.
        component: 0 for the largest.
        revision: of the publication.
        folder: where ``reconstruction`` lies; where it does not in binary form, it is written to a temporary folder.
    """
    if folder is not None and (folder / "images.bin").exists():
        observed = read_image_points(folder / "images.bin")
    else:
        with (scratch := ScratchFolder()) as temporary:
            try:
                reconstruction.write_binary(temporary)
                observed = read_image_points(Path(temporary) / "images.bin")
            except (OSError, RuntimeError, ValueError) as error:  # COLMAP does not notice that a disk is full
                raise scratch.failure(error) from error
    images = sorted((reconstruction.image(i) for i in reconstruction.reg_image_ids()), key=lambda image: image.name)
    points = reconstruction.points3D
    point_ids = np.sort(np.fromiter(points, np.int64, len(points)))
    ordered = [points[int(i)] for i in point_ids]
    keyframe, point, xy = [], [], []
    for k, image in enumerate(images):
        coordinates, ids = observed[image.image_id]
        has = ids != NO_POINT
        keyframe.append(np.full(int(has.sum()), k, np.int32))
        point.append(np.searchsorted(point_ids, ids[has].astype(np.int64)).astype(np.int32))
        xy.append(coordinates[has].astype(np.float32))
    poses = np.array([image.cam_from_world().matrix() for image in images], np.float64).reshape(-1, 3, 4)
    return SparseModel(
        names=tuple(names.get(image.name, Path(image.name).stem) for image in images),
        cameras=tuple(Camera.from_colmap(reconstruction.camera(image.camera_id)) for image in images),
        camera_from_world=poses,
        xyz=np.array([p.xyz for p in ordered], np.float64).reshape(-1, 3),
        rgb=np.array([p.color for p in ordered], np.uint8).reshape(-1, 3),
        error=np.array([p.error for p in ordered], np.float32).reshape(-1),
        point_ids=point_ids,
        obs_keyframe=np.concatenate(keyframe or [np.zeros(0, np.int32)]),
        obs_point=np.concatenate(point or [np.zeros(0, np.int32)]),
        obs_xy=np.concatenate(xy or [np.zeros((0, 2), np.float32)]),
        frame=frame or WorldFrame(),
        component=component,
        revision=revision,
    )


def write_frame(folder: Path, frame: WorldFrame, revision: int, names: Mapping[str, str]) -> None:
    """Say beside a COLMAP model what its coordinates mean and which keyframe each image is."""
    datum, up = (None if value is None else list(value) for value in (frame.datum, frame.up))
    facts = {"kind": frame.kind, "datum": datum, "given": frame.given, "up": up, "scale_sigma": frame.scale_sigma}
    write_json(folder / FRAME_FILE, {**facts, "revision": revision, "keyframes": dict(names)})


def read_frame(folder: Path) -> tuple[WorldFrame, int, dict[str, str]]:
    """What ``write_frame`` said: the frame, the revision, COLMAP image name -> keyframe name."""
    path = folder / FRAME_FILE
    if not path.exists():
        return WorldFrame(), 0, {}
    value = read_json(path, remedy=REMEDY, unreadable=DataError)
    try:
        datum = value["datum"] and tuple(float(v) for v in value["datum"])
        up = value.get("up") and tuple(float(v) for v in value["up"])
        if value["kind"] not in get_args(FrameKind) or (datum is not None and len(datum) != 3):
            raise ValueError(f"kind {shown(value['kind'])}, datum {shown(datum)}")
        if up and not (len(up) == 3 and abs(math.hypot(*up) - 1.0) < 0.01):
            raise ValueError(f"up {shown(up)}")
        names = {str(name): str(keyframe) for name, keyframe in value["keyframes"].items()}
        sigma = value.get("scale_sigma")
        if sigma is not None and not 0.0 < float(sigma) < math.inf:
            raise ValueError(f"scale_sigma {shown(sigma)}")
        known = None if sigma is None else float(sigma)
        frame = WorldFrame(value["kind"], datum, bool(value.get("given", False)), up or None, known)
        return frame, int(value["revision"]), names
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{path}: says not what the model's coordinates mean ({reason}); {REMEDY}") from error


def model_folders(root: Path) -> list[Path]:
    """The folders of the models below ``root/sparse``, the largest model first."""
    return sorted((Path(root) / "sparse").glob("[0-9]*"), key=lambda f: int(re.sub(r"\D", "", f.name) or 0))


def open_model(folder: Path) -> pycolmap.Reconstruction:
    """The COLMAP model in ``folder``, which is checked before COLMAP reads it.

    Raises:
        DataError: it is damaged; the file is named, with the way out.
    """
    check_model(folder)
    try:
        return pycolmap.Reconstruction(folder)
    except (RuntimeError, ValueError, LookupError, OSError, MemoryError) as error:
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise DataError(f"{folder}: COLMAP cannot read the model ({reason[0]}); {REMEDY}") from error


def read_models(root: Path) -> list[SparseModel]:
    """The models below ``root/sparse``, the largest first; none gives an empty list.

    Raises:
        DataError: a model is damaged; the file is named, with the way out.
    """
    models: list[SparseModel] = []
    for folder in model_folders(root):
        frame, revision, names = read_frame(folder)
        reconstruction, k = open_model(folder), len(models)
        models.append(sparse_model(reconstruction, names, frame=frame, component=k, revision=revision, folder=folder))
    return models


def keypoint_ids(folder: Path) -> dict[int, np.ndarray]:
    """Image id -> (N,) int64 point id of each keypoint (-1 = none) of the binary COLMAP model in ``folder``."""
    return {
        image_id: ids.astype(np.int64)  # NO_POINT wraps to -1
        for image_id, (_, ids) in read_image_points(folder / "images.bin").items()
    }
