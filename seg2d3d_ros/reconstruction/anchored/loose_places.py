"""Images whose place nobody tells: they have no position, and hang on the others by points that only one other place sees.

Two places tie a third by the points that all three see. A point that one of them shares with it tells the direction to it, but
not how far it is: whatever distance such an image is given, its matches fit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from scipy import sparse

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.reconstruction.viewgraph import COMMON_POINTS, visibility

TOLD_BY = 2
"""Other places that must see a point for it to tell how far a third one is."""


def loose_images(
    model: pycolmap.Reconstruction, positioned: Collection[int], moments: Iterable[Sequence[int]] = ()
) -> set[int]:
    """Ids of the registered images that have no position and share too few points with two places that are told.

    Args:
        positioned: ids of images that their own positions hold.
        moments: ids of the images of each moment, where mounts tie them to one place; all others are places of their own.
    """
    ids, seen = visibility(model)
    place = np.arange(len(ids))
    row = {image_id: k for k, image_id in enumerate(ids.tolist())}
    for moment in moments:
        there = [row[i] for i in moment if i in row]
        place[there] = there[0] if there else 0
    member = sparse.csr_matrix((np.ones(len(ids), np.int64), (place, np.arange(len(ids)))), (len(ids), len(ids)))
    of_place = (member @ seen).astype(bool).astype(np.int64).tocsr()
    told = np.zeros(len(ids), bool)
    told[place[[row[i] for i in positioned if i in row]]] = True
    while True:
        views = np.asarray(of_place[np.flatnonzero(told)].sum(axis=0)).ravel()
        tied = of_place @ (views >= TOLD_BY).astype(np.int64)
        more = ~told & (tied >= COMMON_POINTS)
        if not more.any():
            return set(ids[~told[place]].tolist())
        told |= more
