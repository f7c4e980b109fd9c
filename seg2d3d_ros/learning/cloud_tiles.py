"""Pieces of a cloud that the network takes at once: upright cylinders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.geometry.voxels import one_per_voxel
from seg2d3d_ros.learning.learning_scene import ViewLabels
from seg2d3d_ros.learning.point_pyramid import Level, point_pyramid

GROUND = 5.0
"""Per cent of a tile's points that lie below what counts as its ground."""
CHANNELS = 8
"""Of what is known of a point: see ``Tile.feature``."""


@dataclass(frozen=True)
class Tile:
    """N points of a cloud in S superpoints.

    Attributes:
        point: (N,) int64 the cloud's points in it.
        superpoint: (N,) int64 from 0 to S - 1.
        feature: (N, ``CHANNELS``) float32: height above the ground in tens of metres; colour from -.5 to .5, and 1 where
            there is one; of the normal, whose sign means nothing, its steepness and twice its direction.
        levels: neighbourhoods.
        center: (S, 3) float32 of the superpoints, from the tile's middle, in units of its radius.
        radius: metres.
        image: (N, F) float32 what pictures show there, NaN where none does; None = no picture was asked.
    """

    point: np.ndarray
    superpoint: np.ndarray
    feature: np.ndarray
    levels: list[Level]
    center: np.ndarray
    radius: float
    image: np.ndarray | None = None

    @property
    def superpoints(self) -> int:
        """How many there are."""
        return len(self.center)


@dataclass(frozen=True)
class SuperpointLabels:
    """What a view says of a tile, over the superpoints: M objects, s superpoints that it sees.

    Attributes:
        seen: (s,) int64 superpoints.
        weight: (s,) float32 of each: the square root of the number of points seen of it; 1 on average.
        inside: (M, s) bool, which of them belong to each object: most of the points that the view sees of it.
        label: (M,) int32 the objects.
    """

    seen: np.ndarray
    weight: np.ndarray
    inside: np.ndarray
    label: np.ndarray


def cut_tile(
    xyz: np.ndarray,
    rgb: np.ndarray | None,
    normal: np.ndarray,
    superpoint: np.ndarray,
    middle: np.ndarray,
    radius: float,
    voxel: float,
    random: np.random.Generator | None = None,
    image: np.ndarray | None = None,
) -> Tile | None:
    """The tile around a place; None where it has fewer than two points.

    Args:
        xyz: (N, 3) float32, z up.
        rgb: (N, 3) uint8; None = the cloud has no colours.
        superpoint: (N,).
        middle: (2,) of the cylinder's axis.
        voxel: metres; of the points in a cube of this side one is taken.
        random: turns, mirrors and scales the tile, as it is trained with; None = as it is.
        image: (N, F), as ``Tile.image``.
    """
    point = np.flatnonzero(((xyz[:, :2] - middle) ** 2).sum(axis=1) < radius**2)
    point = point[one_per_voxel(xyz[point].astype(np.float64), voxel)]
    if len(point) < 2:
        return None
    place = xyz[point].astype(np.float32)
    place[:, :2] -= middle.astype(np.float32)
    place[:, 2] -= np.percentile(place[:, 2], GROUND)
    direction = normal[point]
    if random is not None:
        turn = _turn(random)
        place, direction = place @ turn.T, direction @ turn.T
    feature = np.zeros((len(point), CHANNELS), np.float32)
    feature[:, 0] = place[:, 2] / 10
    if rgb is not None:
        feature[:, 1:4] = rgb[point] / np.float32(255) - np.float32(0.5)
        feature[:, 4] = 1
    feature[:, 5] = np.abs(direction[:, 2])
    # Twice the angle: n and -n are one direction of a façade.
    feature[:, 6] = direction[:, 0] ** 2 - direction[:, 1] ** 2
    feature[:, 7] = 2 * direction[:, 0] * direction[:, 1]
    _, mine = np.unique(superpoint[point], return_inverse=True)
    mine = mine.ravel()
    count = np.bincount(mine)
    center = np.stack([np.bincount(mine, place[:, axis]) for axis in range(3)], axis=1) / count[:, None] / radius
    seen = None if image is None else image[point].astype(np.float32)
    return Tile(point, mine, feature, point_pyramid(place, voxel), center.astype(np.float32), radius, seen)


def _turn(random: np.random.Generator) -> np.ndarray:
    """(3, 3) float32: about the vertical, mirrored or not, a tenth larger or smaller."""
    angle = random.uniform(0, 2 * np.pi)
    cosine, sine = np.cos(angle), np.sin(angle)
    mirror = random.choice([-1.0, 1.0])
    turn = np.array([[cosine, -sine * mirror, 0], [sine, cosine * mirror, 0], [0, 0, 1]]) * random.uniform(0.9, 1.1)
    return turn.astype(np.float32)


def superpoint_labels(tile: Tile, view: ViewLabels, count: int, least: int) -> SuperpointLabels:
    """A view's labels over the superpoints of a tile.

    Args:
        count: points of the cloud.
        least: objects of which the view sees fewer points in the tile are unknown there: their superpoints count as unseen.
    """
    label = np.full(count, -1, np.int64)
    label[view.point] = view.label
    mine = label[tile.point]
    shown = mine >= 0
    ids, row = np.unique(mine[shown], return_inverse=True)
    votes = np.zeros((len(ids), tile.superpoints), np.int64)
    np.add.at(votes, (row.ravel(), tile.superpoint[shown]), 1)
    total = votes.sum(axis=0)
    winner = votes.argmax(axis=0) if len(ids) else np.zeros(tile.superpoints, int)
    small = (ids > 0) & (votes.sum(axis=1) < least)
    seen = np.flatnonzero((total > 0) & ~np.append(small, False)[winner])
    known = np.flatnonzero((ids > 0) & ~small)
    inside = winner[seen] == known[:, None]
    held = inside.any(axis=1)
    weight = np.sqrt(total[seen]).astype(np.float32)
    return SuperpointLabels(
        seen, weight / max(float(weight.mean()), 1.0) if len(seen) else weight, inside[held], ids[known][held]
    )
