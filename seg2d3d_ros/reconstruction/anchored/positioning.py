"""Where images with known rotations stand: rays that meet in points, and measured positions, weighed together.

The angles between rays and points do not care for distances, so that nothing shrinks (Zhuang, Cheong and Lee, Baseline
desensitizing in translation averaging, CVPR 2018; GLOMAP: Pan et al., ECCV 2024). Each ray's distance is eliminated (variable
projection), then each point (Schur complement): a system of three unknowns per place remains, and three per camera whose
place on the vehicle is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

from seg2d3d_ros.reconstruction.anchored.stations import Stations, sparse_blocks
from seg2d3d_ros.reconstruction.anchored.tracks import KeypointTracks

ROUGH_TO_FINE = np.deg2rad([8.0, 4.0, 2.0, 1.0])
"""Standard deviations of rays, one after the other: far from the solution all must pull, near it only those that fit."""
INDEPENDENT_RAYS = 4.0
"""The rays of an image err together by the error of its rotation, so they count like so many independent ones."""
CAUCHY = 3.0
"""Standard deviations where the loss of a position turns from square to logarithmic."""
RAY_CAUCHY = 2.0
ITERATIONS = 50
CONVERGED = 1e-3
LOST = np.deg2rad(4.0)
"""Angle between ray and point that most rays of a place exceed only where its position is wrong."""
RESECTIONS = 20
NEAREST = 1e-3
START_DISTANCE = 10.0
"""Metres at which a point begins where its rays are parallel."""


@dataclass(eq=False)
class Positioning:
    """The problem.

    Attributes:
        tracks: K observations, with rays in the world frame.
        stations: of the images, N of them.
        image: (K,) row of each observation's image in ``stations``.
        measured: (M,) rows of the images with a position.
        metres: (M, 3) the positions.
        weights: (M, 3) 1/m², 0 where a coordinate is not measured.
    """

    tracks: KeypointTracks
    stations: Stations
    image: np.ndarray
    measured: np.ndarray
    metres: np.ndarray
    weights: np.ndarray
    _counts: np.ndarray = field(init=False)
    _origin: sparse.csr_matrix = field(init=False)
    _position: sparse.csr_matrix = field(init=False)
    _point: sparse.csr_matrix = field(init=False)

    def __post_init__(self) -> None:
        self._counts = np.minimum(1.0, INDEPENDENT_RAYS / np.bincount(self.image)[self.image])
        self._origin, self._position = self.stations.derivative(self.image), self.stations.derivative(self.measured)
        number = len(self.tracks.images)
        eye = np.broadcast_to(np.eye(3), (number, 3, 3))
        self._point = sparse_blocks(eye, np.arange(number), self.tracks.tracks, (number, len(self.tracks)))

    def solve(self, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The unknowns (U, 3) of ``stations`` from where they start, and the points (P, 3)."""
        unknown = start.copy()
        points = nearest_points(self.tracks, self._origins(unknown))
        for sigma in ROUGH_TO_FINE:
            unknown, points = self._descend(unknown, points, float(sigma))
        lost = self._lost(unknown, points)
        if lost.any() and not lost.all():
            unknown = self._resect(unknown, lost)
            points = nearest_points(self.tracks, self._origins(unknown))
            for sigma in ROUGH_TO_FINE[-2:]:
                unknown, points = self._descend(unknown, points, float(sigma))
        return unknown, points

    def angles(self, unknown: np.ndarray, points: np.ndarray) -> np.ndarray:
        """(K,) radians between each ray and the direction of its point."""
        return np.arccos(np.clip(self._view(unknown, points)[2], -1.0, 1.0))

    def _origins(self, unknown: np.ndarray) -> np.ndarray:
        return np.asarray(self.stations.origins(unknown)[self.image])

    def _lost(self, unknown: np.ndarray, points: np.ndarray) -> np.ndarray:
        """(U,) bool: places whose rays pass by their points: a wrong position holds them, far from where the rays pull."""
        place, passes = self.stations.places[self.image], self.angles(unknown, points) > LOST
        seen = np.bincount(place, minlength=len(unknown))
        return np.asarray((seen > 0) & (np.bincount(place, passes, minlength=len(unknown)) > 0.5 * seen))

    def _resect(self, unknown: np.ndarray, lost: np.ndarray) -> np.ndarray:
        """Unknowns of which the lost places are where their rays meet the points that the others see, by absolute error."""
        place, origins = self.stations.places[self.image], self._origins(unknown)
        good = ~lost[place]
        known = (np.bincount(self.tracks.tracks[good], minlength=len(self.tracks)) >= 2)[self.tracks.tracks]
        _, number = np.unique(self.tracks.tracks[known & good], return_inverse=True)
        kept = self.tracks.rows(known & good, number)
        points = np.full((len(self.tracks), 3), np.nan)
        points[np.unique(self.tracks.tracks[known & good])] = nearest_points(kept, origins[known & good])
        bare = known & ~good
        place, rays = place[bare], self.tracks.rays[bare]
        targets = points[self.tracks.tracks[bare]] - (origins[bare] - unknown[place])
        across = np.eye(3) - rays[:, :, None] * rays[:, None, :]
        weight, found = np.ones(len(place)), unknown
        for _ in range(RESECTIONS):
            matrix = _sum(weight[:, None, None] * across, place, len(unknown))
            right = _sum(weight[:, None] * np.einsum("nij,nj->ni", across, targets), place, len(unknown))
            solvable = lost & (np.linalg.eigvalsh(matrix)[:, 0] > 1e-6)
            found = unknown.copy()
            found[solvable] = np.linalg.solve(matrix[solvable], right[solvable][:, :, None])[:, :, 0]
            miss = np.linalg.norm(np.einsum("nij,nj->ni", across, targets - found[place]), axis=1)
            weight = 1.0 / np.maximum(miss, 0.05)
        return found

    def _view(self, unknown: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each observation: distance, unit direction, and cosine to its ray."""
        offset = points[self.tracks.tracks] - self._origins(unknown)
        distance = np.maximum(np.linalg.norm(offset, axis=1), NEAREST)
        direction = offset / distance[:, None]
        return distance, direction, np.einsum("ij,ij->i", direction, self.tracks.rays)

    def _cost(self, unknown: np.ndarray, points: np.ndarray, sigma: float) -> float:
        _, _, cosine = self._view(unknown, points)
        squares = np.where(cosine > 0.0, 1.0 - cosine**2, 1.0) / sigma**2
        rays = float((self._counts * RAY_CAUCHY**2 * np.log1p(squares / RAY_CAUCHY**2)).sum())
        held = float((self.stations.stiffness[:, None] * (unknown - self.stations.expected) ** 2).sum())
        return rays + held + float((CAUCHY**2 * np.log1p(self._position_errors(unknown) / CAUCHY**2)).sum())

    def _position_errors(self, unknown: np.ndarray) -> np.ndarray:
        """(M,) squared errors of the positions in standard deviations."""
        off = self.metres - self.stations.origins(unknown)[self.measured]
        return np.asarray((off**2 * self.weights).sum(1))

    def _descend(self, unknown: np.ndarray, points: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
        """Levenberg-Marquardt until the cost hardly falls."""
        damping, cost = 1e-2, self._cost(unknown, points, sigma)
        for _ in range(ITERATIONS):
            linear = self._linearised(unknown, points, sigma)
            while damping < 1e6:
                moved, there = self._step(*linear, damping)
                lower = self._cost(unknown + moved, points + there, sigma)
                if lower < cost:
                    break
                damping *= 4.0
            else:
                break
            unknown, points, damping = unknown + moved, points + there, max(damping / 3.0, 1e-6)
            done, cost = cost - lower < CONVERGED * cost, lower
            if done:
                break
        return unknown, points

    def _linearised(
        self, unknown: np.ndarray, points: np.ndarray, sigma: float
    ) -> tuple[np.ndarray, np.ndarray, sparse.csr_matrix, np.ndarray]:
        """Blocks (K, 3, 3) and right sides (K, 3) of the observations; matrix and right side of positions and expectations."""
        distance, direction, cosine = self._view(unknown, points)
        inverse = np.maximum(cosine, 0.05) / distance
        squares = np.where(cosine > 0.0, 1.0 - cosine**2, 1.0) / sigma**2
        weight = self._counts / (1.0 + squares / RAY_CAUCHY**2) / sigma**2
        across = np.eye(3) - direction[:, :, None] * direction[:, None, :]
        blocks = (weight * inverse**2)[:, None, None] * across
        right = (weight * inverse)[:, None] * (self.tracks.rays - cosine[:, None] * direction)
        robust = (self.weights / (1.0 + self._position_errors(unknown) / CAUCHY**2)[:, None]).ravel()
        off = (self.metres - self.stations.origins(unknown)[self.measured]).ravel()
        stiff = np.repeat(self.stations.stiffness, 3) + 1e-12
        matrix = self._position.T @ sparse.diags(robust) @ self._position + sparse.diags(stiff)
        pull = self._position.T @ (robust * off) + stiff * (self.stations.expected - unknown).ravel()
        return blocks, right, matrix.tocsr(), pull

    def _step(
        self, blocks: np.ndarray, right: np.ndarray, held: sparse.csr_matrix, pull: np.ndarray, damping: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Moves (U, 3) of the unknowns and (P, 3) of the points."""
        rows, points = np.arange(len(blocks)), np.arange(len(self.tracks))
        weights = sparse_blocks(blocks, rows, rows, (len(rows), len(rows)))
        weighted = self._origin.T @ weights
        of_unknown = (weighted @ self._origin).tocsr()
        of_unknown = of_unknown + sparse.diags(damping * of_unknown.diagonal() + 1e-12) + held
        of_points = _sum(blocks, self.tracks.tracks, len(points))
        of_points += (damping * np.trace(of_points, axis1=1, axis2=2) / 3.0 + 1e-12)[:, None, None] * np.eye(3)
        inverse = sparse_blocks(np.linalg.inv(of_points), points, points, (len(points), len(points)))
        mixed = -weighted @ self._point
        to_points = self._point.T @ right.ravel()
        reduced = of_unknown - mixed @ inverse @ mixed.T
        moved = spsolve(reduced.tocsc(), pull - self._origin.T @ right.ravel() - mixed @ (inverse @ to_points))
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
