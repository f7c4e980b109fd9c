"""What must hold for the consensus on any scene."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers_association import incidence_of, partition
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from seg2d3d_ros.association.solve import associate
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Placements

CONSENSUS = AssociationConfig(method="consensus")
SEEDS = st.integers(0, 2**32 - 1)


def solve(incidence):
    return associate(incidence, np.zeros((incidence.matrix.shape[1], 3)), CONSENSUS)


def street(seed: int, *, errors: bool, views: int = 8, houses: int = 4):
    """Views along a row of houses; with errors some masks are glued, broken or missing. Also each mask's true house."""
    rng = np.random.default_rng(seed)
    size = rng.integers(8, 30, houses)
    points = np.split(np.arange(size.sum()), np.cumsum(size)[:-1])
    result, owner = [], []
    for view in range(views):
        near = [h for h in range(houses) if abs(h - view * houses / views) < 2.2]
        masks = [sorted(rng.choice(points[h], rng.integers(4, size[h] + 1), replace=False).tolist()) for h in near]
        if errors and len(masks) > 1 and rng.random() < 0.3:
            masks[0] = masks[0] + masks.pop(1)
        if errors and rng.random() < 0.3:
            last = masks.pop()
            masks += [last[: len(last) // 2], last[len(last) // 2 :]]
        result.append(masks)
        owner += near
    return incidence_of(result, int(size.sum())), np.array(owner)


def permuted(incidence, seed):
    """The same scene with images, masks and points in another order; also the orders."""
    rng = np.random.default_rng(seed)
    segments, points = incidence.matrix.shape
    rows, columns, views = rng.permutation(segments), rng.permutation(points), rng.permutation(len(incidence.names))
    place = [np.argsort(order).astype(np.int32) for order in (rows, columns, views)]
    seen = incidence.observed
    moved = Placements(place[2][seen.keyframe], place[0][seen.segment], place[1][seen.point], seen.xy)
    return (
        dataclasses.replace(
            incidence,
            matrix=incidence.matrix[rows][:, columns].tocsr(),
            visibility=incidence.visibility[views][:, columns].tocsr(),
            names=tuple(incidence.names[k] for k in views),
            segment_keyframe=place[2][incidence.segment_keyframe[rows]],
            segment_ids=incidence.segment_ids[rows],
            point_ids=incidence.point_ids[columns],
            observed=moved,
        ),
        rows,
        columns,
    )


@settings(max_examples=30, deadline=None)
@given(SEEDS, SEEDS)
def test_order_does_not_matter(seed, order):
    incidence, _ = street(seed, errors=True)
    shuffled, rows, columns = permuted(incidence, order)
    first, second = solve(incidence), solve(shuffled)
    back = np.zeros_like(second.segment_instance)
    back[rows] = second.segment_instance
    assert partition(back) == partition(first.segment_instance)
    # A point whose masks are equally divided between objects of equal size may go either way; few are.
    points = np.zeros_like(second.point_instance)
    points[columns] = second.point_instance
    renamed = dict(zip(back.tolist(), first.segment_instance.tolist(), strict=True))
    same = np.array([renamed.get(int(p), 0) for p in points]) == first.point_instance
    assert same.mean() > 0.9


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_clean_masks_are_never_glued_and_an_isolated_one_stays_its_own(seed):
    incidence, owner = street(seed, errors=False)
    alone = incidence_of([[range(5)]], 5)
    both = dataclasses.replace(
        incidence,
        matrix=sparse.block_diag([incidence.matrix, alone.matrix], format="csr", dtype=np.float32),
        visibility=sparse.block_diag([incidence.visibility, alone.visibility], format="csr").astype(bool),
        names=(*incidence.names, "alone"),
        segment_keyframe=np.append(incidence.segment_keyframe, np.int32(len(incidence.names))),
        segment_ids=np.append(incidence.segment_ids, np.uint16(1)),
        classes=np.append(incidence.classes, np.int32(1)),
        scores=np.append(incidence.scores, np.float32(1)),
        point_ids=np.arange(incidence.matrix.shape[1] + 5),
    )
    result = solve(both).segment_instance
    assert frozenset({len(owner)}) in partition(result)
    for group in partition(result[:-1]):
        assert len(set(owner[list(group)])) == 1
    assert partition(result[:-1]) == partition(solve(incidence).segment_instance)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_duplicates_change_nothing(seed):
    incidence, _ = street(seed, errors=True)
    expected = solve(incidence)
    counted_twice = dataclasses.replace(incidence, matrix=(incidence.matrix * 2).tocsr())
    np.testing.assert_array_equal(solve(counted_twice).segment_instance, expected.segment_instance)
    # The same image twice, with the same masks: they follow their originals.
    rows, first = incidence.matrix.shape[0], np.flatnonzero(incidence.segment_keyframe == 3)
    twice = dataclasses.replace(
        incidence,
        matrix=sparse.vstack([incidence.matrix, incidence.matrix[first]]).tocsr(),
        visibility=sparse.vstack([incidence.visibility, incidence.visibility[3]]).tocsr(),
        names=(*incidence.names, "again"),
        segment_keyframe=np.append(incidence.segment_keyframe, np.full(len(first), len(incidence.names), np.int32)),
        segment_ids=np.append(incidence.segment_ids, incidence.segment_ids[first]),
        classes=np.append(incidence.classes, incidence.classes[first]),
        scores=np.append(incidence.scores, incidence.scores[first]),
    )
    result = solve(twice).segment_instance
    np.testing.assert_array_equal(result[first], result[rows:])


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(3, 7))
def test_more_views_never_separate_what_exact_evidence_joins(seed, count):
    incidence, _ = street(seed, errors=False)
    rows = np.flatnonzero(incidence.segment_keyframe < count)
    seen = incidence.observed.segment < len(rows)
    fields = ("keyframe", "segment", "point", "xy")
    fewer = dataclasses.replace(
        incidence,
        matrix=incidence.matrix[rows],
        visibility=incidence.visibility[:count],
        names=incidence.names[:count],
        observed=Placements(*(getattr(incidence.observed, name)[seen] for name in fields)),
        **{name: getattr(incidence, name)[rows] for name in ("segment_keyframe", "segment_ids", "classes", "scores")},
    )
    before, after = solve(fewer).segment_instance, solve(incidence).segment_instance
    for group in partition(before):
        assert len(set(after[list(group)])) == 1


@pytest.mark.parametrize(
    ("views", "points"),
    [([], 0), ([], 5), ([[]], 0), ([[], []], 3), ([[[]]], 0), ([[[], []], [[]]], 4)],
    ids=["nothing", "points only", "a view", "views", "a mask without points", "masks without points"],
)
def test_nothing_to_say(views, points):
    result = solve(incidence_of(views, points))
    assert not result.segment_instance.any()
    assert not result.point_instance.any()
    assert len(result.ids) == 0


def test_one_point_and_masks_without_points():
    result = solve(incidence_of([[[0], []], [[0]]], 2))
    assert result.segment_instance.tolist() == [1, 0, 1]
    assert result.point_instance.tolist() == [1, 0]
