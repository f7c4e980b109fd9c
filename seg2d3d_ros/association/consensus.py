"""The association method ``consensus``: correlation clustering of masks by the points that they share, and cuts of glued masks.

1. The points of each mask are a group. The other views give each mask a reliability, and each pair of masks of one image a
   cannot-link weight (``reliability``).
2. The groups are clustered into objects (``agglomeration``).
3. Each point goes to the object with the largest sum of weights of the masks that hold the point; a mask that glues two objects
   has little weight. Then the objects are clustered once more, and the weights of the masks are computed again.
4. A mask belongs to the object of most of its points, or is cut between several.

Where poses are known, points also count in views that should see them but did not match them (``projection``), with less
weight: without them, masks that hold no matched point could not be associated.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from seg2d3d_ros.arrays import concatenated
from seg2d3d_ros.association.agglomeration import agglomerate
from seg2d3d_ros.association.connectivity import split_disconnected
from seg2d3d_ros.association.evidence import Groups, ones_at, sample
from seg2d3d_ros.association.extents import Extents
from seg2d3d_ros.association.reliability import reliability_by_objects, reliability_by_views, same_view_pairs, weight_matrix
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Cuts, Incidence, Placements

PROJECTED = 0.3
"""Weight of a point that should be seen at a place, beside 1 of one that was."""
REFINEMENTS = 3
MIN_WEIGHT = 0.05
"""Of a mask with reliability 0: it still decides on points that no other mask holds."""
PART_SHARE, PART_WEIGHT, PART_OBSERVED = 0.1, 4.0, 3
"""An object owns a part of a mask from this share and weight of the mask's points on, and only with so many observed points:
projected points alone, a little off, would cut slivers from the neighbour."""


@dataclass(frozen=True)
class Tracks:
    """The tracks that a method finds. S segments; N non-zeros of the incidence's matrix, in its order.

    Attributes:
        segment: (S,) int64 track of each segment (the largest part's where it is cut), 0 = none, else 1, 2, …
        entry: (N,) int64 track that each segment's point belongs to; None where it is the segment's.
        cuts: segments that show several tracks; ``cuts.instance`` is a track.
        point: (P,) int64 track of each point, 0 = none; None where the method does not assign points.
    """

    segment: np.ndarray
    entry: np.ndarray | None = None
    cuts: Cuts = field(default_factory=Cuts.none)
    point: np.ndarray | None = None


def consensus_tracks(incidence: Incidence, config: AssociationConfig, before: np.ndarray | None = None) -> Tracks:
    """Assign segments, of one class, to tracks, and cut those that show several.

    Masks that hold no point, observed or projected, have no track. A mask whose points no other mask holds is a track of
    its own. Tracks are numbered in the order of their first segment.

    Args:
        before: (P,) the instance of each point in an earlier solution, 0 = none. Where the views are nearly divided, what
            was one stays one, and what was two stays two.
    """
    held, visible = point_weights(incidence)
    earlier = None if before is None else membership_of(before)
    view = incidence.segment_keyframe.astype(np.int64)
    weight = unite_masks(held, visible, view, earlier, incidence.xyz)
    object_of, held_by = refine(held, visible, view, weight, np.full(held.shape[1], -1), 0, earlier, incidence.xyz)
    return tracks_of(incidence, config, object_of, held_by)


def tracks_of(
    incidence: Incidence,
    config: AssociationConfig,
    object_of: np.ndarray,
    held_by: sparse.csr_matrix,
    number: np.ndarray | None = None,
) -> Tracks:
    """Tracks and cuts where the objects are known.

    Args:
        object_of: (P,) object of each point, -1 = none.
        held_by: (S, objects) CSR weight of each object in each mask.
        number: (objects + 1,) the track of each object and, at the end, 0; None = in the order of their first segments,
            without those in too few images.
    """
    main = first_largest(held_by.tocsr())
    parts = _parts(held_by, main, incidence.matrix, object_of) if config.repair else _only(main, held_by.shape)
    if number is None:
        number = _number(main, incidence.segment_keyframe, config.consensus_min_images, held_by.shape[1])
    segment = number[main]

    entries = incidence.matrix.tocoo()
    mine = object_of[entries.col]
    accepted = (mine >= 0) & np.asarray(parts[entries.row, mine]).ravel().astype(bool) if len(mine) else np.empty(0, bool)
    entry = np.where(accepted, number[mine], segment[entries.row])
    seeds = _seeds((incidence.observed, incidence.projected), object_of, parts, number)
    return Tracks(segment, entry, seeds, number[object_of])


def point_weights(incidence: Incidence) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """(S, P) and (K, P) CSR float64: the weights of points in masks and in views, 1 for observed ones.

    Views without masks have no vote: their rows are empty.
    """
    held = incidence.matrix.astype(bool).astype(np.float64)
    visible = incidence.visibility.astype(bool).astype(np.float64)
    unseen = incidence.projected
    if len(unseen.point):
        inside = unseen.segment >= 0
        held = held + ones_at(unseen.segment[inside], unseen.point[inside], held.shape) * PROJECTED
        visible = visible + ones_at(unseen.keyframe, unseen.point, visible.shape) * PROJECTED
    has_masks = np.zeros(visible.shape[0])
    has_masks[incidence.segment_keyframe] = 1.0
    visible = (sparse.diags(has_masks) @ visible).tocsr()
    visible.eliminate_zeros()
    return held.tocsr(), visible


def membership_of(instance: np.ndarray) -> sparse.csr_matrix:
    """(P, O) CSR of ones where each point, (P,) 0 = none, belongs to one of O instances."""
    points = np.flatnonzero(instance > 0)
    ids, column = np.unique(instance[points], return_inverse=True)
    return sparse.csr_matrix((np.ones(len(points)), (points, column)), (len(instance), len(ids)))


def unite_masks(
    held: sparse.csr_matrix,
    visible: sparse.csr_matrix,
    mask_view: np.ndarray,
    before: sparse.csr_matrix | None = None,
    xyz: np.ndarray | None = None,
) -> sparse.csr_matrix:
    """Cluster masks to first objects.

    Args:
        before: (P, O) the points of an earlier solution's objects (``membership_of``).
        xyz: (P, 3) where the points are; None = unknown.

    Returns:
        (objects, S) the weight of each mask for each object.
    """
    count = held.shape[0]
    pairs = same_view_pairs(mask_view)
    earlier = None if before is None else (held @ before).tocsr()
    extents = None if xyz is None else Extents.of(held, xyz)
    masks = Groups((held @ held.T).tocsr(), (held @ visible.T).tocsr(), mask_view, earlier, extents)
    reliability, cannot_link = reliability_by_views(masks, pairs)
    some = np.flatnonzero(np.diff(held.indptr))
    size = np.asarray(held.sum(axis=1)).ravel()
    united = _largest_first(agglomerate(masks.take(some), weight_matrix(reliability, pairs, cannot_link)), size[some])
    objects = int(united.max(initial=-1)) + 1
    return sparse.csr_matrix((np.maximum(reliability[some], MIN_WEIGHT), (united, some)), (objects, count))


def refine(
    held: sparse.csr_matrix,
    visible: sparse.csr_matrix,
    mask_view: np.ndarray,
    weight: sparse.csr_matrix,
    pinned: np.ndarray,
    fixed: int,
    before: sparse.csr_matrix | None = None,
    xyz: np.ndarray | None = None,
) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Divide the points between objects by the masks' weights, unite objects, compute the weights again, and repeat. What then
    shares no point with the rest of its object becomes one of its own.

    Args:
        held: (S, P) weight of each point in each mask.
        visible: (K, P) weight of each point in each view.
        mask_view: (S,) the view of each mask.
        weight: (objects, S) the weight of each mask for each object.
        pinned: (P,) the object of points that must not change hands, -1 = free.
        fixed: the first ``fixed`` objects are not united with any other.
        before: (P, O) the points of an earlier solution's objects (``membership_of``).
        xyz: (P, 3) where the points are; None = unknown.

    Returns:
        (P,) object of each point, -1 = none, and (S, objects) its weight in each mask. The first ``fixed`` objects keep
        their numbers.
    """
    points, objects = held.shape[1], weight.shape[0]
    pairs, masks_of_point = same_view_pairs(mask_view), held.T.tocsr()
    for refinement in range(REFINEMENTS):
        object_of = first_largest((masks_of_point @ weight.T).tocsr())
        object_of = np.where(pinned >= 0, pinned, object_of)
        labelled = np.flatnonzero(object_of >= 0)
        membership = sparse.csr_matrix((np.ones(len(labelled)), (labelled, object_of[labelled])), (points, objects))
        held_by = (held @ membership).tocsr()
        if refinement == REFINEMENTS - 1:
            break
        earlier = None if before is None else (membership.T @ before).tocsr()
        extents = None if xyz is None else Extents.of(membership.T.tocsr(), xyz)
        groups = Groups(held_by.T.tocsr(), (visible @ membership).T.tocsr(), mask_view, earlier, extents)
        reliability, cannot_link = reliability_by_objects(groups, pairs)
        united = agglomerate(groups.take(np.arange(fixed, objects)), weight_matrix(reliability, pairs, cannot_link))
        united = _largest_first(united, np.asarray(held_by.sum(axis=0)).ravel()[fixed:])
        united = np.concatenate([np.arange(fixed), fixed + united])
        merge = sparse.csr_matrix((np.ones(objects), (np.arange(objects), united)), (objects, int(united.max(initial=-1)) + 1))
        objects = merge.shape[1]
        weight = mask_weights((held_by @ merge).tocsr())
    connected = split_disconnected(object_of, held, first_largest(held_by), fixed)
    if connected is not object_of:
        object_of, labelled = connected, np.flatnonzero(connected >= 0)
        held_by = (held @ ones_at(labelled, connected[labelled], (points, int(connected.max()) + 1))).tocsr()
    return object_of, held_by


def mask_weights(held_by: sparse.csr_matrix) -> sparse.csr_matrix:
    """(objects, S) from (S, objects): the weight of a mask for an object is the object's share of the mask, squared."""
    share = (sparse.diags(1.0 / np.maximum(np.asarray(held_by.sum(axis=1)).ravel(), 1e-9)) @ held_by).tocsr()
    return share.multiply(share).T.tocsr()


def _largest_first(united: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Renumber groups so that heavier ones come first: where a point's masks are divided equally, the larger object has it,
    in whatever order the masks came."""
    total = np.round(np.bincount(united, weight), 6)
    rank = np.empty(len(total), np.int64)
    rank[np.argsort(-total, kind="stable")] = np.arange(len(total))
    return rank[united]


def first_largest(table: sparse.csr_matrix) -> np.ndarray:
    """(rows,) column of the largest entry of each row (the first of equals), -1 where a row is empty."""
    result = np.full(table.shape[0], -1, np.int64)
    sizes = np.diff(table.indptr)
    filled = np.flatnonzero(sizes)
    if len(filled) == 0:
        return result
    starts, values = table.indptr[filled], np.round(table.data, 6)
    largest = np.repeat(np.maximum.reduceat(values, starts), sizes[filled])
    # Cheaper than sorting each row's columns.
    result[filled] = np.minimum.reduceat(np.where(values == largest, table.indices, table.shape[1]), starts)
    return result


def _only(main: np.ndarray, shape: tuple[int, int]) -> sparse.csr_matrix:
    """(S, objects) bool: each mask belongs to its main object alone."""
    rows = np.flatnonzero(main >= 0)
    return sparse.csr_matrix((np.ones(len(rows), bool), (rows, main[rows])), shape)


def _parts(held_by: sparse.csr_matrix, main: np.ndarray, matrix: sparse.csr_matrix, object_of: np.ndarray) -> sparse.csr_matrix:
    """(S, objects) bool: the objects that own a part of each mask."""
    table = held_by.tocoo()
    total = np.asarray(held_by.sum(axis=1)).ravel()
    large = (table.data >= PART_WEIGHT) & (table.data >= PART_SHARE * total[table.row])
    rows, columns = table.row[large], table.col[large]
    labelled = np.flatnonzero(object_of >= 0)
    member = ones_at(labelled, object_of[labelled], (matrix.shape[1], held_by.shape[1]))
    observed = sample((matrix.astype(bool).astype(np.float64) @ member).tocsr(), rows, columns)
    rows, columns = rows[observed >= PART_OBSERVED], columns[observed >= PART_OBSERVED]
    return (_only(main, held_by.shape) + sparse.csr_matrix((np.ones(len(rows), bool), (rows, columns)), held_by.shape)).tocsr()


def _number(main: np.ndarray, keyframes: np.ndarray, min_images: int, objects: int) -> np.ndarray:
    """(objects + 1,) track numbers from 1 in the order of the first segment; 0 for objects in fewer images, and at the end
    for "none", which is -1."""
    rows = np.flatnonzero(main >= 0)
    place = np.unique(np.stack([main[rows], keyframes[rows].astype(np.int64)]), axis=1)
    images = np.bincount(place[0], minlength=objects)
    found, first = np.unique(main[rows], return_index=True)
    kept = images[found] >= min_images
    number = np.zeros(objects + 1, np.int64)
    number[found[kept][np.argsort(first[kept])]] = np.arange(1, int(kept.sum()) + 1)
    return number


def _seeds(placements: tuple[Placements, ...], object_of: np.ndarray, parts: sparse.csr_matrix, number: np.ndarray) -> Cuts:
    """The pixels whose object is known, of all masks with several parts."""
    several = np.diff(parts.indptr) > 1
    found = [Cuts.none()]
    for item in placements:
        chosen = np.flatnonzero(item.segment >= 0)
        chosen = chosen[several[item.segment[chosen]] & (object_of[item.point[chosen]] >= 0)]
        segment, owner = item.segment[chosen], object_of[item.point[chosen]]
        if len(chosen) == 0:
            continue
        good = np.asarray(parts[segment, owner]).ravel().astype(bool) & (number[owner] > 0)
        found.append(Cuts(segment[good], number[owner[good]].astype(np.int32), item.xy[chosen[good]]))
    return concatenated(found)
