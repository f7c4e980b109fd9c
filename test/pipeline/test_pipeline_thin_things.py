"""Thin things on their way through a session: masks in, places in tracks.json out, and what was not placed is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from helpers_thin import thin_world

from seg2d3d_ros.association.rays.ray_things import UNPLACED
from seg2d3d_ros.config import Config
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.association_session import AssociationSession
from seg2d3d_ros.pipeline.place_certainty import PLACE_UNSURE


def test_a_session_writes_places_and_says_what_has_none(tmp_path):
    world = thin_world(
        posts=[(12.0, 4.0), (18.0, 4.0), (24.0, 4.0)],
        cameras=8,
        edit=lambda name, thing, mask: [mask] * (thing < 2 or name == "v03"),
    )
    config = Config()
    config = replace(
        config,
        segmentation=replace(config.segmentation, prompts=("post", "lid")),
        association=replace(config.association, enough_points=0, overlay_width=0),
    )
    store = MapStore(tmp_path)
    session = AssociationSession(store, config)
    for segments in world.segments.values():
        session.receive(segments)
    labelled = session.update([world.model], full=True)
    assert [f.count for f in labelled.findings if f.kind is UNPLACED] == [1]
    boxed = [item for item in store.read_tracks()["instances"] if "position" in item]
    assert not any("covariance" in item for item in boxed)  # nobody knows how sure the cameras are
    assert [f.count for f in labelled.findings if f.kind is PLACE_UNSURE] == [len(boxed)]
    placed = [item for item in boxed if len(item["observations"]) > 1]
    assert {item["class"] for item in placed} == {"post"}
    feet = np.array([item["position"][:2] for item in placed])
    assert np.linalg.norm(feet[:, None] - world.places[:2], axis=2).min(axis=0).max() < 0.2
    assert all(len(item["observations"]) >= 3 and item["score"] > 0.3 for item in placed)
