"""Places in the world that outlive another reconstruction: told beside the cameras around them, found again by these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.similarity import Similarity, fit_points
from seg2d3d_ros.types import SparseModel

CAMERAS = 12
LOOSEST = 0.05
"""Of the cameras' extent: if they moved farther against each other than this, the place is not known any more."""


def frame_anchor(model: SparseModel, around: np.ndarray) -> dict[str, Any]:
    """The cameras nearest to a place (3,), as the log keeps them."""
    near = np.argsort(np.linalg.norm(model.centers - around, axis=1), kind="stable")[:CAMERAS]
    rows = np.sort(near[np.isfinite(model.camera_from_world[near]).all(axis=(1, 2))])
    return {"images": [model.names[k] for k in rows], "camera_from_world": model.camera_from_world[rows].tolist()}


def frame_now(anchor: Mapping[str, Any], models: Sequence[SparseModel]) -> tuple[Similarity, int] | None:
    """``now_from_then`` by the cameras of an anchor, and the component that they lie in.

    None where fewer than two of them are in one model, or they lie otherwise to each other than then.
    """
    best: tuple[int, SparseModel, list[int], list[int]] | None = None
    for model in models:
        place = {name: k for k, name in enumerate(model.names)}
        rows = [(place[name], j) for j, name in enumerate(anchor["images"]) if name in place]
        rows = [(k, j) for k, j in rows if np.isfinite(model.camera_from_world[k]).all()]
        if len(rows) >= 2 and (best is None or len(rows) > best[0]):
            best = (len(rows), model, [k for k, _ in rows], [j for _, j in rows])
    if best is None:
        return None
    _, model, now, then = best
    before = Pose.from_matrix(np.array(anchor["camera_from_world"], float)[then])
    after = Pose.from_matrix(model.camera_from_world[now])
    turns = np.einsum("kji,kjl->kil", after.rotation, before.rotation).sum(axis=0)
    u, _, vt = np.linalg.svd(turns)
    rotation = (u * [1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    found = fit_points(before.origin, after.origin, rotation=rotation, min_points=2)
    if found is None:
        return None
    extent = float(np.linalg.norm(np.ptp(after.origin, axis=0)))
    moved = float(np.median(np.linalg.norm(found.apply(before.origin) - after.origin, axis=1)))
    return (found, model.component) if moved <= LOOSEST * extent else None
