"""What the live and the offline association are fed with when they solve everything."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_doppelgangers import FOCAL, HEIGHT, STEP, WIDTH, masks, street, with_doppelgangers, with_points

from seg2d3d_ros.association.points.doppelgangers import without_doppelgangers
from seg2d3d_ros.association.points.point_evidence import LARGE_SHARE, LEAST_UNUSED, POINTS_UNUSED, unused_points
from seg2d3d_ros.config import make_config
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.association_session import AssociationSession
from seg2d3d_ros.types import SparseModel


@pytest.mark.parametrize("method", ["consensus", "published"])
def test_doppelganger_matches_are_no_evidence_of_the_consensus(tmp_path, method: str) -> None:
    model = with_doppelgangers(street(7), 1, 5, 15, 7)
    session = AssociationSession(MapStore(tmp_path), make_config({"association.method": method}))
    for item in masks().values():
        session.receive(item)
    (left,) = without_doppelgangers([model], masks())
    assert len(left.obs_point) == len(model.obs_point) - 30
    wanted = left if method == "consensus" else model
    assert session.update([model], full=True).incidence.visibility.nnz == len(wanted.obs_point)


def with_far_points(count: int) -> SparseModel:
    """A street with points far behind a façade, that two views match wrongly."""
    far, views = np.array([[-90.0, 3.0, 400.0]]) + np.linspace(0.0, 8.0, count)[:, None] * [1.0, 0.0, 0.0], [1, 2]
    depth = far[0, 2] - STEP * np.array(views)
    xy = FOCAL * far[None, :, :2] / depth[:, None, None] + [WIDTH / 2, HEIGHT / 2]
    return with_points(street(7), far, views, xy)


@pytest.mark.parametrize("method", ["consensus", "published"])
def test_points_off_the_surface_are_no_evidence_of_the_consensus_and_are_counted(tmp_path, method: str) -> None:
    model = with_far_points(1)
    session = AssociationSession(MapStore(tmp_path), make_config({"association.method": method}))
    for item in masks().values():
        session.receive(item)
    labelled = session.update([model], full=True)
    left_out = 2 if method == "consensus" else 0
    assert labelled.incidence.visibility.nnz == len(model.obs_point) - left_out
    assert labelled.counts.get("unused_points", 0) == left_out // 2


def test_updates_in_between_leave_out_points_off_the_surface_too(tmp_path) -> None:
    model = with_far_points(1)
    session = AssociationSession(MapStore(tmp_path), make_config({}))
    for item in masks().values():
        session.receive(item)
    session.update([street(7)])
    labelled = session.update([model])
    assert not labelled.whole
    assert labelled.incidence.visibility.nnz == len(model.obs_point) - 2
    assert labelled.counts["unused_points"] == 1


def test_a_large_share_of_unused_points_is_told(tmp_path, monkeypatch) -> None:
    model = with_far_points(3)
    assert unused_points([model], 0, LEAST_UNUSED - 1) == []
    points = len(np.unique(model.obs_point))
    share = int(np.ceil(LARGE_SHARE * points))
    assert share > LEAST_UNUSED
    assert unused_points([model], 10, share - 11) == []
    (told,) = unused_points([model], 10, share - 10)
    assert (told.kind, told.count, told.of) == (POINTS_UNUSED, share, points)
    assert "10 come from matches of façades that look alike" in told.text

    monkeypatch.setattr("seg2d3d_ros.association.points.point_evidence.LARGE_SHARE", 3 / points)
    monkeypatch.setattr("seg2d3d_ros.association.points.point_evidence.LEAST_UNUSED", 3)
    session = AssociationSession(MapStore(tmp_path), make_config({}))
    for item in masks().values():
        session.receive(item)
    (told,) = (finding for finding in session.update([model], full=True).findings if finding.kind is POINTS_UNUSED)
    assert (told.count, told.of) == (3, points)
