"""What is counted in several places is the same number everywhere: one map, all places."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from helpers_maps import two_houses

from seg2d3d_ros.cli.making.building import summary
from seg2d3d_ros.config import make_config
from seg2d3d_ros.evaluation.measure import map_counts
from seg2d3d_ros.evaluation.table import summary as evaluation_summary
from seg2d3d_ros.mapstore.point_cloud import read_points
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.association_session import AssociationSession
from seg2d3d_ros.pipeline.figures import IMPOSSIBLE_LABELS, write_association_figures, write_reconstruction_figures
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction
from seg2d3d_ros.report.content import read_content
from seg2d3d_ros.report.facts import tiles

CONFIG = make_config({"association.enough_points": 0})


def with_strays(model, far=(0, 25)):
    """Two points of the houses triangulated to nowhere; masks still hold them."""
    xyz = model.xyz.copy()
    xyz[list(far)] = [[0.0, 0.0, 1e5], [-1e5, 0.0, 9.0]]
    return dataclasses.replace(model, xyz=xyz)


@pytest.fixture
def labelled(tmp_path):
    model, segments = two_houses(4)
    model = with_strays(model)
    store = MapStore(tmp_path)
    session = AssociationSession(store, CONFIG)
    for item in segments.values():
        session.receive(item)
    store.write_config(CONFIG)
    found = session.update([model], full=True)
    write_reconstruction_figures(store, 5, Reconstruction([model]), {"view9": "blurred"}, {}, [])
    write_association_figures(store, found, 1.0)
    return store, found


def test_points_labelled_points_and_instances_are_the_same_numbers_everywhere(labelled):
    store, found = labelled
    counts, cloud, tracks = store.read_metrics()["counts"], store.read_points(), store.read_tracks()["instances"]
    assert (counts["model_points"], counts["points"], counts["stray_points"]) == (40, 38, 2)
    assert counts["labelled_points"] == 38
    assert counts["instances"] == counts["instances_with_points"] == 2
    # points.ply, tracks.json, what subscribers get
    assert len(cloud) == counts["points"]
    assert np.count_nonzero(cloud["instance"]) == counts["labelled_points"]
    assert len(read_points(store.root / "points_rgb.ply")) == counts["points"] + counts["stray_points"]
    assert len(tracks) == counts["instances"]
    assert sum(item["points"] for item in tracks) == counts["labelled_points"]
    assert np.count_nonzero(found.instances.point_instance) == counts["labelled_points"]
    assert found.counts["points"] == counts["points"]
    # terminal, report, evaluate
    words = summary(store, CONFIG)
    assert "40 points" in words
    assert "2 instances of building: 8 of 8 segments, 38 of the 38 points in points.ply" in words
    content = read_content(store.root)
    shown = tiles(content)
    assert (shown["Points in points.ply"], shown["Labelled points"], shown["Instances"]) == ("38", "38", "2")
    assert shown["Far strays left out"] == "2"
    measured = map_counts(store)
    assert measured == {name: counts[name] for name in measured}
    told = evaluation_summary({"map": measured})
    assert "the map has 2 instances, and 38 of the 38 points in points.ply belong to one" in told


def test_scores_in_tracks_are_those_of_the_instances_and_of_what_agrees(labelled):
    store, found = labelled
    for item, score in zip(store.read_tracks()["instances"], found.instances.scores.tolist(), strict=True):
        assert item["score"] == pytest.approx(score, abs=1e-3)
        for observation in item["observations"]:
            assert 0 < observation["score"] <= item["score"] + 1e-4
            assert observation["detector_score"] in (0.9, 0.7)


def test_a_label_that_cannot_be_is_counted_and_in_no_file(tmp_path):
    """The last camera turns round: its masks are not of these houses, whatever its keypoints were matched with."""
    model, segments = two_houses(4)
    poses = model.camera_from_world.copy()
    poses[3, :, :3] = np.diag([-1.0, 1.0, -1.0])
    session = AssociationSession(MapStore(tmp_path), CONFIG)
    for item in segments.values():
        session.receive(item)
    assert session.update([model]).findings == ()
    found = session.update([dataclasses.replace(model, camera_from_world=poses)], full=True)
    (finding,) = (item for item in found.findings if item.kind == IMPOSSIBLE_LABELS)
    assert (finding.count, finding.of) == (2, 8)
    assert re.search("object 1 in view3, object 2 in view3", finding.text)
    assert session.store.read_labels("view3").max() == 0
    assert session.store.read_labels("view2").max() == 2
    images = {o["image"] for item in session.store.read_tracks()["instances"] for o in item["observations"]}
    assert images == {"view0", "view1", "view2"}
    assert found.counts["segments_with_instance"] == 6
    # When the camera turns back, its labels come back.
    again = session.update([dataclasses.replace(model, revision=9)])
    assert IMPOSSIBLE_LABELS not in [item.kind for item in again.findings]
    assert session.store.read_labels("view3").max() == 2
