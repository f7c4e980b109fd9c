"""Where images with known rotations stand: rays that meet in points, and measured positions, weighed together.

The angles between rays and points do not care for distances, so that nothing shrinks (Zhuang, Cheong and Lee, Baseline
desensitizing in translation averaging, CVPR 2018; GLOMAP: Pan et al., ECCV 2024). Each ray's distance is eliminated (variable
projection), then each point (Schur complement): a system of three unknowns per place remains.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

from seg2d3d_ros.reconstruction.anchored.tracks import KeypointTracks

ROUGH_TO_FINE = np.deg2rad([8.0, 4.0, 2.0, 1.0])
"""Standard deviations of rays, one after the other: far from the solution all must pull, near it only those that fit."""
INDEPENDENT_RAYS = 4.0
"""The rays of an image err together by the error of its rotation, so they count like so many independent ones."""
CAUCHY = 3.0
"""Standard deviations where the loss of a position turns from square to logarithmic."""
RAY_CAUCHY = 2.0
ITERATIONS = 50
CONVERGED = 1e-4
LOST = np.deg2rad(4.0)
"""Angle between ray and point that most rays of a place exceed only where its position is wrong."""
RESECTIONS = 20
NEAREST = 1e-3
START_DISTANCE = 10.0
"""Metres at which a point begins where its rays are parallel."""


@dataclass(frozen=True, eq=False)
class Measured:
    """Positions of images, M of them.

    Attributes:
        places: (M,) int64 which unknown each belongs to.
        metres: (M, 3) of the place, the lever arm of the image subtracted.
        weights: (M, 3) 1/m², 0 where a coordinate is not measured.
    """

    places: np.ndarray
    metres: np.ndarray
    weights: np.ndarray


@dataclass(eq=False)
class Positioning:
    """The problem.

    Attributes:
        tracks: observations, with rays.
        places: (K,) int64 the unknown place of each observation's image.
        levers: (K, 3) metres from the place to the image, in the world frame.
        measured: positions.
        start: (F, 3) metres of the places.
    """

    tracks: KeypointTracks
    places: np.ndarray
    levers: np.ndarray
    measured: Measured
    start: np.ndarray
    _counts: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        _, image = np.unique(self.tracks.images, return_inverse=True)
        self._counts = np.minimum(1.0, INDEPENDENT_RAYS / np.bincount(image)[image])

    def solve(self) -> tuple[np.ndarray, np.ndarray]:
        """(F, 3) places and (P, 3) points."""
        places = self.start.copy()
        points = nearest_points(self.tracks, self._origins(places))
        for sigma in ROUGH_TO_FINE:
            places, points = self._descend(places, points, float(sigma))
        lost = self._lost(places, points)
        if lost.any() and not lost.all():
            places = self._resect(places, lost)
            points = nearest_points(self.tracks, self._origins(places))
            for sigma in ROUGH_TO_FINE[-2:]:
                places, points = self._descend(places, points, float(sigma))
        return places, points

    def _lost(self, places: np.ndarray, points: np.ndarray) -> np.ndarray:
        """(F,) bool: places whose rays pass by their points: a wrong position holds them, far from where the rays pull."""
        passes = self.angles(places, points) > LOST
        seen = np.bincount(self.places, minlength=len(places))
        return np.asarray((seen > 0) & (np.bincount(self.places, passes, minlength=len(places)) > 0.5 * seen))

    def _resect(self, places: np.ndarray, lost: np.ndarray) -> np.ndarray:
        """Places (F, 3) of which the lost ones are where their rays meet the points that the others see, by absolute error."""
        tracks, good = self.tracks, ~lost[self.places]
        known = np.bincount(tracks.tracks[good], minlength=len(tracks)) >= 2
        trusted = tracks.take(known)
        rows = known[tracks.tracks]
        kept = KeypointTracks(*(part[good[rows]] for part in (trusted.images, trusted.keypoints, trusted.tracks, trusted.rays)))
        points = nearest_points(kept, self._origins(places)[rows][good[rows]])
        bare = ~good[rows]
        place, rays = self.places[rows][bare], trusted.rays[bare]
        targets = points[trusted.tracks[bare]] - self.levers[rows][bare]
        across = np.eye(3) - rays[:, :, None] * rays[:, None, :]
        weight, found = np.ones(len(place)), places
        for _ in range(RESECTIONS):
            matrix = _sum(weight[:, None, None] * across, place, len(places))
            right = _sum(weight[:, None] * np.einsum("nij,nj->ni", across, targets), place, len(places))
            solvable = lost & (np.linalg.eigvalsh(matrix)[:, 0] > 1e-6)
            found = places.copy()
            found[solvable] = np.linalg.solve(matrix[solvable], right[solvable][:, :, None])[:, :, 0]
            miss = np.linalg.norm(np.einsum("nij,nj->ni", across, targets - found[place]), axis=1)
            weight = 1.0 / np.maximum(miss, 0.05)
        return found

    def angles(self, places: np.ndarray, points: np.ndarray) -> np.ndarray:
        """(K,) radians between each ray and the direction of its point."""
        return np.arccos(np.clip(self._view(places, points)[2], -1.0, 1.0))

    def _origins(self, places: np.ndarray) -> np.ndarray:
        return np.asarray(places[self.places] + self.levers)

    def _view(self, places: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each observation: distance, unit direction, and cosine to its ray."""
        offset = points[self.tracks.tracks] - self._origins(places)
        distance = np.maximum(np.linalg.norm(offset, axis=1), NEAREST)
        direction = offset / distance[:, None]
        return distance, direction, np.einsum("ij,ij->i", direction, self.tracks.rays)

    def _cost(self, places: np.ndarray, points: np.ndarray, sigma: float) -> float:
        _, _, cosine = self._view(places, points)
        squares = np.where(cosine > 0.0, 1.0 - cosine**2, 1.0) / sigma**2
        rays = float((self._counts * RAY_CAUCHY**2 * np.log1p(squares / RAY_CAUCHY**2)).sum())
        return rays + float((CAUCHY**2 * np.log1p(self._position_errors(places) / CAUCHY**2)).sum())

    def _position_errors(self, places: np.ndarray) -> np.ndarray:
        """(M,) squared errors of the positions in standard deviations."""
        off = self.measured.metres - places[self.measured.places]
        return np.asarray((off**2 * self.measured.weights).sum(1))

    def _descend(self, places: np.ndarray, points: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
        """Levenberg-Marquardt until the cost hardly falls."""
        damping, cost = 1e-2, self._cost(places, points, sigma)
        for _ in range(ITERATIONS):
            linear = self._linearised(places, points, sigma)
            while damping < 1e6:
                moved, there = self._step(*linear, damping)
                lower = self._cost(places + moved, points + there, sigma)
                if lower < cost:
                    break
                damping *= 4.0
            else:
                break
            places, points, damping = places + moved, points + there, max(damping / 3.0, 1e-6)
            done, cost = cost - lower < CONVERGED * cost, lower
            if done:
                break
        return places, points

    def _linearised(
        self, places: np.ndarray, points: np.ndarray, sigma: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Blocks (K, 3, 3) and right sides (K, 3) of the observations, weights and right sides (M, 3) of the positions."""
        distance, direction, cosine = self._view(places, points)
        inverse = np.maximum(cosine, 0.05) / distance
        squares = np.where(cosine > 0.0, 1.0 - cosine**2, 1.0) / sigma**2
        weight = self._counts / (1.0 + squares / RAY_CAUCHY**2) / sigma**2
        across = np.eye(3) - direction[:, :, None] * direction[:, None, :]
        blocks = (weight * inverse**2)[:, None, None] * across
        right = (weight * inverse)[:, None] * (self.tracks.rays - cosine[:, None] * direction)
        robust = self.measured.weights / (1.0 + self._position_errors(places) / CAUCHY**2)[:, None]
        return blocks, right, robust, robust * (self.measured.metres - places[self.measured.places])

    def _step(
        self, blocks: np.ndarray, right: np.ndarray, weights: np.ndarray, pull: np.ndarray, damping: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Moves (F, 3) of the places and (P, 3) of the points."""
        count, point_count, track = len(self.start), len(self.tracks), self.tracks.tracks
        of_points = _damped(_sum(blocks, track, point_count), damping)
        of_places = _damped(_sum(blocks, self.places, count), damping)
        diagonal = _sum(weights, self.measured.places, count)
        of_places[:, np.arange(3), np.arange(3)] += diagonal + 1e-12
        inverse = _blocks(np.linalg.inv(of_points), np.arange(point_count), np.arange(point_count), (point_count, point_count))
        mixed = _blocks(-blocks, self.places, track, (count, point_count))
        to_points = _sum(right, track, point_count).ravel()
        to_places = (_sum(pull, self.measured.places, count) - _sum(right, self.places, count)).ravel()
        reduced = _blocks(of_places, np.arange(count), np.arange(count), (count, count)) - mixed @ inverse @ mixed.T
        moved = spsolve(reduced.tocsc(), to_places - mixed @ (inverse @ to_points))
        there = inverse @ (to_points - mixed.T @ moved)
        return moved.reshape(-1, 3), there.reshape(-1, 3)


def nearest_points(tracks: KeypointTracks, origins: np.ndarray) -> np.ndarray:
    """(P, 3) where the rays of each track come nearest to each other; some metres ahead where they are parallel.

    Args:
        tracks: with rays in the world frame.
        origins: (K, 3) of the rays.
    """
    across = np.eye(3) - tracks.rays[:, :, None] * tracks.rays[:, None, :]
    lengths = np.bincount(tracks.tracks)
    ahead = _sum(origins + START_DISTANCE * tracks.rays, tracks.tracks, len(lengths)) / lengths[:, None]
    matrix = _sum(across, tracks.tracks, len(lengths)) + 1e-6 * np.eye(3)
    right = _sum(np.einsum("nij,nj->ni", across, origins), tracks.tracks, len(lengths)) + 1e-6 * ahead
    return np.linalg.solve(matrix, right[:, :, None])[:, :, 0]


def _sum(values: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """(count, ...) the sums of values (N, ...) over their groups (N,)."""
    flat = values.reshape(len(values), -1)
    total = np.stack([np.bincount(groups, column, minlength=count) for column in flat.T], axis=1)
    return total.reshape(count, *values.shape[1:])


def _damped(blocks: np.ndarray, damping: float) -> np.ndarray:
    scale = np.trace(blocks, axis1=1, axis2=2) / 3.0
    return blocks + (damping * scale + 1e-12)[:, None, None] * np.eye(3)


def _blocks(blocks: np.ndarray, rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sparse.csr_matrix:
    """A sparse matrix of (N, 3, 3) blocks; those at one place are added."""
    row = np.broadcast_to(rows[:, None, None] * 3 + np.arange(3)[:, None], blocks.shape)
    column = np.broadcast_to(columns[:, None, None] * 3 + np.arange(3), blocks.shape)
    return sparse.csr_matrix((blocks.ravel(), (row.ravel(), column.ravel())), (3 * shape[0], 3 * shape[1]))
