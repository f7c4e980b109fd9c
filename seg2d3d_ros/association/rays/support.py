"""How well masks fit a thing that is supposed to be somewhere: bearing, width, height, and the ground below it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from seg2d3d_ros.arrays import take
from seg2d3d_ros.association.rays.ground import SIGMA, Ground
from seg2d3d_ros.association.rays.level_views import LevelViews
from seg2d3d_ros.association.rays.mask_rays import MaskRays

SIGMA_ELEVATION = np.radians(0.35)
"""Standard deviation of a mask's end, as an elevation."""
SIGMA_WIDTH = 0.3
"""Standard deviation of the logarithm of a width, beside that of the pixels at its borders."""
SIGMA_ROAD = 0.06
"""Standard deviation in metres of the ground's height where something lies on it."""
GATE = 9.0
"""Squared standard deviations of bearing and width together beyond which a mask does not fit."""
ONE_END, OVERLAP = 0.25, 0.5
"""Metres within which two ends are the same, and how much of the shorter one two heights must have in common else."""
PARTLY = 0.6
"""Weight of a mask that shows neither end of the thing: it is hidden in part, or it is another thing."""
FLAT_DEPTH = 4.0
"""Things that lie on the ground are, there, less than so many times as deep as wide, and not so many times as wide as deep."""
NEAREST, FARTHEST = 0.5, 60.0
"""Metres from a camera within which things are looked for."""


@dataclass(frozen=True, eq=False)
class Supposed:
    """M things: places (M, 2), widths (M,), heights of both ends (M,), whether they lie flat (M,) bool, and the standard
    deviation of the place (M,); metres, level frame."""

    xy: np.ndarray
    width: np.ndarray
    bottom: np.ndarray
    top: np.ndarray
    flat: np.ndarray
    sigma: np.ndarray


