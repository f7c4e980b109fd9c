"""From incidence to instances: choose the method, vote for the points, describe each instance."""

from __future__ import annotations

import numpy as np

from seg2d3d_ros.association.published import published_tracks
from seg2d3d_ros.association.votes import vote_points
from seg2d3d_ros.config import AssociationConfig
from seg2d3d_ros.types import Incidence, Instances

METHODS = {"published": published_tracks}


def associate(incidence: Incidence, xyz: np.ndarray, config: AssociationConfig) -> Instances:
    """Give every segment and every point its instance.

    Segments of different classes are never the same object. Ids are 1, 2, … in the order in which the method finds
    tracks, class by class.

    Args:
        incidence: segments × points.
        xyz: (P, 3) point positions in the world frame, for the boxes.
    """
    method = METHODS[config.method]
    segment_instance = np.zeros(incidence.matrix.shape[0], np.int32)
    for class_id in np.unique(incidence.classes):
        rows = np.flatnonzero(incidence.classes == class_id)
        track = method(incidence.matrix[rows], incidence.segment_keyframe[rows], config)
        segment_instance[rows] = np.where(track > 0, track + segment_instance.max(initial=0), 0)
    return describe(incidence, xyz, segment_instance)


def describe(incidence: Incidence, xyz: np.ndarray, segment_instance: np.ndarray) -> Instances:
    """Points, classes, scores and boxes of instances whose segments are known.

    Args:
        segment_instance: (S,) int32 instance id of each segment, 0 = none.
    """
    point_instance, confidence = vote_points(incidence.matrix, segment_instance)
    ids = np.unique(segment_instance[segment_instance > 0]).astype(np.int32)
    classes, scores = np.zeros(len(ids), np.int32), np.zeros(len(ids), np.float32)
    boxes = np.full((len(ids), 2, 3), np.nan)
    segments_of, points_of = _members(segment_instance, ids), _members(point_instance, ids)
    for k in range(len(ids)):
        classes[k] = np.bincount(incidence.classes[segments_of[k]]).argmax()
        scores[k] = incidence.scores[segments_of[k]].mean()
        boxes[k] = _box(xyz[points_of[k]])
    return Instances(segment_instance.astype(np.int32), point_instance, confidence, ids, classes, scores, boxes)


def _members(owner: np.ndarray, ids: np.ndarray) -> list[np.ndarray]:
    """For each id, the places in ``owner`` that hold it: one sort instead of one scan per id."""
    order = np.argsort(owner, kind="stable")
    starts, ends = np.searchsorted(owner[order], ids, "left"), np.searchsorted(owner[order], ids, "right")
    return [order[start:end] for start, end in zip(starts, ends, strict=True)]


def _box(xyz: np.ndarray) -> np.ndarray:
    """(2, 3) corners of the axis-aligned box without the farthest 2 % on each side: stray points do not inflate it."""
    return np.full((2, 3), np.nan) if len(xyz) == 0 else np.percentile(xyz, [2, 98], axis=0)
