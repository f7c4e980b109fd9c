"""Where an image was taken and how its camera or its vehicle stood, as somebody else measured it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from seg2d3d_ros.geometry.attitude import FLU_FROM_CAMERA, enu_from_vehicle, vehicle_angles
from seg2d3d_ros.geometry.pose import Pose

Body: TypeAlias = Literal["auto", "camera", "vehicle"]
"""What a pose is of; ``auto``: of whichever agrees with the images."""
Axes: TypeAlias = Literal["optical", "ned", "enu", "angles"]
"""How the rotation was written: of a body with the camera's own axes; by roll, pitch, yaw in one convention
(``geometry.attitude``) or, ``angles``, in either: the rotation is then that of ``ned``."""


@dataclass(frozen=True, eq=False)
class GivenPose:
    """A pose from a navigation system, another program or a trajectory file.

    Attributes:
        rotation: (3, 3) ``world_from_body``; the world is east, north, up where the keyframe's position says the place.
        position: (3,) in the frame and unit of the file; None where the keyframe's position says the place.
        axes: of the body; optical: x right, y down, z forward, else x forward, y left, z up.
        body: what the pose is of.
        sigma: standard deviation of the position in metres (or the file's unit).
        rotation_sigma: of the rotation about any axis, in radians.
        metric: whether ``position`` is in metres; else its unit is the file's.
    """

    rotation: np.ndarray
    position: np.ndarray | None
    axes: Axes
    body: Body
    sigma: float
    rotation_sigma: float
    metric: bool = True

    def interpolate(self, other: GivenPose, share: float) -> GivenPose:
        """The pose at ``share`` of the way to another, as sure as the less sure one: errors of neighbours are alike."""
        here, there = (Pose(p.rotation, np.zeros(3) if p.position is None else p.position) for p in (self, other))
        pose = here.interpolate(there, share)
        return replace(
            self,
            rotation=pose.rotation,
            position=None if self.position is None else pose.translation,
            sigma=max(self.sigma, other.sigma),
            rotation_sigma=max(self.rotation_sigma, other.rotation_sigma),
        )

    def to_json(self) -> list[Any]:
        """JSON-able."""
        return [value.tolist() if isinstance(value, np.ndarray) else value for value in astuple(self)]

    @classmethod
    def from_json(cls, item: Sequence[Any]) -> GivenPose:
        """Inverse of ``to_json``."""
        rotation, position, *rest = item
        return cls(np.array(rotation, np.float64), None if position is None else np.array(position, np.float64), *rest)

    def readings(self, mount: Pose | None) -> dict[str, np.ndarray]:
        """What the rotation may mean, in words -> (3, 3) ``world_from_camera``; the likeliest first.

        Args:
            mount: ``base_from_camera``, if it is known. Without it a pose of the vehicle is that of a camera which looks
                forward, upright.
        """
        conventions = {self.axes: self.rotation}
        if self.axes == "angles":
            conventions = {"ned": self.rotation, "enu": enu_from_vehicle(vehicle_angles(self.rotation, "ned"), "enu")}
        own_axes = np.eye(3) if self.axes == "optical" else FLU_FROM_CAMERA
        bodies = {"camera": own_axes, "vehicle": FLU_FROM_CAMERA if mount is None else mount.rotation}
        if self.body != "auto":
            bodies = {self.body: bodies[self.body]}
        elif self.axes != "optical":  # three angles are a vehicle's, and without mounts both mean the same
            bodies = {"camera": own_axes} if mount is None else dict(reversed(bodies.items()))
        return {
            f"{convention}, of the {body}": world_from_body @ body_from_camera
            for convention, world_from_body in conventions.items()
            for body, body_from_camera in bodies.items()
        }
