"""Solve a part of the map while the rest stays as it is.

Instances are *touched*, and may grow, merge and be divided anew, or *fixed*: their points stay theirs, and they are not
united with anything, but they take part in the judgement of masks that show them too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from seg2d3d_ros.association.consensus import (
    Tracks,
    first_largest,
    mask_weights,
    membership_of,
    point_weights,
    refine,
    tracks_of,
    unite_masks,
)
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Incidence

FIRM = 2
"""Segments from which on an instance is not just united with another."""


@dataclass(frozen=True)
class Known:
    """What is known of a part of the map: S segments of one class, P points.

    Attributes:
        segment: (S,) instance of each segment, 0 = none.
        point: (P,) instance of each point, 0 = none.
        fresh: (S,) bool, segments that nothing is known of.
        touched: instances that may change, ascending.
    """

    segment: np.ndarray
    point: np.ndarray
    fresh: np.ndarray
    touched: np.ndarray

    @property
    def free(self) -> np.ndarray:
        """(S,) bool: segments whose instance is to be found."""
        return self.fresh | (self.segment == 0) | np.isin(self.segment, self.touched)


@dataclass(frozen=True)
class Solved:
    """Tracks of a part of the map. Track k ≤ len(fixed) is the instance ``fixed[k - 1]``; the others have no name yet."""

    tracks: Tracks
    fixed: np.ndarray
    count: int


def solve_part(incidence: Incidence, config: AssociationConfig, known: Known, *, afresh: bool) -> Solved:
    """Find the objects of the free segments.

    Args:
        incidence: of segments of one class: those of the touched instances, the fresh ones, and the others that hold
            points of them.
        afresh: begin with single masks, so that instances can fall apart, instead of with the instances as they are. Where
            nothing is fixed this is the full solution, with hysteresis towards the instances as they are.
    """
    held, visible = point_weights(incidence)
    before = membership_of(known.point)
    view = incidence.segment_keyframe.astype(np.int64)
    there = np.union1d(known.segment, known.point)
    fixed = np.setdiff1d(there[there > 0], known.touched)
    first = len(fixed)
    pinned = _places(fixed, known.point)
    free = np.flatnonzero(known.free)
    if afresh:
        own = unite_masks(held[free], visible, view[free], before, incidence.xyz)
        weights = _spread(own, free, first, len(known.segment))
    else:
        instances = np.concatenate([fixed, known.touched])
        owner = np.where(pinned >= 0, pinned, _places(known.touched, known.point, first))
        points = np.flatnonzero(owner >= 0)
        membership = sparse.csr_matrix((np.ones(len(points)), (points, owner[points])), (len(owner), len(instances)))
        single = known.fresh | (known.segment == 0)
        old = (sparse.diags((~single).astype(float)) @ held @ membership).tocsr()
        alone = np.flatnonzero(single & (np.diff(held.indptr) > 0))
        ones = sparse.csr_matrix((np.ones(len(alone)), (np.arange(len(alone)), alone)), (len(alone), len(known.segment)))
        weights = sparse.vstack([mask_weights(old), ones]).tocsr()
    object_of, held_by = refine(held, visible, view, weights, pinned, first, before, incidence.xyz)
    objects = held_by.shape[1]
    number = np.append(np.arange(1, objects + 1), 0)
    # As offline: what is no mask's largest object is none.
    shown = np.append(first_largest(held_by), np.arange(first))
    number[np.setdiff1d(np.arange(objects), shown)] = 0
    return Solved(tracks_of(incidence, config, object_of, held_by, number), fixed, objects)


def unites(known: Known, solved: Solved) -> bool:
    """Whether two instances of at least ``FIRM`` segments would become one."""
    track, place = solved.tracks.segment, np.searchsorted(known.touched, known.segment)
    old = np.isin(known.segment, known.touched) & (track > 0)
    pairs, counts = np.unique(np.stack([place[old], track[old]]), axis=1, return_counts=True)
    sizes = np.bincount(place[old], minlength=len(known.touched))
    most = (2 * counts > sizes[pairs[0]]) & (sizes[pairs[0]] >= FIRM)
    return len(np.unique(pairs[1, most])) < int(most.sum())


def _places(ids: np.ndarray, values: np.ndarray, first: int = 0) -> np.ndarray:
    """(N,) ``first`` + place of each value in the ascending ``ids``, -1 where it is not among them."""
    place = np.searchsorted(ids, values)
    found = place < len(ids)
    found[found] = ids[place[found]] == values[found]
    return np.where(found, place + first, -1)


def _spread(weights: sparse.csr_matrix, columns: np.ndarray, first: int, count: int) -> sparse.csr_matrix:
    """Put the columns of ``weights`` at these places of ``count``, below ``first`` empty rows."""
    entries = weights.tocoo()
    return sparse.csr_matrix((entries.data, (entries.row + first, columns[entries.col])), (first + weights.shape[0], count))
