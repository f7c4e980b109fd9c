"""One process at a time writes a map; a killed one does not block it; maps of newer programs are refused."""

import errno
import fcntl
import json
import os

import pytest
from helpers_mapdir import contents, kill, start, write_map

from seg2d3d_ros.disk.processes import ProcessIdentity, is_alive
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.mapstore.directory.lock import MapLock
from seg2d3d_ros.mapstore.directory.marker import BUILDING, WHOLE, Marker, mark, read_marker
from seg2d3d_ros.mapstore.held_map import change_map, hold_map, join_map, look_into
from seg2d3d_ros.mapstore.new_map import NewMap


def holder(root, *, live):
    what = ("held_map", "hold_map", "") if live else ("new_map", "NewMap", ", resume=False")
    code = "\n".join(
        (
            "import pathlib, sys, time",
            f"from seg2d3d_ros.mapstore.{what[0]} import {what[1]}",
            f"held = {what[1]}(pathlib.Path(sys.argv[1]){what[2]})",
            "print('held', flush=True)",
            "time.sleep(600)",
        )
    )
    process = start(code, root)
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("live", [True, False], ids=["nodes", "command"])
def test_a_second_process_is_refused_with_the_owners_number_and_start(tmp_path, live):
    """Until the first one ends, however it ends."""
    root = tmp_path / "map"
    write_map(root)
    process = holder(root, live=live)
    actions = (
        lambda: hold_map(root),
        lambda: change_map(root),
        lambda: NewMap(root, resume=False),
        lambda: NewMap(root, resume=True),
    )
    before = contents(tmp_path)
    for action in actions:
        with pytest.raises(UsageError, match=rf"in use by process {process.pid}, which began at \d{{4}}-\d\d-\d\dT"):
            action()
    assert contents(tmp_path) == before
    kill(process)
    for action in actions:
        held = action()
        (held.release if hasattr(held, "release") else held.close)()
    assert read_marker(root).owner is None


def test_other_nodes_of_a_pipeline_share_the_directory(tmp_path):
    write_map(tmp_path)
    process = holder(tmp_path, live=True)
    store = join_map(tmp_path)
    assert len(store.read_keyframes()) == 4
    kill(process)


def test_two_processes_that_begin_at_once(tmp_path):
    """Of many that want the same new map exactly one gets it, and the others say who has it."""
    code = "\n".join(
        (
            "import pathlib, sys",
            "from seg2d3d_ros.mapstore.new_map import NewMap",
            "print('ready', flush=True)",
            "sys.stdin.readline()",
            "new = NewMap(pathlib.Path(sys.argv[1]), resume=False)",
            "print('held', flush=True)",
            "sys.stdin.readline()",
        )
    )
    processes = [start(code, tmp_path / "map", stdin=True) for _ in range(3)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    first = [process.stdout.readline() for process in processes]
    assert first.count("held\n") == 1
    for process in processes:
        _, error = process.communicate("end\n", timeout=60)
        assert ("in use by" in error) == (process.returncode != 0)


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.EBADF])
def test_without_flock_the_owner_in_the_marker_is_believed(tmp_path, monkeypatch, number):
    write_map(tmp_path)
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(number, "no locks here")))
    with hold_map(tmp_path):
        assert read_marker(tmp_path).owner == ProcessIdentity.own()
    other = start("import time; print('up', flush=True); time.sleep(600)")
    other.stdout.readline()
    started = json.loads(start_of(other.pid))
    mark(tmp_path, WHOLE, owner=ProcessIdentity(other.pid, ProcessIdentity.own().host, started))
    with pytest.raises(UsageError, match=f"in use by process {other.pid}"):
        hold_map(tmp_path)
    mark(tmp_path, WHOLE, owner=ProcessIdentity(other.pid, ProcessIdentity.own().host, "2001-01-01T00:00:00+00:00"))
    hold_map(tmp_path).release()  # the number was given anew
    kill(other)
    mark(tmp_path, WHOLE, owner=ProcessIdentity(other.pid, ProcessIdentity.own().host, started))
    hold_map(tmp_path).release()
    mark(tmp_path, WHOLE, owner=ProcessIdentity(1, "another-machine", ""))
    with pytest.raises(UsageError, match="another-machine; when that has ended, remove the entry 'owner'"):
        hold_map(tmp_path)


def start_of(pid):
    process = start(
        "import json, sys; from seg2d3d_ros.disk import processes\n"
        "print(json.dumps(processes._iso(processes._start(int(sys.argv[1])))))",
        pid,
    )
    return process.communicate(timeout=60)[0]


def test_the_lock_goes_with_a_directory_that_is_renamed(tmp_path):
    write_map(tmp_path / "map")
    with MapLock(tmp_path / "map"):
        (tmp_path / "map").rename(tmp_path / "moved")
        with pytest.raises(UsageError, match="in use"):
            MapLock(tmp_path / "moved")
    MapLock(tmp_path / "moved").release()


def test_a_live_map_is_being_built_until_it_is_finalized(tmp_path):
    with hold_map(tmp_path) as held:
        assert read_marker(tmp_path).state == BUILDING
        held.mark(WHOLE)
    assert read_marker(tmp_path).state == WHOLE
    with hold_map(tmp_path) as held:
        assert read_marker(tmp_path).state == WHOLE
        assert read_marker(tmp_path).owner == ProcessIdentity.own()
        held.mark(BUILDING)
    marker = read_marker(tmp_path)
    assert (marker.state, marker.owner) == (BUILDING, None)
    assert marker.creator.startswith("seg2d3d_ros ")


def test_a_newer_format_is_refused_by_name_and_untouched(tmp_path):
    root = tmp_path / "map"
    write_map(root)
    (root / "map.json").write_text(
        json.dumps({**json.loads((root / "map.json").read_text()), "format": 99, "creator": "x 9.1"})
    )
    before = contents(tmp_path)
    for action in (
        lambda: NewMap(root, resume=False),
        lambda: NewMap(root, resume=True),
        lambda: hold_map(root),
        lambda: join_map(root),
        lambda: change_map(root),
        lambda: look_into(root),
    ):
        with pytest.raises(UsageError, match=r"format 99, written by x 9\.1.*install the newer one"):
            action()
    assert contents(tmp_path) == before


def test_an_older_map_is_read_and_gets_a_marker_when_it_is_written(tmp_path):
    write_map(tmp_path, marked=False)
    assert look_into(tmp_path).read_tracks()["instances"]
    assert not (tmp_path / "map.json").exists()
    with hold_map(tmp_path) as held:
        assert read_marker(tmp_path).state == WHOLE
        assert len(held.store.read_keyframes()) == 4


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "x"}', "[" * 5000, '{"format": 1, "creator": 1, "created": 2, "state": "odd"}', "\x00"]
)
def test_a_damaged_marker_is_one_line(tmp_path, text):
    write_map(tmp_path)
    (tmp_path / "map.json").write_text(text)
    with pytest.raises(DataError, match=r"map\.json: damaged .*delete this file"):
        hold_map(tmp_path)


def test_entries_of_newer_programs_of_the_same_format_stay(tmp_path):
    marker = Marker.from_json({**Marker.new(WHOLE).to_json(), "edits": 3})
    assert marker.to_json()["edits"] == 3


def test_which_processes_live():
    ended = start("pass")
    ended.communicate(timeout=60)
    assert is_alive(os.getpid())
    assert not is_alive(ended.pid)
    assert not is_alive(-1)
    assert ProcessIdentity.own().alive
