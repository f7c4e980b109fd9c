"""Poses of photographs from whatever file says them, ``--poses FILE``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import EXAMPLES, Finding, Findings
from seg2d3d_ros.geometry.attitude import enu_from_vehicle, vehicle_angles
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.keyframes.folder_scan import PhotoFile
from seg2d3d_ros.keyframes.positions.image_positions import ROWS_UNREADABLE, rows_of_photos
from seg2d3d_ros.keyframes.positions.pose_rows import PoseHints, PoseRow, PosesByName, PoseSource
from seg2d3d_ros.keyframes.positions.positions_file import PositionRow, PositionTable, read_positions
from seg2d3d_ros.keyframes.positions.scene_file import scene_rows
from seg2d3d_ros.keyframes.positions.table_text import table_rows
from seg2d3d_ros.keyframes.positions.trajectory_file import by_time, is_kitti, is_tum, kitti_poses, tum_row


def read_poses(path: Path, photos: Sequence[PhotoFile], hints: PoseHints, findings: Findings) -> PoseSource:
    """The poses in a file.

    A table like that of ``--gps`` with roll, pitch, yaw or omega, phi, kappa in degrees, or a quaternion qx, qy, qz, qw (of
    the camera's axes in east, north, up); a TUM or KITTI trajectory; nerfstudio's ``transforms.json``; OpenSfM's
    ``reconstruction.json``.

    Args:
        path: the file.
        photos: in the order of their names.
        hints: what the file leaves open.
        findings: gets what is not used.

    Raises:
        UsageError: no such file.
        DataError: none of these, or without a pose.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file of poses")
    if path.suffix.lower() == ".json":
        return named_poses(str(path), scene_rows(path, hints), photos, findings)
    lines = [(line, cells) for line, cells in table_rows(path) if not cells[0].lstrip().startswith("#")]
    body = lines[1:] or lines
    if body and is_kitti(body[0][1]):
        return kitti_poses(path, lines, photos, hints)
    if body and is_tum(body[0][1]):
        rows = [tum_row(line, cells, hints) for line, cells in lines]
        known = [row for row in rows if row is not None]
        reason = "no time or name, place and quaternion"
        refused = {line: reason for (line, _), row in zip(lines, rows, strict=True) if row is None}
        along = by_time(path, known, hints.max_gap)
        if along is None:
            return named_poses(str(path), known, photos, findings, refused)
        shown = tuple(f"line {line}" for line in refused)
        findings.put(Finding(ROWS_UNREADABLE, len(refused), len(lines), shown[:EXAMPLES], {"reason": reason}))
        return along
    return _table(path, photos, hints, findings)


def named_poses(
    source: str,
    rows: Sequence[PoseRow],
    photos: Sequence[PhotoFile],
    findings: Findings,
    refused: dict[int, str] | None = None,
) -> PosesByName:
    """Poses whose images are named.

    Args:
        source: of the poses, for messages.
        rows: the poses.
        photos: to which they may belong.
        findings: gets what is not used.
        refused: line -> why it is not used.
    """
    return PosesByName(source, rows_of_photos(PositionTable(list(rows), 0, refused or {}), photos, findings))


def _table(path: Path, photos: Sequence[PhotoFile], hints: PoseHints, findings: Findings) -> PosesByName:
    rows = rows_of_photos(read_positions(path), photos, findings)
    poses = {name: pose for name, row in rows.items() if (pose := _pose(row, hints)) is not None}
    if not poses:
        raise DataError(
            f"{path}: places without attitudes; --poses needs roll, pitch, yaw or omega, phi, kappa, in degrees, or a "
            "quaternion qx, qy, qz, qw (use --gps for places alone)"
        )
    return PosesByName(str(path), poses)


def _pose(row: PositionRow, hints: PoseHints) -> PoseRow | None:
    if row.turn is None:
        return None
    turn, rotation, axes = row.turn, row.turn.rotation, row.turn.axes
    if axes == "angles" and hints.angles is not None:
        axes = hints.angles
        if axes == "enu":
            rotation = enu_from_vehicle(vehicle_angles(rotation, "ned"), "enu")
    geo = row.geo
    if geo.covariance is None:
        geo = GeoPosition(geo.latitude, geo.longitude, geo.altitude, np.eye(3) * hints.sigma**2)
    given = hints.pose(
        rotation, None, axes, body="camera" if turn.of_camera else None, sigma=geo.sigma, rotation_sigma=turn.sigma
    )
    return PoseRow(row.line, row.image, given, geo)
