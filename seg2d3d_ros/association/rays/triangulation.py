"""The place of a thing from the masks that show it: least squares of bearings, and of where it meets the ground.

Gauss-Newton with Cauchy's weights (Zhang, Parameter estimation techniques, Image and Vision Computing 1997), two unknowns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.association.rays.ground import SIGMA
from seg2d3d_ros.association.rays.support import SIGMA_ELEVATION, Evidence, Supposed

ROUNDS = 8
FEET = 0.5
"""From this share of masks that end on the ground on, a thing stands on it."""
LYING = 0.04
"""Height in metres of the box of what lies flat."""


@dataclass(frozen=True, eq=False)
class Located:
    """One thing in the level frame, metres.

    Attributes:
        xy: (2,) its place.
        covariance: (3, 3) of its foot, (x, y, bottom).
        bottom, top: heights of its ends.
        width: across.
        flat: it lies on the ground.
    """

    xy: np.ndarray
    covariance: np.ndarray
    bottom: float
    top: float
    width: float
    flat: bool

    @property
    def sigma(self) -> float:
        """Standard deviation in metres along the direction in the plane that is known worst."""
        return float(np.sqrt(np.linalg.eigvalsh(self.covariance[:2, :2])[-1]))

    def supposed(self) -> Supposed:
        """As one thing to be compared with masks."""
        width, bottom, top, sigma = (np.array([v]) for v in (self.width, self.bottom, self.top, min(max(self.sigma, 0.1), 0.5)))
        return Supposed(self.xy[None], width, bottom, top, np.array([self.flat]), sigma)


def locate(evidence: Evidence, masks: np.ndarray, start: np.ndarray) -> Located | None:
    """Where the thing is that these masks (n,) show; None where their rays leave it open.

    Args:
        start: (2,) about where.
    """
    s, views = evidence.rays, evidence.views
    center, bearing, sigma = views.center[s.view[masks]], s.bearing[masks], s.sigma[masks]
    flat = bool(evidence.flat[masks].mean() > 0.5)
    reach, reach_sigma = np.full(len(masks), np.nan), np.ones(len(masks))
    if flat:
        reach, reach_sigma = evidence.reach[masks], evidence.reach_sigma[masks]
    xy = start.copy()
    feet = np.zeros(len(masks), bool)
    hessian, chi, terms = np.zeros((2, 2)), 0.0, 0
    for turn in range(ROUNDS):
        away = xy - center[:, :2]
        distance = np.maximum(np.hypot(*away.T), 0.3)
        toward = away / distance[:, None]
        if not flat and evidence.ground is not None and turn in (2, 4):
            foot = float(evidence.ground.at(xy))
            off = center[:, 2] + distance * s.bottom[masks] - foot
            near = (np.abs(off) < 2 * np.hypot(SIGMA, SIGMA_ELEVATION * distance)) & ~s.open_bottom[masks]
            feet = near if near.mean() >= FEET else feet & False
            below = center[:, 2] - foot
            with np.errstate(divide="ignore", invalid="ignore"):
                reach = np.where(feet, below / -s.bottom[masks], np.nan)
            lower = np.maximum(np.abs(below), 0.3)
            reach_sigma = np.hypot(distance**2 / lower * SIGMA_ELEVATION, distance / lower * SIGMA)
        turned = np.angle(np.exp(1j * (np.arctan2(away[:, 1], away[:, 0]) - bearing)))
        residual, row = [turned / sigma], [np.column_stack([-toward[:, 1], toward[:, 0]]) / (distance * sigma)[:, None]]
        known = np.isfinite(reach)
        residual.append((distance[known] - reach[known]) / reach_sigma[known])
        row.append(toward[known] / reach_sigma[known, None])
        r, jacobian = np.concatenate(residual), np.concatenate(row)
        weight = 1.0 / (1.0 + (r / 2.4) ** 2)
        hessian = jacobian.T @ (weight[:, None] * jacobian)
        chi, terms = float(weight @ r**2), len(r)
        step = np.linalg.solve(hessian + 1e-9 * np.eye(2), jacobian.T @ (weight * r))
        length = float(np.linalg.norm(step))
        xy = xy - step * min(1.0, 2.0 / max(length, 1e-9))
    if np.linalg.eigvalsh(hessian)[0] < 1e-4 or not np.isfinite(xy).all():
        return None
    return _described(evidence, masks, xy, np.linalg.inv(hessian) * max(1.0, chi / max(terms - 2, 1)), flat, feet)


def _described(
    evidence: Evidence, masks: np.ndarray, xy: np.ndarray, covariance: np.ndarray, flat: bool, feet: np.ndarray
) -> Located:
    """Width and heights, each by the masks that show them."""
    s, views = evidence.rays, evidence.views
    center = views.center[s.view[masks]]
    distance = np.hypot(*(xy - center[:, :2]).T)
    width = _middle(s.width[masks] * distance, 1.0 / np.hypot(0.1, s.pixel[masks] / s.width[masks]), ~s.cut[masks])
    weight = 1.0 / np.maximum(distance, 1.0)
    bottom = _middle(center[:, 2] + distance * s.bottom[masks], weight, ~s.open_bottom[masks])
    top = _middle(center[:, 2] + distance * s.top[masks], weight, ~s.open_top[masks])
    level = float(np.median(SIGMA_ELEVATION * distance)) / np.sqrt(len(masks))
    if evidence.ground is not None and (flat or feet.any()):
        bottom, level = float(evidence.ground.at(xy)), SIGMA
    if flat:
        top = bottom + LYING
    whole = np.zeros((3, 3))
    whole[:2, :2], whole[2, 2] = covariance, level**2
    return Located(xy, whole, bottom, max(top, bottom + LYING), width, flat)


def _middle(values: np.ndarray, weights: np.ndarray, good: np.ndarray) -> float:
    """The weighted median of the good values, or of all where none is."""
    good = good if good.any() else np.ones(len(values), bool)
    order = np.argsort(values[good])
    total = np.cumsum(weights[good][order])
    return float(values[good][order][np.searchsorted(total, total[-1] / 2)])
