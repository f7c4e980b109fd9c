"""From incidence to instances: choose the method, vote for the points, describe each instance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seg2d3d_ros.arrays import concatenated, places
from seg2d3d_ros.association.codebook.codebook_tracks import codebook_tracks
from seg2d3d_ros.association.consensus import Tracks, consensus_tracks
from seg2d3d_ros.association.published import published_tracks
from seg2d3d_ros.association.votes import vote_points
from seg2d3d_ros.geometry.oriented_boxes import OrientedBoxes, oriented_box
from seg2d3d_ros.geometry.up import Z
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Cuts, Incidence, Instances, Placements, SparseModel


def _published(incidence: Incidence, config: AssociationConfig) -> Tracks:
    return Tracks(published_tracks(incidence.matrix, incidence.segment_keyframe, config))


METHODS: dict[str, Callable[[Incidence, AssociationConfig], Tracks]] = {
    "consensus": consensus_tracks,
    "codebook": codebook_tracks,
    "published": _published,
}
"""Each finds the tracks of segments of one class."""


def projects(config: AssociationConfig) -> bool:
    """Whether the method wants points projected into views that did not match them (``build_incidence``)."""
    return config.method != "published" and config.project


def uses_rays(config: AssociationConfig) -> bool:
    """Whether the method looks for thin and small things by the rays of their masks (``rays``)."""
    return config.method != "published" and config.rays


def enriches(config: AssociationConfig) -> bool:
    """Whether the method wants more points in segments that hold few (``points.enrich``)."""
    return config.method != "published" and config.enough_points > 0


def associate(incidence: Incidence, xyz: np.ndarray, config: AssociationConfig, up: np.ndarray | None = None) -> Instances:
    """Give every segment and every point its instance.

    Segments of different classes are never the same object. Ids are 1, 2, … in the order in which the method finds
    tracks, class by class.

    Args:
        incidence: segments × points.
        xyz: (P, 3) point positions in the world frame, for the boxes.
        up: (P, 3) up at each point (``stacked_up``); None = the z axis.
    """
    method = METHODS[config.method]
    found = assign(incidence, lambda part, _: method(part, config))
    return describe(incidence, xyz, found.segment, found.entry, found.cuts, up)


def stacked_xyz(models: Sequence[SparseModel]) -> np.ndarray:
    """(P, 3) points of all components, in the incidence's order."""
    return np.concatenate([np.empty((0, 3)), *(model.xyz for model in models)])


def stacked_up(models: Sequence[SparseModel]) -> np.ndarray:
    """(P, 3) float32 the up vector at each point of all components, in the incidence's order."""
    ups = [np.tile(model.up.direction.astype(np.float32), (len(model.point_ids), 1)) for model in models]
    return np.concatenate([np.empty((0, 3), np.float32), *ups])


@dataclass(frozen=True)
class Assignment:
    """Tracks of all classes under common ids: S segments, N non-zeros of the matrix, P points.

    Attributes:
        segment: (S,) int32, 0 = none.
        entry: (N,) int32, for which each non-zero votes.
        cuts: segments that are divided.
        point: per class (P,) int32 the track of each point, 0 = none; no entry where the method does not assign points.
    """

    segment: np.ndarray
    entry: np.ndarray
    cuts: Cuts
    point: dict[int, np.ndarray]


def assign(incidence: Incidence, method: Callable[[Incidence, np.ndarray], Tracks]) -> Assignment:
    """Find the tracks class by class.

    Args:
        method: finds the tracks of the segments of one class, given their incidence and their rows (n,).
    """
    segment_instance = np.zeros(incidence.matrix.shape[0], np.int32)
    entry_instance = np.zeros(incidence.matrix.nnz, np.int32)
    point: dict[int, np.ndarray] = {}
    cuts = [Cuts.none()]
    entry_row = np.repeat(np.arange(incidence.matrix.shape[0]), np.diff(incidence.matrix.indptr))
    last = 0
    for class_id in np.unique(incidence.classes):
        rows = np.flatnonzero(incidence.classes == class_id)
        tracks = method(take_segments(incidence, rows), rows)
        segment_instance[rows] = _shifted(tracks.segment, last)
        entries = np.isin(entry_row, rows)
        entry = segment_instance[entry_row[entries]] if tracks.entry is None else _shifted(tracks.entry, last)
        entry_instance[entries] = entry
        instance = tracks.cuts.instance + np.int32(last)
        cuts.append(Cuts(rows[tracks.cuts.segment].astype(np.int32), instance, tracks.cuts.xy))
        if tracks.point is not None:
            point[int(class_id)] = _shifted(tracks.point, last)
        last = max(last, int(segment_instance.max(initial=0)), int(instance.max(initial=0)))
    return Assignment(segment_instance, entry_instance, concatenated(cuts), point)


def _shifted(track: np.ndarray, last: int) -> np.ndarray:
    return np.where(track > 0, track + last, 0).astype(np.int32)


def take_segments(incidence: Incidence, rows: np.ndarray) -> Incidence:
    """The incidence of some of its segments, (n,) ascending."""
    if len(rows) == incidence.matrix.shape[0]:
        return incidence
    place = np.full(incidence.matrix.shape[0] + 1, -1, np.int32)
    place[rows] = np.arange(len(rows))

    def placed(item: Placements) -> Placements:
        return replace(item, segment=place[item.segment])

    return replace(
        incidence,
        matrix=incidence.matrix[rows],
        segment_keyframe=incidence.segment_keyframe[rows],
        segment_ids=incidence.segment_ids[rows],
        classes=incidence.classes[rows],
        scores=incidence.scores[rows],
        observed=placed(incidence.observed),
        projected=placed(incidence.projected),
    )


def describe(
    incidence: Incidence,
    xyz: np.ndarray,
    segment_instance: np.ndarray,
    entry_instance: np.ndarray | None = None,
    cuts: Cuts | None = None,
    up: np.ndarray | None = None,
) -> Instances:
    """Points, classes, scores and boxes of instances whose segments are known.

    Args:
        segment_instance: (S,) int32 instance id of each segment, 0 = none.
        entry_instance: (N,) int32 instance for which each non-zero of the matrix votes; None = its segment's.
        cuts: segments that are divided.
        up: (P, 3) up at each point; None = the z axis.
    """
    cuts = cuts or Cuts.none()
    point_instance, confidence = vote_points(incidence.matrix, segment_instance, entry_instance)
    known = np.concatenate([segment_instance, cuts.instance])
    ids = np.unique(known[known > 0]).astype(np.int32)
    classes, scores = np.zeros(len(ids), np.int32), np.zeros(len(ids), np.float32)
    boxes = OrientedBoxes.none(len(ids))
    top = int(ids.max(initial=0)) + 1
    segments_of, points_of = places(segment_instance, top), places(point_instance, top)
    for k, i in enumerate(ids.tolist()):
        mine = segments_of[i]
        if len(mine) == 0:  # it shows in parts of segments only
            mine = np.unique(cuts.segment[cuts.instance == i])
        classes[k] = np.bincount(incidence.classes[mine]).argmax()
        scores[k] = incidence.scores[mine].mean()
        if len(mine := points_of[i]):
            upright = Z if up is None else up[mine[0]]  # an instance lies in one component, which has one up
            boxes.center[k], boxes.size[k], boxes.rotation[k] = oriented_box(xyz[mine], upright)
    return Instances(segment_instance.astype(np.int32), point_instance, confidence, ids, classes, scores, boxes, cuts)
