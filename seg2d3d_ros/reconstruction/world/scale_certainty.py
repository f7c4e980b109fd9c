"""How well the scale of a map is known: by the errors of its positions, and by whatever else told it."""

from __future__ import annotations

import numpy as np

from seg2d3d_ros.findings import NOTE, Findings, Kind

SCALE_UNCERTAIN = Kind(
    "scale_uncertain",
    "models whose scale is known to one per cent or worse",
    cause="the errors of {sources} leave it open by {percent} % (one standard deviation), so that 100 m in the map may be "
    "{percent} m off and more",
    remedy="nothing need be done where lengths do not matter; else a longer drive, better positions (RTK), or cameras mounted "
    "farther apart",
    level=NOTE,
)
POOR = 0.01
OFF = 6.0
"""Standard deviations, or times the scatter, from which on a position counts for nothing."""
TYPICAL = {3: 1.5382, 2: 1.1774}
"""Median length of a vector of three, and of two, standard normal numbers."""
SHORTEST = 8
"""With fewer positions their errors are taken for independent: a correlation cannot be told."""
LONGEST = 0.25
"""Of all positions: the longest distance, in the order of time, over which errors are asked whether they are alike."""


def sigma_by_positions(centers: np.ndarray, positions: np.ndarray, sigmas: np.ndarray, heights: np.ndarray) -> float:
    """Relative standard deviation of the scale that the positions of N images give a map; infinite where they give none.

    The scale is the slope of positions over centres, which independent errors of standard deviation s leave open by
    ``s / sqrt(sum |c - mean(c)|²)``: along a straight drive of length L by ``s / L * sqrt(12 / N)``. Positions that scatter
    more than they claim count by their scatter; those that scatter less by their claim, because a slow drift of a receiver
    does not show as scatter. Errors that are alike from image to image (cameras of one moment have one fix) make N smaller by
    the integrated autocorrelation of what is left between map and positions (Sokal, Monte Carlo methods in statistical
    mechanics, 1996).

    Args:
        centers: (N, 3) metres, in the positions' frame, in the order of time.
        positions: (N, 3) metres.
        sigmas: (N,) standard deviations that they claim, in metres.
        heights: (N,) bool, whether the third coordinate was measured.
    """
    measured = np.ones((len(centers), 3))
    measured[:, 2] = heights
    apart = (positions - centers) * measured / sigmas[:, None]
    lengths = np.linalg.norm(apart, axis=1)
    seen = float(np.median(lengths / np.where(heights, TYPICAL[3], TYPICAL[2]))) if len(lengths) else 0.0
    scatter = max(seen, 1.0)
    good = lengths <= OFF * scatter
    if good.sum() < 2:
        return float("inf")
    weight = 1.0 / (scatter * sigmas[good]) ** 2
    offset = (centers[good] - np.average(centers[good], axis=0, weights=weight)) * measured[good]
    alike = 1.0 + (_alike(apart[good]) - 1.0) * min(seen, 1.0) ** 2  # what is seen to be alike is so much of what is claimed
    information = float(weight @ (offset**2).sum(1)) / alike
    return 1.0 / np.sqrt(information) if information > 0 else float("inf")


def combined(*sigmas: float | None) -> float | None:
    """The standard deviation that independent ones (None or infinite = says nothing) leave together."""
    information = sum(1.0 / sigma**2 for sigma in sigmas if sigma)
    return float(1.0 / np.sqrt(information)) if information > 0 else None


def tell_uncertain(sigma: float | None, sources: str, name: str, findings: Findings) -> None:
    """Say that a model's scale is poorly known, where it is.

    Args:
        sigma: relative standard deviation of the scale; None = unknown.
        sources: what it is known by, in words.
        name: of the model.
        findings: gets it.
    """
    if sigma is not None and sigma >= POOR:
        findings.add(SCALE_UNCERTAIN, name, sources=sources, percent=f"{100 * sigma:.1f}")


def _alike(errors: np.ndarray) -> float:
    """How many errors (N, 3), in the order of time, count as one: 1 where they are independent."""
    count, power = len(errors), float((errors**2).sum())
    if count < SHORTEST or power <= 0:
        return 1.0
    total = 1.0
    for lag in range(1, int(LONGEST * count) + 1):
        likeness = float((errors[lag:] * errors[:-lag]).sum()) / power * count / (count - lag)
        if likeness <= 0:
            break
        total += 2.0 * likeness
    return min(total, float(count))
