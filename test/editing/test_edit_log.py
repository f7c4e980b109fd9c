"""edits.jsonl: whole lines or none, and what cannot be read is told."""

import errno
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg2d3d_ros.editing.edit_entry import DELETE, RENAME, UNDO, Edit
from seg2d3d_ros.editing.edit_log import EDITS_DAMAGED, EditLog
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings

MASK = {"size": [4, 4], "counts": [2, 3, 11]}
TOLD = {"id": 7, "class": "house", "seen": [{"image": "a", "mask": MASK}]}


def filled(root) -> EditLog:
    log = EditLog(root)
    log.append(RENAME, {"instances": [TOLD], "class": "shop"}, "Ada")
    log.append(DELETE, {"instances": [TOLD]})
    return log


def test_what_is_appended_is_read_again(tmp_path):
    log = filled(tmp_path)
    again = EditLog(tmp_path)
    assert again.entries == log.entries
    assert again.next_id == 8
    assert [(e.id, e.operation, e.author) for e in again.entries] == [(1, RENAME, "Ada"), (2, DELETE, "")]


@pytest.mark.parametrize("cut", [1, 40, 100])
def test_a_line_that_was_cut_off_is_told_and_the_next_one_is_whole(tmp_path, cut):
    filled(tmp_path)
    path = tmp_path / "edits.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    torn = EditLog(tmp_path)
    findings = Findings()
    torn.tell(findings)
    if cut == 1:  # only the end of the line is missing
        assert len(torn.entries) == 2
        assert not findings.list()
    else:
        assert len(torn.entries) == 1
        assert [(f.kind, f.count, f.examples) for f in findings.list()] == [(EDITS_DAMAGED, 1, ("line 2",))]
    torn.append(UNDO, {"of": 1})
    again = EditLog(tmp_path)
    assert [e.operation for e in again.entries][-1] == UNDO
    assert len(again.damaged) == (cut > 1), "what was cut off stays where it is"


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path, monkeypatch):
    log = filled(tmp_path)
    before = (tmp_path / "edits.jsonl").read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="free space"):
        log.append(DELETE, {"instances": [TOLD]})
    assert (tmp_path / "edits.jsonl").read_bytes() == before
    assert len(log.entries) == 2


def test_each_line_is_on_the_disk_when_it_is_said(tmp_path, monkeypatch):
    flushed = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (flushed.append(os.fstat(descriptor).st_size), real(descriptor)))
    filled(tmp_path)
    assert (tmp_path / "edits.jsonl").stat().st_size in flushed


def test_undone_is_what_an_undo_names_unless_that_is_undone(tmp_path):
    log = filled(tmp_path)
    log.append(UNDO, {"of": 1})
    assert [e.id for e in log.active] == [2]
    assert log.undone == {1}
    log.append(UNDO, {"of": 3})
    assert [e.id for e in log.active] == [1, 2]
    assert log.undone == {3}


def test_lines_of_a_newer_program_and_links_are_told(tmp_path):
    filled(tmp_path)
    path = tmp_path / "edits.jsonl"
    newer = json.loads(path.read_text().splitlines()[1]) | {"version": 99, "id": 3}
    with path.open("a") as file:
        file.write(json.dumps(newer) + "\n" + path.read_text().splitlines()[0] + "\n")
    log = EditLog(tmp_path)
    assert len(log.entries) == 2
    assert [number for number, _ in log.damaged] == [3, 4]
    assert "newer program" in log.damaged[0][1]
    assert "again" in log.damaged[1][1]
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="link"):
        EditLog(tmp_path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ),
    st.sampled_from(["op", "id", "instances", "class", "time", "version", "seen"]),
)
@settings(max_examples=60, deadline=None)
def test_whatever_stands_in_a_line_is_judged_never_believed(value, key):
    item = {"version": 1, "id": 1, "time": "now", "op": RENAME, "instances": [json.loads(json.dumps(TOLD))], "class": "shop"}
    (item["instances"][0] if key == "seen" else item)[key] = value
    try:
        edit = Edit.from_json(item)
    except ValueError:
        return
    assert Edit.from_json(json.loads(edit.to_line())) == edit


def test_a_correction_whose_writing_failed_half_way_never_comes_back(tmp_path, monkeypatch):
    log = filled(tmp_path)
    before = (tmp_path / "edits.jsonl").read_bytes()
    real, calls = os.write, []

    def fills_up(file, data):
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data[: len(data) // 2])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fills_up)
        with pytest.raises(DataError, match="free space"):
            log.append(DELETE, {"instances": [TOLD]})
    assert len(calls) == 2
    assert (tmp_path / "edits.jsonl").read_bytes() == before
    assert len(EditLog(tmp_path).entries) == len(log.entries)
