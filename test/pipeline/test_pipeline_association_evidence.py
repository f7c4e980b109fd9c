"""What the live and the offline association are fed with when they solve everything."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_doppelgangers import FOCAL, HEIGHT, STEP, WIDTH, masks, street, with_doppelgangers, with_points

from seg2d3d_ros.association.points.doppelgangers import without_doppelgangers
from seg2d3d_ros.config import make_config
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.association_session import AssociationSession


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


@pytest.mark.parametrize("method", ["consensus", "published"])
def test_points_off_the_surface_are_no_evidence_of_the_consensus_and_are_counted(tmp_path, method: str) -> None:
    far, views = np.array([[-90.0, 3.0, 400.0]]), [1, 2]
    depth = far[0, 2] - STEP * np.array(views)
    xy = FOCAL * far[None, :, :2] / depth[:, None, None] + [WIDTH / 2, HEIGHT / 2]
    model = with_points(street(7), far, views, xy)
    session = AssociationSession(MapStore(tmp_path), make_config({"association.method": method}))
    for item in masks().values():
        session.receive(item)
    labelled = session.update([model], full=True)
    left_out = 2 if method == "consensus" else 0
    assert labelled.incidence.visibility.nnz == len(model.obs_point) - left_out
    assert labelled.counts.get("unused_points", 0) == left_out // 2
