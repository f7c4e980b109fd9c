"""Poses in the JSON files of other programs: nerfstudio's ``transforms.json`` and OpenSfM's ``reconstruction.json``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.disk.documents import read_json, shown
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.attitude import FLU_FROM_FRD
from seg2d3d_ros.geometry.pose import UNIT_TOLERANCE, Pose
from seg2d3d_ros.geometry.wgs84 import GeoPosition, from_enu
from seg2d3d_ros.keyframes.positions.pose_rows import PoseHints, PoseRow

OPENGL_FROM_OPTICAL = FLU_FROM_FRD
"""x right, y up, z backward from x right, y down, z forward: both turn half about x."""


def scene_rows(path: Path, hints: PoseHints) -> list[PoseRow]:
    """The poses of a file, each with the name of its image.

    Raises:
        DataError: neither of the two kinds, or a pose that is none.
    """
    tree = read_json(path)
    if isinstance(tree, dict) and isinstance(tree.get("frames"), list):
        rows = list(_nerfstudio(path, tree["frames"], hints))
    elif isinstance(tree, list) and tree and all(isinstance(one, dict) and "shots" in one for one in tree):
        largest = max(tree, key=lambda one: len(one["shots"]))
        rows = list(_opensfm(path, largest, hints))
    else:
        raise DataError(f"{path}: neither nerfstudio's transforms.json (frames) nor OpenSfM's reconstruction.json (shots)")
    if not rows:
        raise DataError(f"{path}: holds no pose")
    return rows


def _nerfstudio(path: Path, frames: list[Any], hints: PoseHints) -> Iterator[PoseRow]:
    for number, frame in enumerate(frames, start=1):
        where = f"{path}: frame {number}"
        try:
            name, matrix = str(frame["file_path"]), np.array(frame["transform_matrix"], np.float64)
        except (TypeError, KeyError, ValueError) as error:
            raise DataError(f"{where}: needs file_path and transform_matrix, got {shown(frame)}") from error
        if matrix.shape not in ((3, 4), (4, 4)) or not np.isfinite(matrix).all():
            raise DataError(f"{where}: transform_matrix is no 3 x 4 or 4 x 4 matrix")
        pose = Pose.from_matrix(matrix)
        rotation = _rotation(pose.rotation, where) @ OPENGL_FROM_OPTICAL
        yield PoseRow(number, name, hints.pose(rotation, pose.translation, body="camera", metric=False))


def _opensfm(path: Path, scene: Mapping[str, Any], hints: PoseHints) -> Iterator[PoseRow]:
    reference = scene.get("reference_lla")
    for number, (name, shot) in enumerate(scene["shots"].items(), start=1):
        where = f"{path}: shot {shown(name)}"
        try:
            turn, shift = np.array(shot["rotation"], np.float64), np.array(shot["translation"], np.float64)
            datum = reference and tuple(float(reference[key]) for key in ("latitude", "longitude", "altitude"))
        except (TypeError, KeyError, ValueError) as error:
            raise DataError(f"{where}: needs rotation and translation of three numbers, got {shown(shot)}") from error
        if turn.shape != (3,) or shift.shape != (3,) or not np.isfinite([*turn, *shift]).all():
            raise DataError(f"{where}: needs rotation and translation of three numbers, got {shown(shot)}")
        world_from_camera = Pose(Rotation.from_rotvec(turn).as_matrix(), shift).inverse()
        place, geo = world_from_camera.translation, None
        if datum:
            geo = from_enu(place[None], datum)[0]
            geo = GeoPosition(geo.latitude, geo.longitude, geo.altitude, np.eye(3) * hints.sigma**2)
        given = hints.pose(world_from_camera.rotation, None if datum else place, body="camera")
        yield PoseRow(number, str(name), given, geo)


def _rotation(matrix: np.ndarray, where: str) -> np.ndarray:
    """The rotation of a matrix (3, 3) that may carry a scale.

    Raises:
        DataError: it is none.
    """
    determinant = float(np.linalg.det(matrix))
    turn = matrix / np.cbrt(determinant) if determinant > 0 else matrix
    if np.abs(turn @ turn.T - np.eye(3)).max() > UNIT_TOLERANCE:
        raise DataError(f"{where}: transform_matrix holds no rotation")
    return np.asarray(turn)
