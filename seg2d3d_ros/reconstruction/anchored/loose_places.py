"""Images whose place nobody tells: they have no position, and hang on the others by points that only one other place sees.

Two places tie a third by the points that all three see. A point that one of them shares with it tells the direction to it, but
not how far it is: whatever distance such an image is given, its matches fit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from scipy import sparse

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.reconstruction.viewgraph import COMMON_POINTS, visibility
from seg2d3d_ros.types import SparseModel

TOLD_BY = 2
"""Other places that must see a point for it to tell how far a third one is."""
DOUBTED = 0.25
"""A place without a position is doubted if it shares fewer such points than this share of the median of those with one: a few
wrong matches of windows that look alike agree on a wrong distance, too."""

PLACES_LOOSE = Kind(
    "places_loose",
    "images without a position whose place is not known",
    cause="they share few points with two other places at once; one alone tells the direction to it, but not the distance",
    remedy="give their positions, or take images closer together; what only they show may lie anywhere on the line of sight",
)


def loose_images(
    model: pycolmap.Reconstruction, positioned: Collection[int], moments: Iterable[Sequence[int]] = ()
) -> set[int]:
    """Ids of the registered images that have no position and share too few points with two places that are told.

    Args:
        positioned: ids of images that their own positions hold.
        moments: ids of the images of each moment, where mounts tie them to one place; all others are places of their own.
    """
    ids, seen = visibility(model)
    return set(ids[_loose(seen, ids.tolist(), positioned, moments, 0.0)].tolist())


def tell_loose(
    models: Iterable[SparseModel], positioned: Collection[str], moments: Sequence[Sequence[str]], findings: Findings
) -> None:
    """Tell of such images, by name, in models that positions brought to the Earth."""
    for model in models:
        if model.frame.kind != "enu" or not set(positioned) & set(model.names):
            continue
        shape = (len(model.names), len(model.point_ids))
        seen = sparse.csr_matrix((np.ones(len(model.obs_point), np.int64), (model.obs_keyframe, model.obs_point)), shape)
        loose = np.flatnonzero(_loose(seen, list(model.names), positioned, moments, DOUBTED))
        if len(loose):
            findings.add(PLACES_LOOSE, *(model.names[k] for k in loose), of=len(model.names))


def _loose(
    seen: sparse.csr_matrix,
    names: Sequence[object],
    positioned: Collection[object],
    moments: Iterable[Sequence[object]],
    share: float,
) -> np.ndarray:
    """(K,) bool: of images that see points (K, P) and are called ``names``; ``share`` of the median as ``DOUBTED`` says."""
    place = np.arange(len(names))
    row = {name: k for k, name in enumerate(names)}
    for moment in moments:
        there = [row[name] for name in moment if name in row]
        place[there] = there[0] if there else 0
    member = sparse.csr_matrix((np.ones(len(names), np.int64), (place, np.arange(len(names)))), (len(names), len(names)))
    of_place = (member @ seen).astype(bool).astype(np.int64).tocsr()
    told = np.zeros(len(names), bool)
    told[place[[row[name] for name in positioned if name in row]]] = True
    views = np.asarray(of_place[np.flatnonzero(told)].sum(axis=0)).ravel()
    usual = float(np.median(of_place[np.flatnonzero(told)] @ (views > TOLD_BY).astype(np.int64))) if told.any() else 0.0
    least = max(COMMON_POINTS, share * usual)
    while True:
        views = np.asarray(of_place[np.flatnonzero(told)].sum(axis=0)).ravel()
        tied = of_place @ (views >= TOLD_BY).astype(np.int64)
        more = ~told & (tied >= least)
        if not more.any():
            return np.asarray(~told[place])
        told |= more
