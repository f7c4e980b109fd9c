"""Keypoints to segments to votes to instances, on cases whose answer is known."""

import dataclasses

import numpy as np
import pytest
from helpers_maps import POINTS, two_houses
from scipy import sparse

from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.association.solve import associate
from seg2d3d_ros.association.votes import vote_points
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Segments


def test_each_segment_holds_the_points_under_its_pixels():
    model, segments = two_houses()
    incidence = build_incidence([model], segments)
    assert incidence.matrix.shape == (8, POINTS)
    assert incidence.visibility.sum() == 4 * POINTS
    for row in range(8):
        item = segments[incidence.names[incidence.segment_keyframe[row]]]
        is_left = item.labels[20, 10] == incidence.segment_ids[row]
        expected = np.arange(0, 20) if is_left else np.arange(20, 40)
        assert incidence.matrix[row].indices.tolist() == expected.tolist()


def test_pixel_of_a_keypoint_is_the_floor():
    """A keypoint at x = 5.9 lies in pixel 5, whose centre is at 5.5; one at 6.0 in pixel 6."""
    model, _ = two_houses(1)
    xy = np.tile(np.float32([20.0, 30.0]), (POINTS, 1))
    xy[0], xy[1] = (5.9, 3.9), (6.0, 3.0)
    labels = np.zeros((48, 64), np.uint16)
    labels[3, 5] = 9
    item = Segments("view0", labels, np.array([9], np.uint16), np.ones(1, np.int32), np.ones(1, np.float32))
    incidence = build_incidence([dataclasses.replace(model, obs_xy=xy)], {"view0": item})
    assert incidence.matrix.indices.tolist() == [0]


def test_a_point_seen_twice_in_a_segment_counts_once():
    model, segments = two_houses()
    doubled = dataclasses.replace(
        model,
        obs_keyframe=np.tile(model.obs_keyframe, 2),
        obs_point=np.tile(model.obs_point, 2),
        obs_xy=np.tile(model.obs_xy, (2, 1)),
    )
    once, twice = build_incidence([model], segments), build_incidence([doubled], segments)
    assert (once.matrix != twice.matrix).nnz == 0


def test_segments_of_another_size_are_refused():
    model, segments = two_houses()
    small = dataclasses.replace(segments["view1"], labels=segments["view1"].labels[:24, :32])
    with pytest.raises(DataError, match=r"view1.*32×24"):
        build_incidence([model], {**segments, "view1": small})


def test_components_share_no_points_and_so_no_instance():
    model, segments = two_houses()
    other = dataclasses.replace(model, names=tuple(f"b{n}" for n in model.names), point_ids=model.point_ids + 100, component=1)
    both = {**segments, **{f"b{n}": dataclasses.replace(s, name=f"b{n}") for n, s in segments.items()}}
    incidence = build_incidence([model, other], both)
    instances = associate(incidence, np.concatenate([model.xyz, other.xyz]), AssociationConfig())
    of_component = [set(instances.segment_instance[:8].tolist()), set(instances.segment_instance[8:].tolist())]
    assert of_component[0].isdisjoint(of_component[1])
    assert len(instances.ids) == 4


def test_two_houses_are_two_instances_in_every_image():
    model, segments = two_houses()
    incidence = build_incidence([model], segments)
    instances = associate(incidence, model.xyz, AssociationConfig())
    assert instances.ids.tolist() == [1, 2]
    assert len(set(instances.point_instance[:20].tolist())) == 1
    assert len(set(instances.point_instance[20:].tolist())) == 1
    assert (instances.point_confidence == 1).all()
    left = instances.point_instance[0]
    box = instances.boxes.bounds[left - 1]
    assert -6.1 < box[0, 0] < box[1, 0] < -3.9


def test_classes_are_kept_apart():
    model, segments = two_houses()
    mixed = {
        name: dataclasses.replace(item, classes=np.array([1 if item.labels[20, 10] == i else 2 for i in item.ids], np.int32))
        for name, item in segments.items()
    }
    covering = {n: dataclasses.replace(s, labels=np.where(s.labels > 0, s.labels, s.ids[0])) for n, s in mixed.items()}
    instances = associate(build_incidence([model], covering), model.xyz, AssociationConfig())
    assert sorted(instances.classes.tolist()) == [1, 2]


def test_no_models_no_instances():
    instances = associate(build_incidence([], {}), np.empty((0, 3)), AssociationConfig())
    assert len(instances.ids) == len(instances.point_instance) == 0


def test_vote_weighs_and_counts_segments_without_instance():
    weights = sparse.csr_matrix(np.array([[1, 1, 0, 1], [2, 0, 0, 1], [1, 1, 1, 0]], np.float32))
    instance, confidence = vote_points(weights, np.array([5, 3, 0], np.int32))
    assert instance.tolist() == [3, 5, 0, 3]  # weight wins; only named segments count; a tie goes to the lower id
    assert confidence.tolist() == pytest.approx([0.5, 0.5, 0.0, 0.5])
