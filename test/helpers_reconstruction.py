"""What tests of the reconstruction share: how far off a model is, and a worker's answers."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np


def misfit(model, truth) -> float:
    """Largest distance of camera centres after a similarity fit, in units of the scene's size."""
    ids = sorted(model.reg_image_ids())
    source = np.array([model.image(i).projection_center() for i in ids])
    target = np.array([truth.image(i).projection_center() for i in ids])
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    d = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = np.trace(np.diag(s) @ d) / (a**2).sum()
    return np.linalg.norm(scale * a @ (u @ d @ vt).T - b, axis=1).max() / np.linalg.norm(b, axis=1).max()


def drain(worker, until: Callable[[list], bool], limit: float = 90.0) -> list:
    """The worker's events up to the moment when ``until`` says of them that they are enough; fails after ``limit`` seconds."""
    events, end = [], time.monotonic() + limit
    while time.monotonic() < end:
        events += worker.events()
        if until(events):
            return events
        time.sleep(0.02)
    raise AssertionError(f"no answer in {limit} s: {events}")
