"""Trajectories as benchmarks and odometry programs write them: TUM's and KITTI's text files.

Both state ``world_from_body``: TUM ``time x y z qx qy qz qw`` (or an image's name in the place of the time), KITTI the twelve
numbers of a 3 x 4 matrix, line by line, without names or times.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.pose import UNIT_TOLERANCE, Pose
from seg2d3d_ros.keyframes.folder_scan import PhotoFile
from seg2d3d_ros.keyframes.positions.pose_rows import PoseHints, PoseRow, PosesByOrder, PosesByTime

NANOSECONDS = 1e12
"""Times beyond are nanoseconds, below seconds since the epoch or any other start."""


def numbers(cells: Sequence[str]) -> list[float] | None:
    """The numbers of some cells; None where one is no number."""
    try:
        values = [float(cell) for cell in cells if cell.strip()]
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None


def is_kitti(cells: Sequence[str]) -> bool:
    """Whether a line holds a matrix."""
    return len([cell for cell in cells if cell.strip()]) == 12 and numbers(cells) is not None


def is_tum(cells: Sequence[str]) -> bool:
    """Whether a line holds a time or a name, a place and a quaternion."""
    filled = [cell for cell in cells if cell.strip()]
    values = numbers(filled[1:]) if len(filled) == 8 else None
    return values is not None and abs(np.linalg.norm(values[3:]) - 1.0) <= UNIT_TOLERANCE


def kitti_poses(
    path: Path, lines: Sequence[tuple[int, list[str]]], photos: Sequence[PhotoFile], hints: PoseHints
) -> PosesByOrder:
    """Poses by order.

    Raises:
        DataError: a line is no matrix, or there are as many poses as images of no camera.
    """
    rows = []
    for line, cells in lines:
        values = numbers(cells)
        if values is None or len(values) != 12:
            raise DataError(f"{path}: line {line} does not hold the 12 numbers of a 3 x 4 matrix")
        pose = Pose.from_matrix(np.reshape(values, (3, 4)))
        if abs(np.linalg.det(pose.rotation) - 1.0) > UNIT_TOLERANCE:
            raise DataError(f"{path}: line {line} holds no rotation")
        rows.append(PoseRow(line, "", hints.pose(pose.rotation, pose.translation)))
    poses = PosesByOrder(str(path), rows, photos)
    if not poses:
        raise DataError(
            f"{path}: {len(rows)} poses for {len(photos)} images; without names there must be one for each image, or for each "
            "image of one camera"
        )
    return poses


def tum_row(line: int, cells: Sequence[str], hints: PoseHints) -> PoseRow | None:
    """A pose with the name of its image, or its time as that; None where the line holds none."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    if not is_tum(filled):
        return None
    values = np.array(numbers(filled[1:]))
    rotation = Pose.from_quaternion(values[3:], np.zeros(3)).rotation
    return PoseRow(line, filled[0], hints.pose(rotation, values[:3]))


def by_time(path: Path, rows: Sequence[PoseRow], max_gap: float) -> PosesByTime | None:
    """Poses whose images are named by times, in seconds or nanoseconds; None where not all are."""
    times = numbers([row.image for row in rows])
    if times is None:
        return None
    # The digits are taken as they stand: a float has too few of them for nanoseconds since 1970.
    return PosesByTime(str(path), [_nanoseconds(row.image) for row in rows], rows, max_gap)


def _nanoseconds(text: str) -> int:
    whole, _, fraction = text.partition(".")
    if "e" in text.lower() or not whole.lstrip("+-").isdigit():
        value = float(text)
        return round(value if abs(value) >= NANOSECONDS else value * 1e9)
    if abs(int(whole)) >= NANOSECONDS:
        return int(whole)
    return int(whole) * 10**9 + int((fraction + "0" * 9)[:9])
