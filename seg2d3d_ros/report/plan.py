"""From the world to the plan: which way is up, which way is right, and what to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.geometry.up import Z
from seg2d3d_ros.types import SparseModel


@dataclass(frozen=True)
class PlanView:
    """A view from above: ``plan = axes @ world``, x right and y up, of the window ``low`` … ``high`` (world units)."""

    axes: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __call__(self, xyz: np.ndarray) -> np.ndarray:
        """(N, 3) world -> (N, 2) plan coordinates."""
        return np.asarray(xyz, np.float64) @ self.axes.T

    def holds(self, xy: np.ndarray) -> np.ndarray:
        """(N,) bool: inside the window."""
        return np.all((xy >= self.low) & (xy <= self.high), axis=1)


def make_plan(models: Sequence[SparseModel], xyz: np.ndarray, instance: np.ndarray, kind: str) -> PlanView:
    """The view from above of points (N, 3) and the models' cameras; ``kind`` as in ``WorldFrame``.

    North is up, unless that would stand a long street on end: then the street runs across and north lies to the right.
    """
    centers = np.concatenate([np.empty((0, 3)), *(model.centers for model in models)])
    centers = centers[np.isfinite(centers).all(axis=1)]
    labelled, others = xyz[instance != 0], xyz[instance == 0]

    def along(axes: np.ndarray) -> PlanView:
        return PlanView(axes, *window(centers @ axes.T, labelled @ axes.T, others @ axes.T))

    spine = centers if len(centers) > 1 else xyz
    if kind != "enu":
        return along(plan_axes(models[0].up.direction if models else Z, spine))
    plan = along(np.eye(3)[:2])
    width, height = plan.high - plan.low
    if height <= 1.1 * width:
        return plan
    axes = plan_axes(Z, spine)
    return along(axes if axes[0, 1] > 0 else -axes)


def plan_axes(up: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(2, 3) axes at right angles to ``up``; the first follows the longest extent of ``positions`` (N, 3)."""
    seed = np.eye(3)[np.abs(up).argmin()]
    first = np.cross(up, seed)
    basis = np.stack([first / np.linalg.norm(first), np.cross(up, first) / np.linalg.norm(first)])
    flat = positions @ basis.T
    if len(flat) < 2:
        return basis
    direction = np.linalg.eigh(np.atleast_2d(np.cov(flat.T)))[1][:, 1]
    if direction @ (flat[-1] - flat[0]) < 0:
        direction = -direction
    return np.array([direction, [-direction[1], direction[0]]]) @ basis


def window(cameras: np.ndarray, labelled: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner (2,) of what the plan shows, from plan coordinates (N, 2).

    Few stray points lie kilometres away; showing them would shrink the street to a dot. The window holds the cameras
    and the bulk of the points, and grows past the cameras by no more than their own extent and the usual distance
    of a point.
    """
    groups = ((cameras, 0.0, 12.0), (labelled, 2.0, 3.0), (others, 8.0, 3.0))
    limits = [_fenced(group, share, reach) for group, share, reach in groups if len(group)]
    if not limits:
        return np.zeros(2), np.ones(2)
    low, high = np.min(limits, axis=0)[0], np.max(limits, axis=0)[1]
    points = np.concatenate([labelled, others])
    if len(cameras) and len(points):
        inner_low, inner_high = limits[0]
        typical = np.median(np.linalg.norm(points - np.median(cameras, axis=0), axis=1))
        reach = 1.5 * max(float((inner_high - inner_low).max()), float(typical))
        low, high = np.maximum(low, inner_low - reach), np.minimum(high, inner_high + reach)
    side = max(float((high - low).max()), 1e-6)
    middle = (low + high) / 2
    half = np.maximum((high - low) / 2, [0.38 * side, 0.17 * side]) + 0.05 * side
    return middle - half, middle + half


def _fenced(xy: np.ndarray, share: float, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Limits of what lies within ``reach`` times the middle half of it (Tukey's fences), less the outer ``share`` percent.

    Cameras get a wide fence: they are seldom wrong, and often dense in one place and sparse in another.
    """
    q1, q3 = np.percentile(xy, [25, 75], axis=0)
    fence = reach * np.maximum(q3 - q1, 0.25 * (q3 - q1).max() + 1e-9)
    inside = xy[((xy >= q1 - fence) & (xy <= q3 + fence)).all(axis=1)]
    low, high = np.percentile(inside if len(inside) else xy, [share, 100 - share], axis=0)
    return low, high


def nice_length(most: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is at most ``most``."""
    power = 10.0 ** np.floor(np.log10(most))
    return float(max(step * power for step in (1, 2, 5) if step * power <= most * (1 + 1e-9)))
