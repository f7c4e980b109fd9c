"""From rotations and positions to poses: the images of one moment stand together where a rig says how."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.reconstruction.anchored.anchor import Anchor
from seg2d3d_ros.reconstruction.anchored.positioning import Positioning
from seg2d3d_ros.reconstruction.anchored.stations import Stations
from seg2d3d_ros.reconstruction.anchored.tracks import KeypointTracks
from seg2d3d_ros.reconstruction.rigs.rig_frames import Rig

log = logging.getLogger(__name__)

TRACKS_PER_IMAGE = 100
"""Of the longest tracks; more move nothing."""
CLAIMED = 1.5
"""Positions that scatter by this factor more than they claim are weighed by their scatter."""
TYPICAL = 1.5382
"""Median length of a vector of three standard normal numbers."""


@dataclass(frozen=True)
class Placed:
    """Where the images stand.

    Attributes:
        poses: image id -> ``camera_from_world``.
        rig: as it was given, with the lengths of its mounts where these were unknown.
        scatter: how many times their claimed standard deviations the positions scatter, at least 1.
    """

    poses: dict[int, Pose]
    rig: Rig | None
    scatter: float


def place_images(rotations: Mapping[int, np.ndarray], tracks: KeypointTracks, anchor: Anchor, rig: Rig | None) -> Placed:
    """Where the images stand whose rotations are known.

    Args:
        rotations: image id -> (3, 3) ``camera_from_world``.
        tracks: of these images.
        anchor: positions.
        rig: mounts.
    """
    ids = sorted(rotations)
    stations = Stations.of(ids, rotations, rig)
    known = np.array([k for k, i in enumerate(ids) if i in anchor.positions], np.int64)
    metres = np.array([anchor.positions[ids[k]] for k in known])
    sigma = np.array([anchor.sigmas[ids[k]] for k in known])
    measured = np.ones((len(known), 3))
    measured[:, 2] = [ids[k] in anchor.heights for k in known]
    if not measured[:, 2].any():
        measured[:, 2] = 1e-6  # all at one height, which nobody knows
    chosen = tracks.longest(TRACKS_PER_IMAGE).turned(rotations)
    row, scatter = np.searchsorted(ids, chosen.images), 1.0
    start = stations.start(known, metres, row, chosen.tracks)
    while True:
        weights = measured / (scatter * sigma[:, None]) ** 2
        unknown, _ = Positioning(chosen, stations, row, known, metres, weights).solve(start)
        origins = stations.origins(unknown)
        off = np.linalg.norm((origins[known] - metres) * np.sqrt(measured), axis=1)
        found = float(np.median(off / sigma)) / TYPICAL
        if found < CLAIMED * scatter:
            break
        log.info("positions scatter %.1f times as much as they claim", found)
        scatter = found
    poses = {i: Pose(rotations[i], -rotations[i] @ origins[k]) for k, i in enumerate(ids)}
    if rig is not None and stations.names:
        lengths = dict(zip(stations.names, unknown[len(unknown) - len(stations.names) :], strict=True))
        moved = {name: Pose(m.rotation, m.translation + lengths.get(name, 0.0)) for name, m in rig.mounts.items()}
        rig = replace(rig, mounts=moved)
    return Placed(poses, rig, scatter)