@dataclass(frozen=True, eq=False)
class Evidence:
    """The rays of one class with what the ground tells of them.

    Attributes:
        flat: (N,) bool, the mask shows something that lies on the ground.
        reach: (N,) where the ray of a flat thing meets the ground, in metres from the camera; NaN for others.
    """

    rays: MaskRays
    views: LevelViews
    ground: Ground | None
    flat: np.ndarray
    reach: np.ndarray

    @classmethod
    def of(cls, rays: MaskRays, views: LevelViews, ground: Ground | None) -> Evidence:
        """Decide by the masks' shape what lies flat; where most of a class do, all do."""
        count = len(rays)
        flat, reach = np.zeros(count, bool), np.full(count, np.nan)
        if ground is None or not count:
            return cls(rays, views, ground, flat, reach)
        center = views.center[rays.view]
        near, far = (_meets(center, rays.bearing, tangent, ground) for tangent in (rays.bottom, rays.top))
        with np.errstate(invalid="ignore", divide="ignore"):
            middle = (near + far) / 2
            ratio = (far - near) / (rays.width * middle)
            flat = (ratio > 1 / FLAT_DEPTH) & (ratio < FLAT_DEPTH)
            telling = ~rays.open_bottom & (near < FARTHEST / 4)
        if telling.sum() >= 3:
            share = flat[telling].mean()
            flat = np.full(count, share > 0.5) if share > 0.7 or share < 0.3 else flat
        flat &= np.isfinite(middle)
        return cls(rays, views, ground, flat, np.where(flat, middle, np.nan))

    @cached_property
    def reach_sigma(self) -> np.ndarray:
        """(N,) standard deviation of ``reach`` in metres."""
        assert self.ground is not None
        above = self.views.center[self.rays.view]
        height = np.maximum(above[:, 2] - self.ground.at(above[:, :2]), 0.3)
        elevation = np.hypot(SIGMA_ELEVATION / 2, self.rays.pixel)
        sigma = np.hypot(self.reach**2 / height * elevation, self.reach / height * SIGMA_ROAD)
        return np.where(self.rays.open_bottom, 5.0, 1.0) * sigma

    def suppose(self, one: int, distance: np.ndarray) -> Supposed:
        """The thing that mask ``one`` shows, if it is so far (M,) away."""
        s = self.rays
        center, angle, count = self.views.center[s.view[one]], s.bearing[one], len(distance)
        xy = center[:2] + distance[:, None] * np.array([np.cos(angle), np.sin(angle)])
        bottom, top = (center[2] + distance * tangent for tangent in (s.bottom[one], s.top[one]))
        flat = np.full(count, self.flat[one])
        return Supposed(xy, s.width[one] * distance, bottom, top, flat, np.hypot(0.1, distance * s.sigma[one]))

    def support(self, things: Supposed, masks: np.ndarray) -> np.ndarray:
        """(M, n) how well each thing is shown by each of n masks, in [0, 1]."""
        s = take(self.rays, masks)
        center = self.views.center[s.view]
        away = things.xy[:, None] - center[None, :, :2]
        distance = np.maximum(np.hypot(away[..., 0], away[..., 1]), 1e-6)
        turn = np.angle(np.exp(1j * (np.arctan2(away[..., 1], away[..., 0]) - s.bearing)))
        off = turn**2 / (s.sigma**2 + (things.sigma[:, None] / distance) ** 2)
        seen = s.width * distance
        spread = SIGMA_WIDTH**2 + (1.5 * s.pixel / s.width) ** 2
        off += np.log(seen / things.width[:, None]) ** 2 / spread
        bottom, top = center[:, 2] + distance * s.bottom, center[:, 2] + distance * s.top
        tolerance = ONE_END + 2 * SIGMA_ELEVATION * distance
        fits = (distance > NEAREST) & (distance < FARTHEST) & (things.flat[:, None] == self.flat[masks])
        weight = self._same_height(things, s, bottom, top, tolerance)
        if self.ground is not None:
            foot = self.ground.at(things.xy)[:, None]
            fits &= bottom > foot - 2 * np.hypot(SIGMA, SIGMA_ELEVATION * distance)
            lying = np.broadcast_to(self.flat[masks], distance.shape)
            if lying.any():
                sigma = np.hypot(self.reach_sigma[masks], things.sigma[:, None])
                off = np.where(lying, off + ((distance - self.reach[masks]) / sigma) ** 2, off)
                weight = np.where(lying, 1.0, weight)
        with np.errstate(invalid="ignore"):
            return np.where(fits & (off < GATE), weight * (1.0 - off / GATE), 0.0)

    @staticmethod
    def _same_height(things: Supposed, s: MaskRays, bottom: np.ndarray, top: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
        """(M, n) 1 where an end of the mask is the thing's, less where they only overlap, 0 where they do not."""
        low, high = things.bottom[:, None], things.top[:, None]
        same = (np.abs(bottom - low) < tolerance) & ~s.open_bottom
        same |= (np.abs(top - high) < tolerance) & ~s.open_top
        common = np.minimum(top, high) - np.maximum(bottom, low)
        shorter = np.maximum(np.minimum(top - bottom, high - low), 1e-6)
        return np.where(same, 1.0, np.where(common > OVERLAP * shorter - 0.1, PARTLY, 0.0))


def _meets(center: np.ndarray, bearing: np.ndarray, tangent: np.ndarray, ground: Ground) -> np.ndarray:
    """(N,) distance at which rays meet the ground; NaN where they do not come down within reach."""
    height = center[:, 2] - ground.at(center[:, :2])
    for _ in range(2):
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.where(tangent < -0.02, height / -tangent, np.nan)
        distance = np.where((distance > 0) & (distance < FARTHEST), distance, np.nan)
        direction = np.column_stack([np.cos(bearing), np.sin(bearing)])
        place = center[:, :2] + np.nan_to_num(distance)[:, None] * direction
        height = center[:, 2] - ground.at(place)
    return distance
