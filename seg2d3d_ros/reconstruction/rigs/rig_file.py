"""Where cameras are on the vehicle, from a file.

::

    cameras:
      left:                                  # the camera's name: frame_id, or <camera> in <camera>_<stamp>.jpg
        sensor_from_rig:                     # or rig_from_sensor
          translation: [0.1, 0.0, -0.5]      # metres
          quaternion_wxyz: [1.0, 0.0, 0.0, 0.0]   # or quaternion_xyzw, as ROS writes it
    gps:                                     # where positions are measured on the vehicle; without it: at the cameras
      rig_from_antenna: [0.0, -1.2, 0.4]     # metres; or antenna_from_base, a pose as above
    frames: auto                             # which images are of one moment: by time, stem or order; auto: time, else stem

The simulator's ``rig.json`` is read too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.disk.documents import read_yaml, shown
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Kind
from seg2d3d_ros.geometry.pose import UNIT_TOLERANCE, Pose
from seg2d3d_ros.reconstruction.database import ImageRow
from seg2d3d_ros.reconstruction.rigs.moments import PAIRINGS, Pairing

RIG_UNUSED = Kind(
    "rig_unused",
    "rigs of which no two images belong together",
    cause="{reason}",
    remedy="name the cameras in the rig file as the images' folders or names do (<camera>_<nanoseconds>.jpg), or say with "
    "frames: time, stem or order which images are of one moment; see reconstruction.rig_tolerance",
)
LARGEST_VEHICLE = 1000.0
"""Metres; a camera that is said to be farther from its vehicle's origin is a mistake, of millimetres for metres perhaps."""


@dataclass(frozen=True)
class Mounting:
    """Where the cameras of a vehicle are.

    Attributes:
        mounts: camera name -> ``rig_from_camera`` in metres.
        pairing: which images are of one moment, see ``find_moments``.
        path: of the file that says so; empty where none does.
        antenna: (3,) metres, where positions are measured, in the rig's frame; None where the file does not say.
    """

    mounts: Mapping[str, Pose]
    pairing: Pairing = "auto"
    path: str = ""
    antenna: np.ndarray | None = None

    def why_unused(self, rows: Sequence[ImageRow], tolerance: float) -> str:
        """Why no two of the images are of one moment, in words."""
        cameras = sorted({row.camera_name for row in rows})
        if len(set(cameras) & self.mounts.keys()) < 2:
            return f"it names the cameras {', '.join(self.mounts)}, the images are of {', '.join(cameras) or 'none'}"
        if any(row.stamp_ns > 0 for row in rows):
            return f"no two cameras have images within {1000 * tolerance:g} ms of each other"
        return "the images have no time, and no two cameras have images of one name"


def read_rig_file(path: Path) -> Mounting:
    """The mounts of a file.

    Raises:
        UsageError: no such file.
        DataError: not of the form above, with the camera that is not.
    """
    tree = read_yaml(path, remedy="--rig takes a YAML file that says where the cameras are on the vehicle")
    entries = tree.get("cameras", tree.get("sensors")) if isinstance(tree, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise DataError(f"{path}: expected 'cameras: {{name: {{sensor_from_rig: {{translation, quaternion_wxyz}}}}}}'")
    pairing = tree.get("frames", "auto")
    if pairing not in PAIRINGS:
        raise DataError(f"{path}: frames is one of {', '.join(PAIRINGS)}, not {shown(pairing)}")
    mounts = {str(name): _mount(entry, f"{path}: camera {shown(name)}") for name, entry in entries.items()}
    antenna = None if tree.get("gps") is None else _antenna(tree["gps"], f"{path}: gps")
    return Mounting(mounts, pairing, str(path), antenna)


def configured_mounting(rig: str) -> Mounting | None:
    """What ``reconstruction.rig`` gives: the mounts of a file, none at all, or None = as the keyframes say (auto)."""
    return None if rig == "auto" else Mounting({}) if rig == "none" else read_rig_file(Path(rig))


def _antenna(entry: Any, where: str) -> np.ndarray:
    """(3,) metres in the rig's frame.

    Raises:
        DataError: neither a place in the rig nor a pose of the rig.
    """
    entry = entry if isinstance(entry, dict) else {}
    for target in ("rig", "base"):
        for value, inverse in ((entry.get(f"{target}_from_antenna"), False), (entry.get(f"antenna_from_{target}"), True)):
            if value is not None:
                flat = {"translation": value} if isinstance(value, list) else dict(value) if isinstance(value, dict) else {}
                upright = {} if flat.keys() & {"quaternion_wxyz", "quaternion_xyzw"} else {"quaternion_wxyz": [1, 0, 0, 0]}
                pose = _pose({**flat, **upright}, where)
                return pose.inverse().translation if inverse else pose.translation
    raise DataError(f"{where}: expected rig_from_antenna: [x, y, z] in metres, got {shown(entry)}")


def _mount(entry: Any, where: str) -> Pose:
    if not isinstance(entry, dict):
        raise DataError(f"{where}: expected sensor_from_rig or rig_from_sensor with translation and quaternion")
    if "base_from_sensor_translation" in entry:
        flat = {str(key).removeprefix("base_from_sensor_"): value for key, value in entry.items()}
        return _pose(flat, where)
    if ("sensor_from_rig" in entry) == ("rig_from_sensor" in entry):
        raise DataError(f"{where}: give sensor_from_rig or rig_from_sensor, one of them")
    if "rig_from_sensor" in entry:
        return _pose(entry["rig_from_sensor"], where)
    return _pose(entry["sensor_from_rig"], where).inverse()


def _pose(value: Any, where: str) -> Pose:
    """Of a mapping with ``translation`` and ``quaternion_wxyz`` or ``quaternion_xyzw``.

    Raises:
        DataError: something else, or a quaternion whose length is not 1.
    """
    try:
        shift = np.array(value["translation"], float)
        if "quaternion_wxyz" in value:
            quaternion = np.roll(np.array(value["quaternion_wxyz"], float), -1)
        else:
            quaternion = np.array(value["quaternion_xyzw"], float)
    except (TypeError, KeyError, ValueError) as error:
        raise DataError(
            f"{where}: expected translation: [x, y, z] and quaternion_wxyz: [w, x, y, z], got {shown(value)}"
        ) from error
    good = shift.shape == (3,) and quaternion.shape == (4,) and np.isfinite([*shift, *quaternion]).all()
    if not good or abs(np.linalg.norm(quaternion) - 1.0) > UNIT_TOLERANCE or np.abs(shift).max() > LARGEST_VEHICLE:
        raise DataError(
            f"{where}: three metres below {LARGEST_VEHICLE:.0f} and a quaternion of length 1 are needed, got {shown(value)}"
        )
    return Pose.from_quaternion(quaternion, shift)
