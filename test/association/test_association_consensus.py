"""The views' consensus on small scenes whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers_association import incidence_of, partition
from helpers_street import street
from scipy.sparse import csr_matrix

from seg2d3d_ros.association import consensus
from seg2d3d_ros.association.agglomeration import agglomerate
from seg2d3d_ros.association.consensus import mask_weights, point_weights
from seg2d3d_ros.association.evidence import Groups, shares, votes
from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.association.reliability import reliability_by_views, same_view_pairs, weight_matrix
from seg2d3d_ros.association.solve import associate, take_segments
from seg2d3d_ros.evaluation.clustering import mask_clustering
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Placements

CONSENSUS = AssociationConfig(method="consensus")
A, B = range(0, 20), range(20, 40)


def solve(incidence, **changes):
    config = AssociationConfig(**{"method": "consensus", **changes})
    return associate(incidence, np.zeros((incidence.matrix.shape[1], 3)), config)


def judged(incidence):
    held = incidence.matrix.astype(float)
    masks = Groups((held @ held.T).tocsr(), (held @ incidence.visibility.astype(float).T).tocsr(), incidence.segment_keyframe)
    pairs = same_view_pairs(incidence.segment_keyframe)
    return masks, pairs, *reliability_by_views(masks, pairs)


class TestTwoHouses:
    def test_clean_masks(self):
        result = solve(incidence_of([[A, B]] * 4, 40))
        assert partition(result.segment_instance) == {frozenset({0, 2, 4, 6}), frozenset({1, 3, 5, 7})}
        assert partition(result.point_instance) == {frozenset(A), frozenset(B)}
        assert len(result.cuts.segment) == 0
        np.testing.assert_allclose(result.point_confidence, 1.0)

    def test_a_glued_mask_is_cut_between_them(self):
        # Rows 0 … 5 are clean, row 6 glues both houses.
        incidence = incidence_of([[A, B], [A, B], [A, B], [[*A, *B]]], 40)
        result = solve(incidence)
        assert partition(result.segment_instance[:6]) == {frozenset({0, 2, 4}), frozenset({1, 3, 5})}
        assert set(result.cuts.segment) == {6}
        seeds = dict(zip(np.floor(result.cuts.xy[:, 0]).astype(int).tolist(), result.cuts.instance.tolist(), strict=True))
        assert {seeds[p] for p in A} == {result.segment_instance[0]}
        assert {seeds[p] for p in B} == {result.segment_instance[1]}
        assert partition(result.point_instance) == {frozenset(A), frozenset(B)}
        np.testing.assert_allclose(result.point_confidence, 1.0, err_msg="a cut mask agrees with both")

    def test_without_repair_it_stays_whole(self):
        result = solve(incidence_of([[A, B], [A, B], [A, B], [[*A, *B[:8]]]], 40), repair=False)
        assert len(result.cuts.segment) == 0
        assert result.segment_instance[6] == result.segment_instance[0], "the house with more points in it"
        assert partition(result.point_instance) == {frozenset(A), frozenset(B)}

    def test_fragments_are_joined(self):
        # View 3 breaks house A into two masks (rows 6 and 7).
        result = solve(incidence_of([[A, B], [A, B], [A, B], [A[:10], A[10:], B]], 40))
        assert partition(result.segment_instance) == {frozenset({0, 2, 4, 6, 7}), frozenset({1, 3, 5, 8})}
        assert len(result.cuts.segment) == 0

    def test_far_views_that_hold_the_row_in_one_mask_do_not_outvote_near_ones(self):
        # Four far views see three points of each house in one mask, two near views see the houses apart.
        far = [[*A[:3], *B[:3]]]
        result = solve(incidence_of([[A, B], [A, B], *[far] * 4], 40))
        assert result.segment_instance[0] != result.segment_instance[1]
        assert len(set(result.point_instance[3:20])) == len(set(result.point_instance[23:])) == 1
        assert result.point_instance[10] != result.point_instance[30]

    def test_a_view_of_a_small_part_joins(self):
        # 1 of 40 points: the published method cuts it off, since J = 1/40 < 0.05.
        whole, part = range(40), [7]
        incidence = incidence_of([[whole], [whole], [whole], [whole], [part]], 40)
        published = AssociationConfig(method="published")
        assert associate(incidence, np.zeros((40, 3)), published).segment_instance[4] == 0
        assert partition(solve(incidence).segment_instance) == {frozenset(range(5))}

    def test_two_views_of_one_house_without_a_common_point(self):
        # The middle view sees both ends in one mask: transitive evidence.
        result = solve(incidence_of([[A[:10]], [A], [A[10:]]], 40))
        assert partition(result.segment_instance) == {frozenset({0, 1, 2})}

    def test_classes_are_never_one_object(self):
        result = solve(incidence_of([[A], [A], [A]], 40, classes=[1, 2, 1]))
        assert partition(result.segment_instance) == {frozenset({0, 2}), frozenset({1})}
        assert result.classes.tolist() == [1, 2]

    def test_objects_in_few_images_can_be_left_out(self):
        incidence = incidence_of([[A, B], [A]], 40)
        assert partition(solve(incidence).segment_instance) == {frozenset({0, 2}), frozenset({1})}
        few = solve(incidence, consensus_min_images=2)
        assert few.segment_instance.tolist() == [1, 0, 1]
        assert set(few.point_instance[20:]) == {0}


class TestEvidence:
    def test_a_vote_by_hand(self):
        # One view, two groups of 6 and 2 points that share its mask; k is 2 and a quarter of the points it sees best.
        incidence = incidence_of([[range(8)]], 8)
        held = np.array([[6.0], [2.0]])
        groups = Groups(incidence.matrix[:0].tocsr(), incidence.visibility[:0].tocsr(), np.zeros(1, np.int64))
        groups = Groups(type(groups.inside)(held), type(groups.inside)(held), groups.mask_view)
        weights = weight_matrix(np.ones(1), (np.empty(0, int), np.empty(0, int)), np.empty(0))
        assert votes(shares(groups), weights)[0, 1] == pytest.approx(6 / (6 + 2 + 1.5) * 2 / (2 + 2 + 0.5))

    def test_pairs_of_one_view(self):
        first, second = same_view_pairs(np.array([1, 0, 1, 1]))
        assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 2), (0, 3), (2, 0), (2, 3), (3, 0), (3, 2)]

    def test_views_judge_masks(self):
        _, _, reliability, _ = judged(incidence_of([[A, B], [A, B], [A, B], [[*A, *B]]], 40))
        assert reliability[:6].min() > 0.6
        assert reliability[6] < 0.5

    def test_views_judge_pairs(self):
        _, pairs, _, cannot_link = judged(incidence_of([[A, B]] * 5 + [[A[:10], A[10:], B]], 40))
        of = {(int(i), int(j)): a for i, j, a in zip(*pairs, cannot_link, strict=True)}
        assert of[10, 11] < 0.3, "two fragments"
        assert of[10, 12] > 0.9
        assert of[0, 1] > 0.9

    def test_a_background_view_weighs_less_than_a_mask(self):
        # One view holds A and B in one mask, another holds A only and sees B outside.
        masks, pairs, reliability, cannot_link = judged(incidence_of([[[*A, *B]], [A], [B]], 40, background=[[], B, A]))
        owner = agglomerate(masks, weight_matrix(reliability, pairs, cannot_link))
        assert len(set(owner)) == 1


def test_far_views_with_few_points_do_not_outvote_near_ones() -> None:
    """Five far views hold both houses in one mask, with 8 points each; two near ones see them apart, with 60 each."""
    rng = np.random.default_rng(0)

    def some(first: int, count: int) -> set[int]:
        return set((first + rng.choice(100, count, replace=False)).tolist())

    near = [[some(0, 60), some(100, 60)] for _ in range(2)]
    far = [[some(0, 8) | some(100, 8)] for _ in range(5)]
    found = solve(incidence_of(near + far, 200))
    assert partition(found.segment_instance[:4]) == {frozenset({0, 2}), frozenset({1, 3})}
    assert set(found.cuts.segment.tolist()) == {4, 5, 6, 7, 8}


@pytest.mark.parametrize(
    ("main", "second", "cut"),
    [(20, 4, True), (20, 3, False), (36, 4, True), (37, 4, False)],  # weight 4 and a tenth of the mask's points
)
def test_a_part_needs_a_weight_and_a_share(main: int, second: int, cut: bool) -> None:
    first, other = range(main), range(main, main + 20)
    found = solve(incidence_of([[first, other]] * 3 + [[[*first, *other[:second]]]], main + 20))
    assert set(found.cuts.segment.tolist()) == ({6} if cut else set())


def test_projected_points_weigh_less_and_views_without_masks_have_no_vote() -> None:
    incidence = incidence_of([[[0, 1]], [[2]], []], 3, background=[[], [], [0]])
    unseen = Placements(*(np.array(row, np.int32) for row in ([1, 0, 2], [1, -1, -1], [0, 2, 1])), np.zeros((3, 2), np.float32))
    held, visible = point_weights(replace(incidence, projected=unseen))
    np.testing.assert_allclose(held.toarray(), [[1, 1, 0], [0.3, 0, 1]])
    np.testing.assert_allclose(visible.toarray(), [[1, 1, 0.3], [0.3, 0, 1], [0, 0, 0]])


def test_the_weight_of_a_mask_for_an_object_is_its_share_squared() -> None:
    weights = mask_weights(csr_matrix(np.array([[3.0, 1], [0, 5], [0, 0]])))
    np.testing.assert_allclose(weights.toarray(), [[9 / 16, 0, 0], [1 / 16, 1, 0]])


def test_points_outside_all_segments_stay_so_in_a_part_of_the_segments() -> None:
    incidence = incidence_of([[[0], [1]], [[1]]], 3, classes=[1, 2, 1])
    unseen = Placements(*(np.array(row, np.int32) for row in ([1, 1], [-1, 1], [0, 2])), np.zeros((2, 2), np.float32))
    part = take_segments(replace(incidence, projected=unseen), np.array([0, 2]))
    assert part.projected.segment.tolist() == [-1, -1]
    assert part.observed.segment.tolist() == [0, -1, 1]
    assert part.matrix.toarray().tolist() == [[1, 0, 0], [0, 1, 0]]


def test_clustering_the_divided_points_once_more_corrects_the_first_objects(monkeypatch) -> None:
    gains = []
    for seed in (0, 3, 8, 11):
        model, segments = street(seed, houses=8, views=24)
        incidence, truth = build_incidence([model], segments), np.repeat(np.arange(8), 30)
        found = {}
        for rounds in (1, consensus.REFINEMENTS):
            with monkeypatch.context() as patch:
                patch.setattr(consensus, "REFINEMENTS", rounds)
                tracks = consensus.consensus_tracks(incidence, CONSENSUS)
            found[rounds] = mask_clustering(truth, tracks.point)["ari"]
        gains.append(found[consensus.REFINEMENTS] - found[1])
    assert min(gains) > 0.005
