"""From rotations and positions to poses: the images of one moment stand together where a rig says how."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.reconstruction.anchored.anchor import Anchor
from seg2d3d_ros.reconstruction.anchored.positioning import Measured, Positioning
from seg2d3d_ros.reconstruction.anchored.tracks import KeypointTracks
from seg2d3d_ros.reconstruction.rigs.rig_frames import Rig

log = logging.getLogger(__name__)

TRACKS_PER_IMAGE = 150
"""Of the longest tracks; more move nothing."""
CLAIMED = 1.5
"""Positions that scatter by this factor more than they claim are weighed by their scatter."""
TYPICAL = 1.5382
"""Median length of a vector of three standard normal numbers."""


def place_images(
    rotations: Mapping[int, np.ndarray], tracks: KeypointTracks, anchor: Anchor, rig: Rig | None
) -> tuple[dict[int, Pose], float]:
    """Poses of the images, and how many times their claimed standard deviations the positions scatter (at least 1).

    Args:
        rotations: image id -> (3, 3) ``camera_from_world``.
        tracks: of these images.
        anchor: positions.
        rig: mounts.
    """
    ids = sorted(rotations)
    places, levers = _places(ids, rotations, rig)
    known = np.array([k for k, i in enumerate(ids) if i in anchor.positions], np.int64)
    metres = np.array([anchor.positions[ids[k]] for k in known]) - levers[known]
    sigma = np.array([anchor.sigmas[ids[k]] for k in known])
    measured = np.ones((len(known), 3))
    measured[:, 2] = [ids[k] in anchor.heights for k in known]
    if not measured[:, 2].any():
        measured[:, 2] = 1e-6  # all at one height, which nobody knows
    chosen = tracks.longest(TRACKS_PER_IMAGE).turned(rotations)
    row = np.searchsorted(ids, chosen.images)
    start = _start(places, places[known], metres)
    scatter = 1.0
    while True:
        given = Measured(places[known], metres, measured / (scatter * sigma[:, None]) ** 2)
        problem = Positioning(chosen, places[row], levers[row], given, start)
        centers, _ = problem.solve()
        off = np.linalg.norm((centers[places[known]] - metres) * np.sqrt(measured), axis=1)
        found = float(np.median(off / sigma)) / TYPICAL
        if found < CLAIMED * scatter:
            break
        log.info("positions scatter %.1f times as much as they claim", found)
        scatter = found
    origin = centers[places] + levers
    poses = {i: Pose(rotations[i], -rotations[i] @ origin[k]) for k, i in enumerate(ids)}
    return poses, scatter


def _places(ids: Sequence[int], rotations: Mapping[int, np.ndarray], rig: Rig | None) -> tuple[np.ndarray, np.ndarray]:
    """(N,) the number of each image's place, and (N, 3) from the place to the image: none without a rig."""
    frame_of: dict[int, tuple[int, Pose]] = {}
    if rig is not None:
        for number, frame in enumerate(rig.frames):
            frame_of.update({row.image_id: (number, rig.mounts[row.camera_name]) for row in frame})
    keys: list[tuple[str, int]] = []
    levers = np.zeros((len(ids), 3))
    for k, image_id in enumerate(ids):
        if image_id in frame_of:
            number, rig_from_camera = frame_of[image_id]
            keys.append(("frame", number))
            levers[k] = rotations[image_id].T @ rig_from_camera.rotation.T @ rig_from_camera.translation
        else:
            keys.append(("image", image_id))
    numbers = {key: n for n, key in enumerate(sorted(set(keys)))}
    return np.array([numbers[key] for key in keys], np.int64), levers


def _start(places: np.ndarray, known: np.ndarray, metres: np.ndarray) -> np.ndarray:
    """(F, 3) the median position of each place; where there is none, the middle of all."""
    start = np.tile(np.median(metres, axis=0), (int(places.max()) + 1, 1))
    for place in np.unique(known):
        start[place] = np.median(metres[known == place], axis=0)
    return start
