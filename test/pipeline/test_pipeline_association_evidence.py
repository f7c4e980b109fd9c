"""What the live and the offline association are fed with when they solve everything."""

from __future__ import annotations

import pytest
from helpers_doppelgangers import masks, street, with_doppelgangers

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
