"""Votes, reliabilities and cannot-link weights against their formulas (docs/association.md), written view by view."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from seg2d3d_ros.association.agglomeration import agglomerate
from seg2d3d_ros.association.evidence import Groups, main_object_before, shares, votes, votes_before
from seg2d3d_ros.association.reliability import (
    reliability_by_objects,
    reliability_by_views,
    same_view_pairs,
    weight_matrix,
)

GROUPS, VIEWS, MASKS = 5, 4, 9


def random_masks(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(M, P) points in masks, (K, P) points in views, among them some outside all masks, and (M,) the view of each mask."""
    rng = np.random.default_rng(seed)
    view_of = np.sort(rng.integers(0, VIEWS, MASKS))
    visible = rng.random((VIEWS, 40)) < 0.7
    mask_at = np.array([[rng.choice([-1, *np.flatnonzero(view_of == k)]) for _ in range(40)] for k in range(VIEWS)])
    held = np.array([visible[view_of[m]] & (mask_at[view_of[m]] == m) for m in range(MASKS)])
    return held.astype(float), visible.astype(float), view_of


def votes_by_hand(
    inside: np.ndarray, visible: np.ndarray, view_of: np.ndarray, weights: np.ndarray, outside: float
) -> np.ndarray:
    """(N, N) from dense (N, M), (N, K), (M,) and (M, M)."""
    result = np.zeros((len(inside),) * 2)
    damping = 2.0 + 0.25 * visible.max(axis=1)
    for view in range(visible.shape[1]):
        mine = np.flatnonzero(view_of == view)
        share = inside[:, mine] / (visible[:, view] + damping)[:, None]
        covered = share.sum(axis=1)
        bare = visible[:, view] / (visible[:, view] + damping) - covered
        result += share @ weights[np.ix_(mine, mine)] @ share.T
        result -= outside * (np.outer(covered, bare) + np.outer(bare, covered))
    return result


