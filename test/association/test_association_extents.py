"""How far apart groups lie for their size, and that far ones need more than a wrong match to be one object."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers_association import incidence_of, partition
from helpers_boards import FOCAL, HEIGHT, WIDTH, Board, boards_world
from helpers_doppelgangers import with_points
from scipy import sparse

from seg2d3d_ros.association.consensus import consensus_tracks
from seg2d3d_ros.association.extents import Extents
from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.association.online.neighbourhood import Known, solve_part
from seg2d3d_ros.sections.association_config import AssociationConfig

CONFIG = AssociationConfig()


def line(count: int, at: float, length: float) -> np.ndarray:
    """Points along a façade."""
    return np.column_stack([at + np.linspace(0, length, count), np.zeros(count), np.zeros(count)])


def held_by(*groups: range) -> sparse.csr_matrix:
    """(groups, P) ones."""
    rows = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    columns = np.concatenate([np.array(g) for g in groups])
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), (len(groups), int(columns.max()) + 1))


@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
def test_two_halves_of_a_facade_have_a_gap_of_two_at_any_scale(scale):
    xyz = scale * line(400, 3.0, 12.0)
    extents = Extents.of(held_by(range(200), range(200, 400)), xyz)
    assert extents.gaps(np.array([0]), np.array([1])) == pytest.approx(2.0, abs=0.05)
    whole, same = Extents.of(held_by(range(400)), xyz), extents.contract(np.array([0, 0]), 1)
    np.testing.assert_allclose(same.center, whole.center)
    assert same.count == 400
    assert same.square == pytest.approx(float(whole.square[0]), rel=0.3)


def test_a_few_wrong_points_change_no_extent():
    xyz = line(60, 0.0, 10.0)
    wrong = xyz.copy()
    wrong[::20] += [0.0, 400.0, 0.0]
    right, moved = (Extents.of(held_by(range(60)), points) for points in (xyz, wrong))
    np.testing.assert_allclose(moved.center, right.center, atol=0.5)
    np.testing.assert_allclose(moved.square, right.square, rtol=0.2)


def test_groups_of_few_points_are_as_large_as_the_others_and_nothing_is_known_of_empty_ones():
    xyz = np.concatenate([line(50, 0.0, 10.0), line(50, 20.0, 10.0), line(1, 40.0, 0.0)])
    extents = Extents.of(
        sparse.vstack([held_by(range(50), range(50, 100), range(100, 101)), sparse.csr_matrix((1, 101))]).tocsr(), xyz
    )
    assert extents.square[2] == pytest.approx(extents.square[0])
    np.testing.assert_array_equal(extents.gaps(np.array([0, 2]), np.array([3, 3])), 0.0)
    np.testing.assert_array_equal(extents.contract(np.array([0, 0, 1, 1]), 2).gaps(np.array([0]), np.array([1])) > 0, True)


@pytest.mark.parametrize(
    ("distance", "wrong", "objects"), [(6.0, 1, 1), (138.0, 1, 2), (138.0, 2, 2), (138.0, 20, 1), (None, 1, 1)]
)
def test_evidence_must_grow_with_the_distance(distance, wrong, objects):
    """Two houses of 40 points in two views each; points of one that a view of the other house matches, too."""
    left, right = set(range(40)), set(range(40, 80))
    stray = set(range(wrong))
    incidence = incidence_of([[left], [left], [right | stray], [right]], 80)
    if distance is not None:
        incidence = dataclasses.replace(incidence, xyz=np.concatenate([line(40, 0.0, 8.0), line(40, distance, 8.0)]))
    tracks = consensus_tracks(incidence, CONFIG)
    assert len(partition(tracks.segment)) == objects


@pytest.mark.parametrize("live", [False, True])
def test_a_wrong_match_unites_no_houses_at_the_ends_of_a_street(live):
    """A point of the left house that a view of the right one matches, in its mask, at the depth of its façade."""
    world = boards_world((Board(-44, -36, 10), Board(36, 44, 10)), (-41.0, -40.0, -39.0, 39.0, 40.0, 41.0))
    wrong, middle = np.array([[-40.0, 0.0, 10.0]]), np.array([[WIDTH / 2, HEIGHT / 2]])
    model = with_points(world.model, wrong, [0, 4], np.stack([middle + [FOCAL / 10, 0], middle]))
    incidence = build_incidence([model], world.segments, project=True)

    def houses(item):
        segments, points = item.matrix.shape
        nothing = Known(
            np.zeros(segments, np.int32), np.zeros(points, np.int32), np.ones(segments, bool), np.empty(0, np.int32)
        )
        tracks = solve_part(item, CONFIG, nothing, afresh=True).tracks if live else consensus_tracks(item, CONFIG)
        return len(partition(tracks.segment))

    assert houses(dataclasses.replace(incidence, xyz=None)) == 1, "what the distance is for"
    assert houses(incidence) == 2
