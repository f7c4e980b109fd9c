"""The verticals that a world frame may have, the likeliest first, by all that is known of how its cameras were held.

A picture tells its vertical but for quarter turns about the viewing axis: a camera may be mounted on its side or head, and a
telephone held upright or across. Which quarter it is comes from whoever tells it (``camera_up``), from the other images of the
same world, and from how cameras move: they turn left and right much more than they nod, and they travel on about one level.
Each vertical that remains carries what speaks against it, so that positions can decide where they know better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.up import PITCH_SIGMA, SLOPE_SIGMA, UNKNOWN, Up, up_of_cameras
from seg2d3d_ros.geometry.vertical.camera_up import QUARTERS, Held, quarter_turns

EVIDENCE = 25.0
"""Squared standard deviations by which one way up must fit better than another to be known for the right one."""
TOLD, SENSED = 3 * EVIDENCE, 6 * EVIDENCE
"""What speaks against another quarter than a mount or an EXIF orientation tells, and than a sensor measured."""
SHARE = 0.2
"""Of the images must be told their quarter for the others to be believed by it."""
CLEAR = 0.4
"""By how much larger a share of the images one vertical must have turned than another to be unlikelier by all of that."""
AGREE = np.cos(np.deg2rad(45.0))
VOTERS = 200
SWAY_SIGMA = np.deg2rad(5.0)
"""Of the roll of single images; they are pitched as they are together (``PITCH_SIGMA``)."""
INDEPENDENT = 10
"""So many images count for themselves: their poses, and how they were held, are not independent."""
CLIP = 25.0
"""What one image can speak against a vertical at most."""
LINE = 0.9
"""Share of the spread of the cameras along their longest way from which on they follow a line."""
TRAVEL_CLIP = 40.0
"""What a way straight up can speak against a vertical at most: lifts and drones climb."""
STEADY = np.deg2rad(0.5)
"""A sensor that is mounted askew by this much says so in every image."""


def verticals(camera_from_world: Pose, held: Sequence[Held]) -> list[Up]:
    """The verticals of the world frame of these cameras, the likeliest first; ``UNKNOWN`` alone without cameras.

    Args:
        camera_from_world: (K,) poses.
        held: (K,) how each was held.
    """
    if len(held) == 0 or not camera_from_world.finite.all():
        return [UNKNOWN]
    told = np.array([bool(h.source) for h in held])
    said, centers = np.array([h.rotation for h in held]) @ camera_from_world.rotation, camera_from_world.origin
    weights = np.where(told, 2.0, 1.0)
    directions = [_consensus(-(QUARTERS[turn] @ said)[:, 1], weights) for turn in range(4)]
    turns = [quarter_turns(said, direction) for direction in directions]
    shares = np.array([np.average(turn != 0, weights=weights) for turn in turns])
    best = turns[int(shares.argmin())]
    measured = _measured(camera_from_world, held, directions[int(shares.argmin())])
    prior = SENSED if measured is not None else TOLD if (told & (best == 0)).mean() >= SHARE else EVIDENCE
    found: list[Up] = []
    for turn, share in sorted(zip(turns, shares, strict=True), key=lambda way: way[1]):
        turned = QUARTERS[turn] @ said
        up = up_of_cameras(Pose(turned, -np.einsum("kij,kj->ki", turned, centers)), measured)
        if up is not UNKNOWN and not any(up.direction @ other.direction > AGREE for other in found):
            against = prior * min((share - shares.min()) / CLEAR, 1.0)
            found.append(replace(up, against=_unlikely(turned, centers, up.direction) + against))
    return sorted(found, key=lambda up: up.against) or [UNKNOWN]


def _consensus(ups: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(3,) the direction that most of the images' verticals (K, 3) agree on, by their weights (K,)."""
    voters = ups[:: max(len(ups) // VOTERS, 1)]
    best = voters[int(np.argmax((voters @ ups.T > AGREE) @ weights))]
    mean = (weights * (ups @ best > AGREE)) @ ups
    return np.asarray(mean / np.linalg.norm(mean))


def _measured(camera_from_world: Pose, held: Sequence[Held], up: np.ndarray) -> np.ndarray | None:
    """(3, 3) precision of what sensors say of the vertical; None where none says anything. Wrong quarters do not count."""
    known = [(camera_from_world.rotation[k].T @ h.up, h.sigma) for k, h in enumerate(held) if h.up is not None]
    good = [(direction, sigma) for direction, sigma in known if direction @ up > AGREE * np.linalg.norm(up)]
    if not good:
        return None
    mean = np.mean([direction for direction, _ in good], axis=0)
    mean /= np.linalg.norm(mean)
    variance = float(np.median([sigma for _, sigma in good])) ** 2 / len(good) + STEADY**2
    return np.asarray((np.eye(3) - np.outer(mean, mean)) / variance)


def _unlikely(level_from_world: np.ndarray, centers: np.ndarray, up: np.ndarray) -> float:
    """Squared standard deviations by which cameras (K, 3, 3) at (K, 3) would be rolled, nod and travel uphill."""
    count, against = min(len(centers), INDEPENDENT), 0.0
    for axis, sigma in ((0, SWAY_SIGMA), (2, PITCH_SIGMA)):
        angles = np.arcsin(np.clip(level_from_world[:, axis] @ up, -1, 1)) / sigma
        common = float(np.median(angles))  # of the mount, or of how somebody holds a camera
        against += min(common**2, CLIP) + count * float(np.minimum((angles - common) ** 2, CLIP).mean())
    spread, axes = np.linalg.eigh(np.atleast_2d(np.cov(centers.T, bias=True)))
    if spread[-1] > 0 and spread[-1] > LINE * spread.sum():
        climb = float(np.arcsin(np.clip(axes[:, -1] @ up, -1, 1)) / SLOPE_SIGMA)
        against += min(climb**2, TRAVEL_CLIP * count / INDEPENDENT)
    return against