@pytest.mark.parametrize("seed", range(3))
def test_votes_equal_the_formula(seed: int) -> None:
    held, visible, view_of = random_masks(seed)
    rng = np.random.default_rng(seed)
    member = np.eye(GROUPS)[rng.integers(0, GROUPS, 40)].T
    groups = Groups(sparse.csr_matrix(member @ held.T), sparse.csr_matrix(member @ visible.T), view_of)
    weights = np.diag(rng.random(MASKS))
    for m, n in zip(*same_view_pairs(view_of), strict=True):
        weights[m, n] = -rng.random()
    expected = votes_by_hand(member @ held.T, member @ visible.T, view_of, weights, 0.15)
    np.testing.assert_allclose(votes(shares(groups), sparse.csr_matrix(weights)).toarray(), expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_reliabilities_by_views_equal_the_formula(seed: int) -> None:
    held, visible, view_of = random_masks(seed)
    inside, seen = held @ held.T, held @ visible.T
    pairs = same_view_pairs(view_of)
    damping = 2.0 + 0.25 * seen.max(axis=1)
    weight = seen / (seen + damping[:, None])
    reliability, cannot_link = np.ones(MASKS), np.ones((MASKS, MASKS))
    for _ in range(4):
        weights = np.diag(reliability)
        weights[pairs] = -cannot_link[pairs]
        others, both = np.zeros(MASKS), np.zeros((MASKS, MASKS))
        support, union = np.zeros(MASKS), np.zeros((MASKS, MASKS))
        for view in range(VIEWS):
            mine = view_of == view
            share = inside[:, mine] / (seen[:, view] + damping)[:, None]
            vote = share @ weights[np.ix_(mine, mine)] @ share.T
            for m in np.flatnonzero(~mine):
                support[m] += vote[m, m]
                others[m] += weight[m, view] ** 2
                union[m] += vote[m]
                both[m] += weight[m, view] * weight[:, view]
        reliability = np.clip((1 + support) / (1 + others), 0, 1)
        cannot_link = np.clip((3 - union) / (3 + both), 0, 1)
    found = reliability_by_views(Groups(sparse.csr_matrix(inside), sparse.csr_matrix(seen), view_of), pairs)
    np.testing.assert_allclose(found[0], reliability, atol=1e-9)
    np.testing.assert_allclose(found[1], cannot_link[pairs], atol=1e-9)


def test_reliabilities_by_objects_by_hand() -> None:
    held = np.array([[4.0, 0], [3, 1], [1, 3], [0, 2], [0.5, 0]])
    pairs = np.array([0, 1, 0, 0]), np.array([1, 2, 3, 4])
    view_of = np.arange(5)  # each mask is all that its view sees: nobody says whether the two objects are one
    groups = Groups(sparse.csr_matrix(held.T), sparse.csr_matrix(held.T), view_of)
    none = np.empty(0, int), np.empty(0, int)
    reliability, _ = reliability_by_objects(groups, none)
    _, cannot_link = reliability_by_objects(groups, pairs)
    np.testing.assert_allclose(reliability[[0, 3, 4]], 1)  # a mask is not less sure for having few points
    damping = np.array([2 + 0.25 * 4, 2 + 0.25 * 3])
    share = held / (held + damping)
    mixed = 2 * (3 / 4) * (1 / 4) * 4 / 5  # of masks 1 and 2, with one more point of the main object
    for m, other in ((1, 2), (2, 1)):
        # Only the other of the two sees both objects, and holds them for one, with the reliability of its purity.
        weight = share[other, 0] * share[other, 1]
        apart = (0.5 - weight * (1 - 2 * mixed)) / (1 + weight)
        assert reliability[m] == pytest.approx(1 - 2 * mixed * apart)
    # The cosines are 3 / √10, 0.6, 0 and 1; the smaller masks have 4, 4, 2 and 0.5 points.
    expected = [max(0, 1 - 2 * 3 / np.sqrt(10) * 0.8), 1 - 2 * 0.6 * 0.8, 1, 1 - 2 * 0.5 / 1.5]
    np.testing.assert_allclose(cannot_link, expected)


@pytest.mark.parametrize("apart", [False, True])
def test_a_mask_is_glued_only_where_other_views_hold_its_objects_apart(apart: bool) -> None:
    """Mask 0 holds two objects; two other views see both, in one mask or in two."""
    inside = np.zeros((2, 5))
    inside[:, 0] = 10
    if apart:
        inside[0, [1, 3]] = inside[1, [2, 4]] = 10
    else:
        inside[:, 1] = inside[:, 3] = 10
    view_of = np.array([0, 1, 1, 2, 2])
    visible = np.full((2, 3), 10.0)
    groups = Groups(sparse.csr_matrix(inside), sparse.csr_matrix(visible), view_of)
    reliability, _ = reliability_by_objects(groups, same_view_pairs(view_of))
    assert (reliability[0] < 0.3) if apart else (reliability[0] > 0.7)


def test_weights_stand_on_the_diagonal_and_at_the_pairs() -> None:
    weights = weight_matrix(np.array([0.5, 0.7]), (np.array([0, 1]), np.array([1, 0])), np.array([0.2, 0.3]))
    np.testing.assert_allclose(weights.toarray(), [[0.5, -0.2], [-0.3, 0.7]])


def test_the_vote_of_an_earlier_solution_by_hand() -> None:
    before = sparse.csr_matrix(np.array([[6.0, 0], [2, 0], [1, 1]]))
    groups = Groups(sparse.csr_matrix((3, 1)), sparse.csr_matrix((3, 1)), np.zeros(1, int), before)
    vote, known = votes_before(groups, np.array([0, 0]), np.array([1, 2]))
    weight = np.array([6 / 8, 2 / 4, 2 / 4])
    np.testing.assert_allclose(known, [weight[0] * weight[1], weight[0] * weight[2]])
    np.testing.assert_allclose(vote, [2 * 6 / 8 * 2 / 4 - known[0], 2 * 6 / 8 * 1 / 4 - known[1]])


def test_the_main_object_of_an_earlier_solution() -> None:
    before = sparse.csr_matrix(np.array([[0.5, 0.25, 0], [0, 0, 0], [1, 2, 0], [0, 0, 7]]))
    nothing = sparse.csr_matrix((4, 1))
    groups = Groups(nothing, nothing, np.zeros(1, int), before)
    assert main_object_before(groups).tolist() == [0, -1, 1, 2]
    assert main_object_before(replace(groups, before=before[:, :0])).tolist() == [-1] * 4


def test_of_equal_votes_those_of_more_views_unite_first() -> None:
    """One view holds a and b in one mask, two hold a and c; four hold b and c in different masks."""
    masks = ["ab", "ac", "ac", *["b", "c"] * 4]
    view_of = np.array([0, 1, 2, *np.repeat(range(3, 7), 2)])
    inside = np.array([[80.0 * (name in mask) for mask in masks] for name in "abc"])
    visible = np.stack([inside[:, view_of == view].sum(axis=1) for view in range(7)], axis=1)
    pairs = same_view_pairs(view_of)
    weights = weight_matrix(np.ones(len(masks)), pairs, np.ones(len(pairs[0])))
    a, b, c = agglomerate(Groups(sparse.csr_matrix(inside), sparse.csr_matrix(visible), view_of), weights)
    assert a == c != b


@pytest.mark.parametrize(("before", "cannot_link"), [([1, 1], 1.05), ([1, 2], 0.95)])
def test_an_earlier_solution_decides_where_the_views_are_nearly_divided(before: list[int], cannot_link: float) -> None:
    """One view holds both groups in one mask, another one in two; they are a little against the earlier solution."""
    inside, view_of = np.array([[80.0, 80, 0], [80, 0, 80]]), np.array([0, 1, 1])
    visible = np.full((2, 2), 80.0)
    owned = 80.0 * (np.array(before)[:, None] == np.unique(before))
    groups = Groups(*map(sparse.csr_matrix, (inside, visible)), view_of, sparse.csr_matrix(owned))
    pairs = same_view_pairs(view_of)
    united = agglomerate(groups, weight_matrix(np.ones(3), pairs, np.full(2, cannot_link)))
    assert (united[0] == united[1]) == (before == [1, 1])
