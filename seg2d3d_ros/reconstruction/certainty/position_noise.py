"""How the errors of positions hang together, by what is left between a map and its positions.

A receiver says how large its errors are, not how alike. Errors that are alike in all images move the map as a whole, and
nothing that is left between map and positions shows them; so small a rest that the claim is not believable speaks for them,
and so does a rest that goes up and down slowly. Each of some ways in which errors may hang together (not at all, or a part of
them with an exponential correlation in time, a Gauss-Markov process) and each of some sizes, about what is claimed, is given
the likelihood of the rest, whatever shift, turn and stretch the map took (restricted maximum likelihood: Patterson and
Thompson, Recovery of inter-block information when block sizes are unequal, Biometrika 1971). The covariance is the mean of
all of them by these weights, so that a short drive, which tells little, keeps the doubt.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, eigh

ALIKE = (0.5, 0.8, 0.95)
"""Shares of the variance that may be correlated in time."""
LENGTHS = (1 / 32, 1 / 8, 1 / 2, 2.0, 8.0)
"""Times over which they are, in lengths of the drive."""
SIZES = tuple(2.0 ** (k / 4) for k in range(-6, 11))
"""Standard deviations of the errors in those that are claimed …"""
SIZE_DOUBT = 0.2
"""… and the standard deviation of their logarithm before anything is seen: a claim is right to a fifth."""
ENOUGH = 60
"""Positions, evenly in time, by which errors are judged."""


@dataclass(frozen=True, eq=False)
class PositionRests:
    """What is left of n positions, of the coordinates that have a common noise: east and north, or the height.

    Attributes:
        rest: (n, a) metres, of a coordinates: the positions' errors less the map's own, but for what the columns of
            ``design`` explain.
        design: (n, a, g) what the map as a whole can do.
        own: (n, a, n, a) covariance of the map's own shape at its cameras, metres².
        claimed: (n,) standard deviations in metres.
        times: (n,) of the images, in any unit; equal ones are of one moment.
    """

    rest: np.ndarray
    design: np.ndarray
    own: np.ndarray
    claimed: np.ndarray
    times: np.ndarray

    def some(self, rows: np.ndarray) -> PositionRests:
        """Those of these rows (m,)."""
        own = self.own[rows][:, :, rows]
        return PositionRests(self.rest[rows], self.design[rows], own, self.claimed[rows], self.times[rows])


def position_noise(rests: PositionRests) -> np.ndarray:
    """(n, n) covariance in metres² of the errors of one coordinate of the positions."""
    chosen = rests.some(_evenly(rests.times))
    shapes = list(_shapes(rests.times))
    weights = _weights(chosen, [shape for _, shape in zip(range(len(shapes)), _shapes(rests.times, chosen.times), strict=True)])
    sizes = np.square(SIZES)
    found = np.zeros((len(rests.times), len(rests.times)))
    for weight, shape in zip(weights, shapes, strict=True):
        found += float(weight @ sizes) * shape
    return found * np.outer(rests.claimed, rests.claimed)


def _evenly(times: np.ndarray) -> np.ndarray:
    """Rows of ``ENOUGH`` positions or little more, whole moments at even distances."""
    moments, first = np.unique(times, return_inverse=True)
    if len(times) <= ENOUGH:
        return np.arange(len(times))
    wanted = max(int(ENOUGH * len(moments) / len(times)), 2)
    kept = np.unique(np.linspace(0, len(moments) - 1, wanted).round().astype(int))
    return np.flatnonzero(np.isin(first, kept))


def _shapes(whole: np.ndarray, times: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """(n, n) correlations at ``times``, those of the whole drive unless others are given; see the module."""
    times = whole if times is None else times
    apart = np.abs(times[:, None] - times[None])
    span = float(np.ptp(whole)) or 1.0
    whites = [np.eye(len(times))]
    if len(np.unique(whole)) < len(whole):
        whites.append((apart == 0).astype(float))  # one fix for all images of a moment
    yield from whites
    for length in LENGTHS:
        slow = np.exp(-apart / (length * span))
        for share in ALIKE:
            for white in whites:
                yield share * slow + (1.0 - share) * white


def _weights(rests: PositionRests, shapes: list[np.ndarray]) -> np.ndarray:
    """(H, S) how likely each shape of the errors is with each of ``SIZES``; they sum to one."""
    count, axes = rests.rest.shape
    design = rests.design.reshape(count * axes, -1)
    basis, singular, _ = np.linalg.svd(design, full_matrices=True)
    free = basis[:, int((singular > 1e-9 * max(singular.max(initial=0.0), 1e-300)).sum()) :]
    seen = free.T @ rests.rest.ravel()
    own = free.T @ rests.own.reshape(count * axes, count * axes) @ free
    level = np.outer(rests.claimed, rests.claimed)
    scores = np.full((len(shapes), len(SIZES)), -np.inf)
    prior = -0.5 * (np.log(SIZES) / SIZE_DOUBT) ** 2
    alike = np.array([not np.isin(shape, (0.0, 1.0)).all() for shape in shapes])
    before = -np.log(2.0 * np.where(alike, alike.sum(), (~alike).sum()))  # as likely correlated in time as not
    sizes = np.square(SIZES)[:, None]
    for row, shape in enumerate(shapes):
        errors = free.T @ np.kron(shape * level, np.eye(axes)) @ free
        errors += 1e-9 * np.trace(errors) / max(len(seen), 1) * np.eye(len(seen))
        try:
            values, vectors = eigh(own, errors)  # in whose directions errors and the map's own are independent
        except LinAlgError:
            continue
        spread = sizes + np.maximum(values, 0.0)
        log_determinant = np.linalg.slogdet(errors)[1] + np.log(spread).sum(axis=1)
        misfit = ((vectors.T @ seen) ** 2 / spread).sum(axis=1)
        scores[row] = before[row] + prior - 0.5 * (log_determinant + misfit)
    best = scores.max()
    if not np.isfinite(best):
        scores = before[:, None] + prior
        best = scores.max()
    likely = np.exp(scores - best)
    return np.asarray(likely / likely.sum())
