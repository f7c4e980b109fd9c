"""From the covariance beside a model to tracks.json: where it is there, of another revision, damaged, or not there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers_thin import thin_world

from seg2d3d_ros.config import Config
from seg2d3d_ros.mapstore.files.covariance_file import FILE, write_covariance
from seg2d3d_ros.mapstore.pose_covariance import PoseCovariance, PoseWindow
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.association_session import AssociationSession
from seg2d3d_ros.pipeline.place_certainty import COVARIANCE_DAMAGED, PLACE_UNSURE


@pytest.fixture(scope="module")
def world():
    return thin_world(posts=[(12.0, 4.0), (18.0, 4.0)], cameras=8, edit=lambda name, thing, mask: [mask])


def associated(root, world, *, full=True):
    config = Config()
    config = replace(
        config,
        segmentation=replace(config.segmentation, prompts=("post", "lid")),
        association=replace(config.association, enough_points=0, overlay_width=0),
    )
    store = MapStore(root)
    session = AssociationSession(store, config)
    for segments in world.segments.values():
        session.receive(segments)
    labelled = session.update([world.model], full=full)
    items = [item for item in store.read_tracks()["instances"] if "covariance" in item]
    return items, {f.kind: f for f in labelled.findings}, labelled


def known(root, world, revision=None):
    """All images are off by the same, 1 m, 2 m and 3 m."""
    shift = np.tile(np.vstack([np.diag([1.0, 2.0, 3.0]), np.zeros((3, 3))]), (len(world.model.names), 1))
    rows = np.arange(len(world.model.names), dtype=np.int32)
    covariance = PoseCovariance(
        world.model.names, (PoseWindow(rows, (shift @ shift.T).astype(np.float32)),), 0.5, absolute=True
    )
    folder = root / "sparse" / "0"
    folder.mkdir(parents=True)
    write_covariance(folder, covariance, world.model.revision if revision is None else revision)
    return folder / FILE


def test_objects_have_the_errors_of_the_cameras_and_their_own(tmp_path, world):
    known(tmp_path, world)
    items, findings, labelled = associated(tmp_path, world)
    assert len(items) >= 2
    for item in items:
        covariance = np.array(item["covariance"])
        own = covariance - np.diag([1.0, 4.0, 9.0])
        assert (np.linalg.eigvalsh(own) > -1e-3).all()
        assert np.linalg.eigvalsh(own).max() < 1.0
    assert labelled.instances.boxes.located.sum() == len(items)
    assert COVARIANCE_DAMAGED not in findings


def test_one_of_another_revision_does_not_count(tmp_path, world):
    known(tmp_path, world, revision=world.model.revision + 1)
    items, findings, _ = associated(tmp_path, world)
    assert items == []
    assert "was given" in findings[PLACE_UNSURE].text


def test_an_unfinished_map_says_nothing_of_it(tmp_path, world):
    known(tmp_path, world)
    items, findings, _ = associated(tmp_path, world, full=False)
    assert items == []
    assert PLACE_UNSURE not in findings


def test_a_damaged_one_is_told_and_the_map_is_made_without(tmp_path, world):
    known(tmp_path, world).write_bytes(b"no archive")
    items, findings, labelled = associated(tmp_path, world)
    assert items == []
    assert len(labelled.instances.ids) >= 2
    assert FILE in findings[COVARIANCE_DAMAGED].text
