"""What is known of where images were taken, as a global solution needs it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.up import Up
from seg2d3d_ros.reconstruction.database import ImageRow
from seg2d3d_ros.reconstruction.rigs.rig_frames import Rig
from seg2d3d_ros.reconstruction.world.levers import camera_positions

MIN_POSITIONS = 6
"""Positions from which a solution is anchored at them: of fewer a single wrong one decides."""


@dataclass(frozen=True)
class Anchor:
    """Positions of images, and how the images of one moment lie to each other.

    Attributes:
        positions: image id -> (3,) metres east, north, up.
        sigmas: image id -> standard deviation in metres, as claimed.
        heights: ids of the images whose third coordinate is measured.
        rig: the mounts and frames, if they are known.
        moments: images of one moment, each camera at most once, whether their mounts are known or not.
        attitudes: image id -> what its given rotation may mean -> (3, 3) ``world_from_camera``, the likeliest first.
        rotation_sigma: standard deviation of the given rotations in radians.
        levers: image id -> (3,) metres in the camera's frame, where its position was measured if that is not the camera.
        fixed: whether the given poses are right.
        verticals: of image ids (K,) and their poses (K,) ``camera_from_world``, the verticals that the world frame may have,
            the likeliest first.
    """

    positions: Mapping[int, np.ndarray]
    sigmas: Mapping[int, float]
    heights: Collection[int]
    rig: Rig | None
    moments: Sequence[Sequence[ImageRow]]
    verticals: Callable[[Sequence[int], Pose], Sequence[Up]]
    attitudes: Mapping[int, Mapping[str, np.ndarray]] = field(default_factory=dict)
    rotation_sigma: float = 0.01
    levers: Mapping[int, np.ndarray] = field(default_factory=dict)
    fixed: bool = False

    @property
    def camera_names(self) -> dict[int, str]:
        """Image id -> name of its camera."""
        return {row.image_id: row.camera_name for moment in self.moments for row in moment}

    def at_cameras(self, rotations: Mapping[int, np.ndarray]) -> Anchor:
        """The same with the positions of the cameras, whose rotations (image id -> (3, 3) ``camera_from_world``) are known."""
        return replace(self, positions=camera_positions(self.positions, self.levers, rotations))

    def off(self, image_id: int, place: np.ndarray) -> float:
        """Metres between a place (3,) and the image's position, of what is measured of it."""
        distance = place - self.positions[image_id]
        return float(np.linalg.norm(distance if image_id in self.heights else distance[:2]))

    def holds(self, image_ids: Collection[int]) -> bool:
        """Whether enough of these images have positions, which spread farther than they err."""
        known = [i for i in image_ids if i in self.positions]
        if len(known) < MIN_POSITIONS:
            return False
        places = np.array([self.positions[i] for i in known])
        sigma = float(np.median([self.sigmas[i] for i in known]))
        return float(np.sqrt(((places - np.median(places, axis=0)) ** 2).sum(1).mean())) > 3.0 * sigma
