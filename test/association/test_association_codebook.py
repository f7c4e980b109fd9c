"""The method ``codebook`` on small scenes whose answer is known, and what it has in common with the other methods."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from helpers_association import incidence_of, partition

from seg2d3d_ros.association.solve import METHODS, associate, enriches, projects, uses_rays
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.evaluation.clustering import mask_clustering
from seg2d3d_ros.sections.association_config import AssociationConfig

torch = pytest.importorskip("torch")
A, B, C = range(0, 20), range(20, 40), range(40, 60)


def solve(incidence, **changes):
    config = AssociationConfig(**{"method": "codebook", **changes})
    return associate(incidence, np.zeros((incidence.matrix.shape[1], 3)), config)


@pytest.mark.parametrize("mapping", ["area", "mean"])
def test_objects_that_images_show_beside_each_other_have_different_codes(mapping: str) -> None:
    result = solve(incidence_of([[A, B, C]] * 5, 60), codebook_mapping=mapping)
    assert partition(result.segment_instance) == {frozenset(range(k, 15, 3)) for k in range(3)}
    assert partition(result.point_instance) == {frozenset(A), frozenset(B), frozenset(C)}


def test_a_mask_over_two_objects_is_cut_between_them_unless_repair_is_off() -> None:
    incidence = incidence_of([[A, B]] * 5 + [[[*A, *B]]], 40)
    result = solve(incidence)
    assert partition(result.segment_instance[:10]) == {frozenset(range(0, 10, 2)), frozenset(range(1, 10, 2))}
    assert set(result.cuts.segment) == {10}
    assert len(solve(incidence, repair=False).cuts.segment) == 0


def test_two_masks_on_one_object_are_one_where_most_images_show_it_whole() -> None:
    # The second code that the part of A is mapped to in one image is a duplicate of the first.
    incidence = incidence_of([[A, B]] * 6 + [[range(0, 12), range(12, 20), B]], 40)
    result = solve(incidence)
    assert partition(result.point_instance) == {frozenset(A), frozenset(B)}
    assert len(set(result.segment_instance[12:14])) == 1


def test_objects_that_no_mask_ties_are_two_even_with_one_code() -> None:
    # Nothing pushes these apart: no image shows both.
    result = solve(incidence_of([[A], [A], [B], [B]], 40))
    assert partition(result.segment_instance) == {frozenset({0, 1}), frozenset({2, 3})}


def test_a_row_of_houses_of_which_each_image_shows_three() -> None:
    random = np.random.default_rng(5)
    houses = [np.arange(k * 30, (k + 1) * 30) for k in range(8)]
    views, truth = [], []
    for first in [*range(6)] * 4:
        shown = range(first, first + 3)
        views.append([random.choice(houses[k], 22, replace=False) for k in shown])
        truth += shown
    result = solve(incidence_of(views, 240))
    found = mask_clustering(np.array(truth), result.segment_instance)
    assert found["ari"] > 0.95, found


@pytest.mark.parametrize("method", METHODS)
class TestWhatEachMethodPromises:
    def config(self, method: str) -> AssociationConfig:
        return AssociationConfig(method=method, min_points=2, min_images=2)

    def test_classes_are_kept_apart(self, method: str) -> None:
        incidence = incidence_of([[A, A]] * 4, 20, classes=[1, 2] * 4)
        result = associate(incidence, np.zeros((20, 3)), self.config(method))
        assert partition(result.segment_instance) == {frozenset(range(0, 8, 2)), frozenset(range(1, 8, 2))}

    def test_nothing_and_masks_without_points_have_no_instance(self, method: str) -> None:
        assert len(associate(incidence_of([[]], 4), np.zeros((4, 3)), self.config(method)).ids) == 0
        result = associate(incidence_of([[[], A]] * 4, 20), np.zeros((20, 3)), self.config(method))
        assert (result.segment_instance[::2] == 0).all()
        assert (result.segment_instance[1::2] > 0).all()

    def test_the_same_input_gives_the_same_instances(self, method: str) -> None:
        incidence = incidence_of([[A, B], [[*A, *B]], [range(5, 15), range(25, 40)], [A, B]], 40)
        first, second = (associate(incidence, np.zeros((40, 3)), self.config(method)) for _ in range(2))
        np.testing.assert_array_equal(first.segment_instance, second.segment_instance)
        np.testing.assert_array_equal(first.point_instance, second.point_instance)


def test_it_uses_projected_and_additional_points_and_rays_as_the_consensus_does() -> None:
    for switch in (projects, enriches, uses_rays):
        assert [switch(AssociationConfig(method=method)) for method in ("consensus", "codebook", "published")] == [
            True,
            True,
            False,
        ]


def test_without_torch_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(DataError, match="pip install torch, or take --method consensus"):
        solve(incidence_of([[A, B]] * 3, 40))
