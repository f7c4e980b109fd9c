"""Whether positions are of another time than their images: then they run ahead of the map, or behind it, along the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.findings import Findings, Kind

CLOCK_OFF = Kind(
    "clock_off",
    "positions of another time than their images",
    cause="they fit best if their clock is corrected by {seconds} s (± {sigma} s): the distances are then {after} m instead of "
    "{before} m (rms)",
    remedy="correct the clocks, or set keyframes.fix_clock_offset to {seconds} more than it is",
)
MIN_IMAGES = 8
MAX_GAP = 10.0
"""Seconds between two images of a camera beyond which the speed in between is not known."""
SURE = 4.0
"""Standard deviations that an offset must be from nothing."""
BETTER = 0.7
"""The distances must shrink by this factor."""
SINGULAR = 1e12
"""Condition beyond which a shift and a turn explain what an offset would."""
ROUNDS = 10
CAUCHY = 2.0


@dataclass(frozen=True)
class ClockOffset:
    """``seconds`` to be added to the positions' stamps, its standard deviation, and the distances (rms) without and with it."""

    seconds: float
    sigma: float
    before: float
    after: float

    def tell(self, findings: Findings) -> None:
        """Say that the clocks differ."""
        seconds, sigma = f"{self.seconds:+.2f}", f"{self.sigma:.2f}"
        findings.add(CLOCK_OFF, seconds=seconds, sigma=sigma, before=f"{self.before:.2f}", after=f"{self.after:.2f}")


def clock_offset(
    cameras: Sequence[str], stamps_ns: np.ndarray, centers: np.ndarray, apart: np.ndarray, sigmas: np.ndarray
) -> ClockOffset | None:
    """The offset that explains how positions lie to the map; None where none does, or where the speed cannot tell.

    A shift and a small turn of the map are estimated beside the offset: at a constant speed along a straight street these
    explain as much, so that nothing is said there.

    Args:
        cameras: (N,) camera names.
        stamps_ns: (N,) of the images; 0 = unknown.
        centers: (N, 3) metres in the map.
        apart: (N, 3) metres, positions less centres; 0 where a coordinate was not measured.
        sigmas: (N,) standard deviations of the positions in metres.
    """
    speeds = _speeds(np.array(cameras), stamps_ns, centers)
    rows = np.flatnonzero(np.isfinite(speeds).all(1))
    if len(rows) < MIN_IMAGES:
        return None
    offset, place, sigma = apart[rows], centers[rows] - centers[rows].mean(0), sigmas[rows]
    derivative = np.zeros((len(rows), 3, 7))
    derivative[:, :, 0] = speeds[rows]
    derivative[:, :, 1:4] = np.eye(3)
    x, y, z = place.T
    derivative[:, 0, 5], derivative[:, 0, 6] = z, -y
    derivative[:, 1, 4], derivative[:, 1, 6] = -z, x
    derivative[:, 2, 4], derivative[:, 2, 5] = y, -x
    weight, found = np.ones(len(rows)), np.zeros(7)
    scale = 1.0
    for _ in range(ROUNDS):
        half = np.sqrt(weight) / sigma
        left = (derivative * half[:, None, None]).reshape(-1, 7)
        found = np.linalg.lstsq(left, (offset * half[:, None]).ravel(), rcond=1e-9)[0]
        rest = np.linalg.norm(offset - derivative @ found, axis=1) / sigma
        scale = max(float(np.median(rest)) / 1.5, 1e-6)
        weight = 1.0 / (1.0 + (rest / (CAUCHY * scale)) ** 2)
    information = left.T @ left / max(scale, 1.0) ** 2
    if np.linalg.cond(information) > SINGULAR:
        return None
    deviation = float(np.sqrt(np.linalg.inv(information)[0, 0]))
    without = derivative[:, :, 1:].reshape(-1, 6) * np.repeat(half, 3)[:, None]
    rigid = np.linalg.lstsq(without, (offset * half[:, None]).ravel(), rcond=1e-9)[0]
    before = _rms(offset - derivative[:, :, 1:] @ rigid, weight)
    after = _rms(offset - derivative @ found, weight)
    sure = abs(found[0]) > SURE * deviation and after < BETTER * before
    return ClockOffset(float(found[0]), deviation, before, after) if sure else None


def _speeds(cameras: np.ndarray, stamps_ns: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """(N, 3) metres a second at each image, by the images of its camera before and after; NaN where these are missing."""
    speeds = np.full(centers.shape, np.nan)
    for name in np.unique(cameras):
        own = np.flatnonzero((cameras == name) & (stamps_ns > 0))
        own = own[np.argsort(stamps_ns[own], kind="stable")]
        seconds = (stamps_ns[own] - stamps_ns[own[:1]].sum()) * 1e-9
        span = seconds[2:] - seconds[:-2]
        near = (span > 0) & (span < 2 * MAX_GAP)
        speeds[own[1:-1][near]] = (centers[own[2:]] - centers[own[:-2]])[near] / span[near, None]
    return speeds


def _rms(vectors: np.ndarray, weight: np.ndarray) -> float:
    return float(np.sqrt(np.average((vectors**2).sum(1), weights=weight)))
