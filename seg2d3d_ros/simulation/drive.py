"""The vehicle: its drive down the street and back, its cameras, and when they fire.

Frames: ``base_link`` on the ground below the vehicle's middle (x forward, y left, z up, REP 103); camera frames are
optical (x right, y down, z forward).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.simulation.scene.street import LANE

CAMERA_NAMES = ("front", "left", "right")
CAMERA_YAW = {"front": 0.0, "left": 62.0, "right": -62.0}
CAMERA_PLACE = {"front": (0.9, 0.0, 2.1), "left": (0.5, 0.5, 2.1), "right": (0.5, -0.5, 2.1)}
CAMERA_PITCH_UP = 8.0
HORIZONTAL_FOV = 90.0
ANTENNA = (0.0, 0.0, 2.2)
SPEED = 5.0
TURN_SECONDS = 12.0
LEAD_IN = 2.0
"""Seconds of the recording before the first and after the last image."""
START_NS = 1_780_300_800_000_000_000
"""The recording begins on 2026-06-01 at 08:00 UTC."""


@dataclass(frozen=True)
class Carrier:
    """Who carries the cameras, and how. The default is a car that drives down the street and comes back in the other lane.

    Attributes:
        yaw: degrees to the left of straight ahead that each camera looks.
        place: of each camera on ``base_link``, in metres.
        pitch_up: degrees that all cameras look up.
        horizontal_fov: of all cameras, in degrees.
        speed: in metres a second.
        lane: metres to the right of the road's middle.
        returns: whether it comes back.
        wobble: degrees about the vertical, across and along.
        sway: metres sideways and up that it swings.
    """

    yaw: Mapping[str, float] = field(default_factory=lambda: CAMERA_YAW)
    place: Mapping[str, tuple[float, float, float]] = field(default_factory=lambda: CAMERA_PLACE)
    pitch_up: float = CAMERA_PITCH_UP
    horizontal_fov: float = HORIZONTAL_FOV
    speed: float = SPEED
    lane: float = LANE
    returns: bool = True
    wobble: tuple[float, float, float] = (1.2, 0.6, 0.7)
    sway: tuple[float, float] = (0.18, 0.02)


VEHICLE = Carrier()
SURVEY_VEHICLE = Carrier(
    yaw={"front": 0.0, "left": 90.0, "right": -90.0},
    place={"front": (0.3, 0.0, 2.4), "left": (0.0, 0.3, 2.4), "right": (0.0, -0.3, 2.4)},
    pitch_up=4.0,
    lane=0.0,
    returns=False,
)
"""Looks ahead and straight at the façades on both sides; one pass."""
PEDESTRIAN = Carrier(
    yaw={"front": 0.0},
    place={"front": (0.2, 0.0, 1.65)},
    pitch_up=3.0,
    horizontal_fov=64.0,
    speed=1.4,
    lane=0.0,
    returns=False,
    wobble=(6.0, 2.5, 1.5),
    sway=(0.7, 0.04),
)
"""A person who walks down the middle of the street with one camera that looks ahead."""


def make_camera(width: int, height: int, carrier: Carrier = VEHICLE) -> Camera:
    """The intrinsics of all cameras (COLMAP's pixel convention)."""
    focal = round(width / 2 / float(np.tan(np.radians(carrier.horizontal_fov / 2))), 6)
    return Camera("PINHOLE", width, height, (focal, focal, width / 2, height / 2))


def base_from_camera(name: str, carrier: Carrier = VEHICLE) -> Pose:
    """Where a camera is mounted."""
    optical = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    turn = Rotation.from_euler("ZY", [carrier.yaw[name], -carrier.pitch_up], degrees=True).as_matrix()
    return Pose(turn @ optical, np.array(carrier.place[name]))


@dataclass(frozen=True)
class Stop:
    """One trigger of all cameras: ``time`` seconds since the recording began, ``leg`` 0 = down the street, 1 = back."""

    index: int
    time: float
    leg: int
    since: float
    street_from_base: Pose

    @property
    def stamp_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return START_NS + round(self.time * 1e9)


class Drive:
    """Down the street; where the carrier returns, a turn, and back in the other lane.

    Args:
        length: of the street in metres.
        stops: how often the cameras fire in all, at least twice.

    Attributes:
        stops: in order of time.
        leg_times: (start, end) of each leg, one or two, in seconds since the recording began.
        end_time: of the recording, in seconds.
    """

    def __init__(self, rng: np.random.Generator, length: float, stops: int, carrier: Carrier = VEHICLE) -> None:
        self.carrier = carrier
        down, back = ((stops + 1) // 2, stops // 2) if carrier.returns else (stops, 0)
        self._legs = [(-3.0, length - 6.0, down)]
        if carrier.returns:
            self._legs.append((length + 3.0, 6.0, back))
        self._phases = rng.uniform(0, 2 * np.pi, 8)
        clock = LEAD_IN
        self.leg_times: list[tuple[float, float]] = []
        for begin, end, _ in self._legs:
            self.leg_times.append((clock, clock + self._duration(abs(end - begin))))
            clock = self.leg_times[-1][1] + TURN_SECONDS
        self.end_time = self.leg_times[-1][1] + LEAD_IN
        self.stops = self._stops(rng)

    def leg_at(self, time: float) -> int:
        """0 down the street and in the turn, 1 on the way back."""
        return int(self.carrier.returns and time >= self.leg_times[1][0])

    def _duration(self, distance: float) -> float:
        grid = np.linspace(0.0, 2.0 * distance / self.carrier.speed + 2.0, 4000)
        return float(np.interp(distance, self._way(grid), grid))

    def _way(self, since: np.ndarray) -> np.ndarray:
        """Metres driven ``since`` seconds after a leg's start; the speed swings around the carrier's."""
        return self.carrier.speed * since + 0.9 * (np.sin(0.7 * since + self._phases[0]) - np.sin(self._phases[0]))

    def _stops(self, rng: np.random.Generator) -> tuple[Stop, ...]:
        found: list[Stop] = []
        for leg, (begin, end, count) in enumerate(self._legs):
            distance = abs(end - begin)
            step = distance / max(1, count)
            for i in range(count):
                way = (i + 0.5) * step + rng.uniform(-0.12, 0.12) * step
                since = self._duration(way)
                time = round(self.leg_times[leg][0] + since, 6)
                found.append(Stop(len(found), time, leg, since, self.pose(time)))
        return tuple(found)

    def pose(self, time: float) -> Pose:
        """``street_from_base`` at ``time`` seconds, with the wobble of a real vehicle."""
        leg, lane = self.leg_at(time), self.carrier.lane
        begin, end, _ = self._legs[leg]
        since = float(np.clip(time - self.leg_times[leg][0], 0.0, None))
        way = min(float(self._way(np.array(since))), abs(end - begin))
        x, y, yaw = begin + np.sign(end - begin) * way, (-lane if leg == 0 else lane), np.pi * leg
        turned = self.leg_times[-1][0] - TURN_SECONDS
        if self.carrier.returns and leg == 0 and time > turned:
            share = (time - turned) / TURN_SECONDS
            ends = (self._legs[0][1], self._legs[1][0])
            x = ends[0] + share * (ends[1] - ends[0]) + 6.0 * np.sin(np.pi * share)
            y, yaw = -lane * np.cos(np.pi * share), np.pi * share
        swing = np.sin(np.array([0.5, 0.9, 1.7, 2.3, 1.3]) * time + self._phases[1:6])
        turn, (aside, up) = np.radians(self.carrier.wobble), self.carrier.sway
        angles = [yaw + turn[0] * swing[0], turn[1] * swing[2], turn[2] * swing[3]]
        return Pose(Rotation.from_euler("ZYX", angles).as_matrix(), np.array([x, y + aside * swing[1], up * swing[4]]))
