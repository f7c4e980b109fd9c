"""Masks without points are tied to the mask of the same shape in the same direction, and to nothing nearby or ambiguous."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from seg2d3d_ros.association.masks.directions import with_far_masks
from seg2d3d_ros.association.solve import Assignment
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.types import Cuts, Incidence, Segments, SparseModel

WIDTH, HEIGHT, FOCAL = 320, 240, 300.0
CAMERA = Camera("PINHOLE", WIDTH, HEIGHT, (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2))


def scene(centers, boxes, found, *, yaw=0.0, classes=None):
    """Cameras that look along z, the later ones turned by ``yaw`` each, and boxes ``(x0, x1, z)``, 4 high, as masks: each box
    has the label of its place. ``found``: label -> object; the others have none and hold no point."""
    names = [f"view{k}" for k in range(len(centers))]
    rotations = [
        np.array([[np.cos(yaw * k), 0, -np.sin(yaw * k)], [0, 1, 0], [np.sin(yaw * k), 0, np.cos(yaw * k)]])
        for k in range(len(centers))
    ]
    poses = [(rotation, -rotation @ np.asarray(center, float)) for rotation, center in zip(rotations, centers, strict=True)]
    segments, rows = {}, []
    for k, (name, (rotation, translation)) in enumerate(zip(names, poses, strict=True)):
        labels = np.zeros((HEIGHT, WIDTH), np.uint16)
        for place, (x0, x1, z) in enumerate(boxes, start=1):
            corners = np.array([[x0, -2.0, z], [x1, 2.0, z]]) @ rotation.T + translation
            low, high = np.sort(corners[:, :2] / corners[:, 2:] * FOCAL + [WIDTH / 2, HEIGHT / 2], axis=0).round().astype(int)
            labels[max(low[1], 0) : max(high[1], 0), max(low[0], 0) : max(high[0], 0)] = place
        ids = np.unique(labels)[1:].astype(np.uint16)
        segments[name] = Segments(name, labels, ids, np.ones(len(ids), np.int32), np.ones(len(ids), np.float32))
        rows += [(k, int(i)) for i in ids]
    keyframe, label = np.array(rows).T
    empty = sparse.csr_matrix((len(rows), 1), dtype=np.float32)
    kinds = np.ones(len(rows), np.int32) if classes is None else np.asarray(classes, np.int32)
    incidence = Incidence(
        empty,
        sparse.csr_matrix((len(names), 1), dtype=bool),
        tuple(names),
        keyframe.astype(np.int32),
        label.astype(np.uint16),
        kinds,
        np.ones(len(rows), np.float32),
        np.arange(1),
    )
    poses34 = np.stack([np.column_stack(pose) for pose in poses])
    none = np.empty(0, np.int32)
    model = SparseModel(
        tuple(names),
        (CAMERA,) * len(names),
        poses34,
        np.zeros((1, 3)),
        np.zeros((1, 3), np.uint8),
        np.zeros(1),
        np.arange(1),
        none,
        none,
        np.empty((0, 2), np.float32),
    )
    segment = np.array([found.get((k, i), 0) for k, i in rows], np.int32)
    return [model], segments, incidence, Assignment(segment, np.empty(0, np.int32), Cuts.none(), {})


def objects(*args, **kwargs):
    models, segments, incidence, found = scene(*args, **kwargs)
    result = with_far_masks(models, segments, incidence, found).segment
    keys = zip(incidence.segment_keyframe.tolist(), incidence.segment_ids.tolist(), strict=True)
    return dict(zip(keys, result.tolist(), strict=True))


FORWARD = [(0, 0, 0), (0, 0, 3), (0, 0, 6)]


def test_a_far_thing_is_one_object_in_all_views():
    assert objects(FORWARD, [(-4, 4, 150)], {}) == {(k, 1): 1 for k in range(3)}


@pytest.mark.parametrize("yaw", [0.03, -0.05])
def test_where_the_camera_turns_the_direction_counts_not_the_pixel(yaw):
    found = objects(FORWARD, [(-4, 4, 150), (6, 14, 150)], {}, yaw=yaw)
    assert len(set(found.values())) == 2
    for place in (1, 2):
        assert len({found[k, place] for k in range(3)}) == 1


def test_it_takes_the_object_that_another_view_has():
    assert objects(FORWARD, [(-4, 4, 150)], {(1, 1): 7}) == {(k, 1): 7 for k in range(3)}


def test_two_objects_stay_two():
    found = objects(FORWARD, [(-4, 4, 150)], {(0, 1): 3, (2, 1): 5})
    assert (found[0, 1], found[2, 1]) == (3, 5)
    assert found[1, 1] in (3, 5)


def test_near_things_are_not_tied():
    """A row of equal houses passed sidewise: what stands at the same pixel is the neighbour."""
    row = [(-9.0 + 6 * k, -4.0 + 6 * k, 12) for k in range(4)]
    assert set(objects([(0, 0, 0), (6, 0, 0)], row, {}).values()) == {0}


def test_a_mask_of_another_class_is_another_thing():
    assert set(objects(FORWARD, [(-4, 4, 150)], {}, classes=[1, 2, 3]).values()) == {0}


def test_masks_with_points_are_left_as_they_are():
    models, segments, incidence, found = scene(FORWARD, [(-4, 4, 150)], {})
    held = sparse.csr_matrix(np.ones((3, 1), np.float32))
    points = Incidence(
        held,
        incidence.visibility,
        incidence.names,
        incidence.segment_keyframe,
        incidence.segment_ids,
        incidence.classes,
        incidence.scores,
        incidence.point_ids,
    )
    assert with_far_masks(models, segments, points, found) is found
