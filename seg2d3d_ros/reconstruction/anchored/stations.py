"""The unknowns of a drive: where the vehicle, or a single camera, stood, and where unknown mounts are on the vehicle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

from seg2d3d_ros.reconstruction.rigs.rig_frames import Rig

MOUNT_SIGMA = 1.0
"""Metres between cameras of one vehicle, where nobody said how far they are apart."""
NOWHERE = 1e-3
"""Tracks that every place shares with the middle of all."""


@dataclass(frozen=True, eq=False)
class Stations:
    """N images, whose origins follow from U unknowns of three coordinates: places first, then unknown mounts.

    Attributes:
        places: (N,) the number of each image's place among the unknowns.
        mounts: (N,) the number of its mount among the unknowns; -1 where it is known or there is none.
        turns: (N, 3, 3) ``world_from_rig`` of each image.
        levers: (N, 3) metres from the place to the image in the world frame, by a mount that is known.
        expected: (U, 3) of what the unknowns are held to.
        stiffness: (U,) 1/m², 0 for places.
        names: of the cameras whose mounts are the last unknowns, in their order.
    """

    places: np.ndarray
    mounts: np.ndarray
    turns: np.ndarray
    levers: np.ndarray
    expected: np.ndarray
    stiffness: np.ndarray
    names: tuple[str, ...]

    @classmethod
    def of(cls, image_ids: Sequence[int], rotations: Mapping[int, np.ndarray], rig: Rig | None) -> Stations:
        """Of images whose rotations ``camera_from_world`` are known.

        Args:
            image_ids: (N,) the images.
            rotations: image id -> (3, 3).
            rig: how the images of one moment lie to each other; mounts that it wants refined are unknown but for their turn.
        """
        frame_of = {row.image_id: (n, row.camera_name) for n, frame in enumerate(rig.frames if rig else ()) for row in frame}
        keys = [("frame", frame_of[i][0]) if i in frame_of else ("image", i) for i in image_ids]
        number = {key: n for n, key in enumerate(sorted(set(keys)))}
        names = tuple(rig.mounts)[1:] if rig is not None and rig.refine else ()
        turns, levers = np.zeros((len(image_ids), 3, 3)), np.zeros((len(image_ids), 3))
        mounts = np.full(len(image_ids), -1, np.int64)
        for k, image_id in enumerate(image_ids):
            turns[k] = rotations[image_id].T
            if rig is not None and image_id in frame_of:
                mount, name = rig.mounts[frame_of[image_id][1]], frame_of[image_id][1]
                turns[k] = turns[k] @ mount.rotation.T
                levers[k] = turns[k] @ mount.translation
                if name in names:
                    mounts[k] = len(number) + names.index(name)
        count = len(number) + len(names)
        stiffness = np.where(np.arange(count) < len(number), 0.0, 1.0 / MOUNT_SIGMA**2)
        places = np.array([number[key] for key in keys], np.int64)
        return cls(places, mounts, turns, levers, np.zeros((count, 3)), stiffness, names)

    def origins(self, unknown: np.ndarray) -> np.ndarray:
        """(N, 3) metres of the images, from the unknowns (U, 3)."""
        found = unknown[self.places] + self.levers
        own = self.mounts >= 0
        found[own] += np.einsum("nij,nj->ni", self.turns[own], unknown[self.mounts[own]])
        return np.asarray(found)

    def derivative(self, rows: np.ndarray) -> sparse.csr_matrix:
        """(3 K, 3 U) of the origins of some images (K,) by the unknowns."""
        shape, numbers = (len(rows), len(self.expected)), np.arange(len(rows))
        own = np.flatnonzero(self.mounts[rows] >= 0)
        eye = np.broadcast_to(np.eye(3), (len(rows), 3, 3))
        of_places = sparse_blocks(eye, numbers, self.places[rows], shape)
        return of_places + sparse_blocks(self.turns[rows[own]], own, self.mounts[rows[own]], shape)

    def start(self, measured: np.ndarray, metres: np.ndarray, image: np.ndarray, track: np.ndarray) -> np.ndarray:
        """(U, 3) the median position of each place. Where there is none, between those that it shares tracks with, nearer to
        those with which it shares more: from afar, rays alone find a place along them that is as good. Else the middle of all.

        Args:
            measured: (M,) rows of images.
            metres: (M, 3) their positions.
            image: (K,) row of the image of each observation.
            track: (K,) its track.
        """
        count = len(self.expected) - len(self.names)
        found = self.expected.copy()
        found[:count] = np.median(metres, axis=0)
        known = np.unique(self.places[measured])
        for place in known:
            found[place] = np.median((metres - self.levers[measured])[self.places[measured] == place], axis=0)
        seen = sparse.csr_matrix((np.ones(len(image)), (self.places[image], track)), (count, int(track.max(initial=-1)) + 1))
        seen.data[:] = 1.0
        shared = (seen @ seen.T).tolil()
        shared.setdiag(0.0)
        open_ones = np.setdiff1d(np.arange(count), known)
        ties = shared.tocsr()[open_ones]
        balance = sparse.diags(np.asarray(ties.sum(axis=1)).ravel() + NOWHERE) - ties[:, open_ones]
        pulled = ties[:, known] @ found[known] + NOWHERE * found[open_ones]
        if len(open_ones):
            found[open_ones] = spsolve(balance.tocsc(), pulled).reshape(-1, 3)
        return found


def sparse_blocks(blocks: np.ndarray, rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sparse.csr_matrix:
    """A sparse matrix of (N, 3, 3) blocks; those at one place are added."""
    row = np.broadcast_to(rows[:, None, None] * 3 + np.arange(3)[:, None], blocks.shape)
    column = np.broadcast_to(columns[:, None, None] * 3 + np.arange(3), blocks.shape)
    return sparse.csr_matrix((blocks.ravel(), (row.ravel(), column.ravel())), (3 * shape[0], 3 * shape[1]))
