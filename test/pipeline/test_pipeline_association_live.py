"""A session of a live map: what is written when, and what a kill leaves."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers_association import partition
from helpers_street import reveal, street

from seg2d3d_ros.association.masks.repair import Repair
from seg2d3d_ros.config import make_config
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.mapstore.journal import JOURNAL, IdentityJournal
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline import association_session as sessions
from seg2d3d_ros.pipeline.association_session import AssociationSession

CONFIG = make_config({})


def feed(session, model, segments, order, shown=None):
    """Feed views one by one; yields each result."""
    shown = np.zeros(len(model.names), bool) if shown is None else shown
    for k in order:
        shown[k] = True
        session.receive(segments[model.names[k]])
        yield session.update([reveal(model, shown)])


def ids_on_disk(store, model):
    return {name: store.read_labels(name) for name in model.names if store.label_path(name).exists()}


def test_only_changed_label_images_are_written_and_all_are_right(tmp_path):
    model, segments = street(11)
    session = AssociationSession(MapStore(tmp_path), CONFIG)
    times: dict[str, int] = {}
    for result in feed(session, model, segments, [5, 2, 7, 0, 9, 4, 1, 3, 8, 6]):
        written = {path.stem: path.stat().st_mtime_ns for path in (tmp_path / "labels").glob("*.png")}
        assert {name for name in written if times.get(name) != written[name]} == set(result.labels)
        times = written
        for name in result.models[0].names:
            repaired = Repair(result.incidence, result.instances)(segments[name])
            for segment_id, instance_id in repaired.instance_of.items():
                shown = session.store.read_labels(name)[repaired.segments.labels == segment_id]
                assert (shown == instance_id).all()
        for name, labels in result.labels.items():
            np.testing.assert_array_equal(labels.image(), session.store.read_labels(name))
    assert len(times) == len(model.names)


def test_everything_is_written_when_it_is_asked_for(tmp_path):
    model, segments = street(12)
    session = AssociationSession(MapStore(tmp_path), CONFIG)
    *_, _ = feed(session, model, segments, [3, 8, 1, 6, 0, 9, 5, 2, 7, 4])
    final = session.update([reveal(model, np.ones(len(model.names), bool))], full=True)
    tracks = session.store.read_tracks()
    assert {i["id"] for i in tracks["instances"]} == set(final.instances.ids.tolist())
    on_disk = ids_on_disk(session.store, model)
    for instance in tracks["instances"]:
        for observation in instance["observations"]:
            x0, y0, x1, y1 = observation["box"]
            assert (on_disk[observation["image"]][y0:y1, x0:x1] == instance["id"]).any()
    np.testing.assert_array_equal(session.store.read_points()["instance"], final.instances.point_instance)
    assert final.counts["instances"] == len(final.instances.ids)
    assert session.update([reveal(model, np.ones(len(model.names), bool))]).labels == {}


@pytest.mark.parametrize("torn", [False, True], ids=["whole journal", "journal cut off"])
def test_a_kill_between_two_summaries_loses_no_id(tmp_path, monkeypatch, torn):
    monkeypatch.setattr(sessions, "UNWRITTEN", 100.0)  # tracks.json is that of the first view
    model, segments = street(13, errors=False)
    session = AssociationSession(MapStore(tmp_path), CONFIG)
    shown = np.zeros(len(model.names), bool)
    *_, last = feed(session, model, segments, [0, 9, 4, 2, 7, 5, 1, 8], shown)
    assert len(session.store.read_tracks()["instances"]) < len(last.instances.ids)
    before = ids_on_disk(session.store, model)
    if torn:
        journal = tmp_path / JOURNAL
        journal.write_bytes(journal.read_bytes() + b'{"next":99,"images":{"view0_0":{"10"')

    again = AssociationSession(MapStore(tmp_path), CONFIG)
    result = again.update([reveal(model, shown)])
    assert result.instances.ids.tolist() == last.instances.ids.tolist()
    for name, labels in before.items():
        np.testing.assert_array_equal(again.store.read_labels(name), labels)
    # It goes on as if nothing had been.
    *_, after = feed(again, model, segments, [3, 6], shown)
    assert partition(after.instances.segment_instance) == partition(after.incidence.segment_ids.astype(int))
    assert set(after.instances.ids.tolist()) == set(last.instances.ids.tolist())


def test_ids_that_were_given_once_are_not_given_again_after_a_restart(tmp_path):
    store = MapStore(tmp_path)
    IdentityJournal(tmp_path).append(41, {"view0_0": {10: 7}})
    model, segments = street(14, errors=False)
    session = AssociationSession(store, CONFIG)
    for item in segments.values():
        session.receive(item)
    result = session.update([model])
    row = list(zip(result.incidence.segment_keyframe.tolist(), result.incidence.segment_ids.tolist(), strict=True)).index(
        (0, 10)
    )
    assert result.instances.segment_instance[row] == 7
    assert set(result.instances.ids.tolist()) - {7} == set(range(41, 41 + len(result.instances.ids) - 1))
    # tracks.json holds all of it now; the journal keeps what it does not say.
    assert IdentityJournal(tmp_path).read() == (41 + len(result.instances.ids) - 1, {})


def test_journal_lines(tmp_path, caplog):
    journal = IdentityJournal(tmp_path)
    assert journal.read() == (1, {})
    journal.append(5, {"a": {3: 4}, "b": {1: 2}})
    journal.append(6, {"a": {3: 5}})
    assert journal.read() == (6, {"a": {3: 5}, "b": {1: 2}})
    path = tmp_path / JOURNAL
    path.write_bytes(path.read_bytes()[:-9])  # a kill while the second line was written
    assert journal.read() == (5, {"a": {3: 4}, "b": {1: 2}})
    assert "line 2 is damaged" in caplog.text
    journal.append(8, {"b": {}})
    assert journal.read() == (8, {"a": {3: 4}, "b": {}})
    assert json.loads(path.read_text().splitlines()[-1]) == {"next": 8, "images": {"b": {}}}
    journal.restart(9)
    assert journal.read() == (9, {})
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=JOURNAL):
        journal.append(1, {})


def test_a_revision_that_fails_is_made_up_for_by_the_next(tmp_path):
    model, segments = street(15, errors=False)
    session = AssociationSession(MapStore(tmp_path), make_config({"association.confirm_images": 1}))
    shown = np.zeros(len(model.names), bool)
    *_, before = feed(session, model, segments, [0, 1, 2, 3, 4], shown)
    small = np.where(segments[model.names[5]].labels[:20, :20] > 0, 10, 0).astype(np.uint16)
    good = segments[model.names[5]]
    session.receive(type(good)(good.name, small, np.array([10], np.uint16), np.ones(1, np.int32), np.ones(1, np.float32)))
    shown[5] = True
    with pytest.raises(DataError, match="20×20"):
        session.update([reveal(model, shown)])
    session.receive(good)
    after = session.update([reveal(model, shown)])
    assert set(before.instances.ids.tolist()) <= set(after.instances.ids.tolist())
    assert partition(after.instances.segment_instance) == partition(after.incidence.segment_ids.astype(int))


def test_other_class_numbers_for_the_same_names_change_no_id(tmp_path):
    model, segments = street(16, errors=False)
    session = AssociationSession(MapStore(tmp_path), CONFIG)
    for item in segments.values():
        session.receive(item)
    first = session.update([model])
    session.know(("tree", *session.class_names))
    second = session.update([model])
    np.testing.assert_array_equal(second.instances.segment_instance, first.instances.segment_instance)
    assert set(second.instances.classes.tolist()) == {2}
