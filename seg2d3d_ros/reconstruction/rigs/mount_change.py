"""By how much an adjustment moved cameras on their vehicle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.findings import EXAMPLES, Finding, Findings, Kind
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.reconstruction.rigs.rig_frames import Rig

MOUNTS_CORRECTED = Kind(
    "mounts_corrected",
    "cameras whose mounts the images correct",
    cause="with the mounts as given the images fit worse; the largest corrections are {degrees}° and {metres} m",
    remedy="calibrate the cameras' mounts again if they must be right; the map uses the corrected ones",
)
SMALL_DEGREES, SMALL_METRES = 3.0, 0.5
"""Corrections that calibrations and bent brackets need; beyond, the mount is another camera's, or of another vehicle."""
NOTABLE_DEGREES, NOTABLE_METRES = 0.05, 0.01
"""Smaller ones are not told."""


@dataclass(frozen=True)
class MountChange:
    """Of each camera, the angle in degrees and the way in metres between its mount as given and as refined."""

    degrees: dict[str, float]
    metres: dict[str, float]

    @property
    def small(self) -> bool:
        """Whether the mounts as given were right but for their precision."""
        return max(self.degrees.values()) <= SMALL_DEGREES and max(self.metres.values()) <= SMALL_METRES

    def tell(self, findings: Findings) -> None:
        """Say which cameras' mounts were corrected."""
        details = {"degrees": f"{max(self.degrees.values()):.2f}", "metres": f"{max(self.metres.values()):.3f}"}
        moved = tuple(
            f"{name} by {degrees:.2f}° and {self.metres[name]:.3f} m"
            for name, degrees in self.degrees.items()
            if degrees > NOTABLE_DEGREES or self.metres[name] > NOTABLE_METRES
        )
        findings.put(Finding(MOUNTS_CORRECTED, len(moved), len(self.degrees), moved[:EXAMPLES], details))


def mount_change(model: pycolmap.Reconstruction, rig: Rig) -> MountChange:
    """Between the mounts of a rig and those of a model in its frames; against the rig's reference camera, which stays.

    Args:
        model: in rig frames (``to_rig_frames``), in metres.
        rig: the mounts as given.
    """
    name_of = {row.camera_id: row.camera_name for frame in rig.frames for row in frame}
    degrees, metres = {}, {}
    for made in model.rigs.values():
        if made.num_sensors() < 2:
            continue
        reference = rig.mounts[name_of[made.ref_sensor_id.id]]
        for sensor in made.non_ref_sensors:
            name = name_of[sensor.id]
            refined = Pose.from_colmap(made.sensor_from_rig(sensor))
            change = refined @ (rig.mounts[name].inverse() @ reference).inverse()
            degrees[name] = float(np.degrees(Rotation.from_matrix(change.rotation).magnitude()))
            metres[name] = float(np.linalg.norm(refined.origin - (rig.mounts[name].inverse() @ reference).origin))
    return MountChange(degrees, metres)
