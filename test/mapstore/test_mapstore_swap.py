"""A new map takes the place of an old one: whatever fails or is killed, one of them is whole there; the next run mends it."""

import json
import os
import re
from pathlib import Path

import pytest
from helpers_mapdir import contents, kill, note_of, start, write_map

from seg2d3d_ros.disk import atomic
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.mapstore.directory import swap
from seg2d3d_ros.mapstore.directory.marker import BUILDING, WHOLE, read_marker
from seg2d3d_ros.mapstore.held_map import hold_map, look_into
from seg2d3d_ros.mapstore.new_map import NewMap

WAYS = pytest.mark.parametrize("at_once", [True, False], ids=["exchange", "two renames"])


@pytest.fixture
def without_exchange(monkeypatch, at_once):
    if not at_once:
        monkeypatch.setattr(swap, "exchange", lambda *_: False)


def replace_map(root, note="new", *, resume=False):
    with NewMap(root, resume=resume) as new:
        write_map(new.store.root, note=note)
        new.publish()
        return new.store


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@WAYS
def test_the_new_map_is_there_and_nothing_of_the_old_one(tmp_path, at_once, without_exchange):
    root = tmp_path / "map"
    write_map(root, note="old")
    (root / "scans/7.npz").write_text("only in the old one")
    store = replace_map(root)
    assert store.root == root
    assert note_of(root) == "new"
    assert not (root / "scans/7.npz").exists()
    assert names(tmp_path) == ["map"]
    marker = read_marker(root)
    assert (marker.state, marker.owner, marker.replaces) == (WHOLE, None, None)


def test_a_first_map_is_built_in_its_place(tmp_path):
    with NewMap(tmp_path / "deep/map", resume=False) as new:
        assert new.store.root == tmp_path / "deep/map"
        assert read_marker(new.store.root).state == BUILDING
        write_map(new.store.root)
        new.publish()
    assert read_marker(tmp_path / "deep/map").state == WHOLE


def test_a_run_that_fails_leaves_the_old_map_and_says_where_the_rest_is(tmp_path):
    root = tmp_path / "map"
    write_map(root, note="old")
    before = contents(root)
    with NewMap(root, resume=False) as new:
        assert new.remains() == f"{root} is unchanged"
        write_map(new.store.root, note="half")
        words = new.remains()
    assert words == f"what there is so far is in {root}.building, and --resume goes on with it; {root} is unchanged"
    assert contents(root) == before
    with NewMap(root, resume=True) as new:
        assert note_of(new.store.root) == "half"
        new.publish()
    assert note_of(root) == "half"
    assert names(tmp_path) == ["map"]


def test_what_was_left_unfinished_is_replaced_by_a_new_run(tmp_path):
    root = tmp_path / "map"
    write_map(root, note="old")
    with NewMap(root, resume=False) as new:
        write_map(new.store.root, note="half")
    with NewMap(root, resume=False) as new:
        assert names(new.store.root) == ["map.json"]
    assert names(tmp_path) == ["map"], "nothing was made, nothing stays"
    assert note_of(root) == "old"


def test_resuming_without_an_unfinished_map_goes_on_in_the_map(tmp_path):
    write_map(tmp_path / "map", note="old")
    with NewMap(tmp_path / "map", resume=True) as new:
        assert new.store.root == tmp_path / "map"
        assert read_marker(new.store.root).state == BUILDING
        new.publish()
    assert read_marker(tmp_path / "map").state == WHOLE


def test_resuming_where_the_old_map_was_moved_away(tmp_path):
    root = tmp_path / "map"
    write_map(root, note="old")
    with NewMap(root, resume=False) as new:
        write_map(new.store.root, note="half")
    root.rename(tmp_path / "kept")
    with NewMap(root, resume=True) as new:
        new.publish()
    assert note_of(root) == "half"
    assert names(tmp_path) == ["kept", "map"]


def test_a_foreign_folder_beside_is_in_the_way(tmp_path):
    write_map(tmp_path / "map")
    (tmp_path / "map.building").mkdir()
    (tmp_path / "map.building/own.txt").write_text("precious")
    with pytest.raises(UsageError, match=r"map\.building: holds 'own\.txt'"):
        NewMap(tmp_path / "map", resume=False)
    write_map(tmp_path / "map.building", marked=False)
    with pytest.raises(UsageError, match=r"map\.building: is in the way"):
        NewMap(tmp_path / "map", resume=False)
    write_map(tmp_path / "map.building")
    with pytest.raises(UsageError, match=r"map\.building: holds 'own\.txt'"):
        NewMap(tmp_path / "map", resume=False)
    assert (tmp_path / "map.building/own.txt").read_text() == "precious"


@WAYS
def test_what_appears_in_the_old_map_meanwhile_is_kept_and_named(tmp_path, at_once, without_exchange, caplog):
    root = tmp_path / "map"
    write_map(root, note="old")
    with NewMap(root, resume=False) as new:
        write_map(new.store.root, note="new")
        (root / "labels/notes.txt").write_text("precious")
        new.publish()
    assert note_of(root) == "new"
    assert contents(tmp_path / "map.former").keys() == {"labels/notes.txt"}
    assert re.search(r"map\.former is kept, which belongs to no map: 'labels/notes\.txt'", caplog.text)
    replace_map(root, "newer")
    assert note_of(root) == "newer"
    assert (tmp_path / "map.former/labels/notes.txt").read_text() == "precious"


def test_a_copy_that_somebody_made_beside_is_no_former_map(tmp_path):
    """Only the very folder that was replaced is deleted, whatever others are called."""
    root = tmp_path / "map"
    write_map(root, note="old")
    for name in ("map.former", "map.former-2", "map.former.backup"):
        write_map(tmp_path / name, note="a copy")
    replace_map(root)
    assert names(tmp_path) == ["map", "map.former", "map.former-2", "map.former.backup"]
    assert note_of(tmp_path / "map.former") == "a copy"


class Fault:
    """The N-th call that changes a directory fails; the others work."""

    def __init__(self, monkeypatch, number):
        self.left = number
        for owner, name in ((Path, "rename"), (Path, "replace"), (Path, "unlink"), (Path, "rmdir"), (swap, "exchange")):
            monkeypatch.setattr(owner, name, self.guarded(getattr(owner, name)))
        monkeypatch.setattr(atomic.os, "fsync", self.guarded(os.fsync))

    def guarded(self, call):
        def wrapped(*arguments, **options):
            self.left -= 1
            if self.left == 0:
                raise OSError(28, "No space left on device")
            return call(*arguments, **options)

        return wrapped


@WAYS
def test_any_call_may_fail(tmp_path, at_once, without_exchange):
    """Afterwards the old or the new map is whole in its place, and the next run leaves nothing else behind."""
    number, told = 0, 0
    while True:
        number += 1 if number < 10 else 6  # later ones delete one file of the old map after the other
        root = tmp_path / f"{number}/map"
        write_map(root, note="old")
        with NewMap(root, resume=False) as new:
            write_map(new.store.root, note="new")
            with pytest.MonkeyPatch.context() as patch:
                fault = Fault(patch, number)
                try:
                    new.publish()
                except DataError:
                    told += 1
                    assert note_of(root) == "old", number
        assert note_of(root) in ("old", "new")
        assert read_marker(root).state == WHOLE
        hold_map(root).release()
        replace_map(root, "next")
        assert note_of(root) == "next"
        assert names(root.parent) == ["map"]
        if fault.left > 0:
            break
    assert number > 20
    assert told >= 2


KILLED = """
import os, pathlib, signal, sys
from helpers_mapdir import write_map
from seg2d3d_ros.mapstore.directory import swap
from seg2d3d_ros.mapstore.new_map import NewMap
left = int(sys.argv[2]) if sys.argv[2] == "1" else 10**9
if sys.argv[3] == "two renames":
    swap.exchange = lambda *_: False

def guard(call):
    def wrapped(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return wrapped

path = pathlib.Path
for owner, name in ((path, "rename"), (path, "unlink"), (path, "rmdir"), (swap, "exchange"), (os, "fsync")):
    setattr(owner, name, guard(getattr(owner, name)))
with NewMap(pathlib.Path(sys.argv[1]), resume=False) as new:
    left = 10**9
    write_map(new.store.root, note="new")
    left = int(sys.argv[2])
    new.publish()
"""


@pytest.mark.parametrize(("way", "moments"), [("exchange", (1, 2, 3, 5)), ("two renames", (3, 4, 5, 20))])
def test_a_kill_in_the_middle_of_the_swap(tmp_path, way, moments):
    """The maps are whole, one of them is in its place or put there by whoever looks next, and the rest is cleared away."""
    running = {}
    for moment in moments:
        root = tmp_path / f"{moment}/map"
        write_map(root, note="old")
        running[moment] = start(KILLED, root, moment, way)
    for moment, process in running.items():
        _, error = process.communicate(timeout=120)
        assert process.returncode == -9, error
        root = tmp_path / f"{moment}/map"
        look_into(root)
        assert note_of(root) in ("old", "new")
        assert len(contents(root)) > 25
        replace_map(root, "next")
        assert note_of(root) == "next"
        assert names(root.parent) == ["map"], moment


def test_between_two_renames_no_command_begins_a_third_map(tmp_path, monkeypatch):
    """Both renames are not done yet, and another process comes: it is told to wait, and makes no folder."""
    root, tried = tmp_path / "map", []
    write_map(root, note="old")
    code = (
        "import pathlib, sys\nfrom seg2d3d_ros.mapstore.new_map import NewMap\nNewMap(pathlib.Path(sys.argv[1]), resume=False)"
    )
    real = Path.rename

    def rename(path, target):
        moved = real(path, target)
        if path == root:
            process = start(code, root)
            tried.append(process.communicate(timeout=120)[1])
            assert not root.exists()
        return moved

    monkeypatch.setattr(swap, "exchange", lambda *_: False)
    monkeypatch.setattr(Path, "rename", rename)
    replace_map(root)
    assert "in use by process" in tried[0]
    assert note_of(root) == "new"


@pytest.mark.parametrize("kind", ["parent", "mounted", "called in"])
def test_a_folder_that_cannot_be_renamed_is_told_before_the_work(tmp_path, monkeypatch, kind):
    root = tmp_path / "map"
    write_map(root)
    before = contents(tmp_path)
    if kind == "parent":
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    elif kind == "mounted":
        monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == root)
    else:
        monkeypatch.chdir(root)
    message = {"parent": "not writable", "mounted": "a file system is mounted", "called in": "go up to"}[kind]
    with pytest.raises(UsageError, match=message):
        NewMap(root, resume=False)
    assert contents(tmp_path) == before
    with NewMap(root, resume=True):
        pass


def test_an_unfinished_map_of_a_process_that_still_runs_is_left_alone(tmp_path):
    root = tmp_path / "map"
    write_map(root, note="old")
    code = KILLED.replace("new.publish()", "print('half', flush=True); import time; time.sleep(600)")
    process = start(code, root, 0, "exchange")
    assert process.stdout.readline() == "half\n"
    before = contents(tmp_path)
    with pytest.raises(UsageError, match=f"in use by process {process.pid}"):
        NewMap(root, resume=False)
    assert contents(tmp_path) == before
    kill(process)
    with NewMap(root, resume=True) as new:
        assert note_of(new.store.root) == "new"


def test_reports_name_the_place_where_the_map_will_be(tmp_path):
    assert swap.final_path(tmp_path / "map.building") == tmp_path / "map"
    assert swap.final_path(tmp_path / "map") == tmp_path / "map"


def test_nothing_in_a_map_knows_where_it_is_built(tmp_path):
    """Else it would be wrong after the rename."""
    with NewMap(tmp_path / "map", resume=False) as new:
        write_map(new.store.root)
    for path in (tmp_path / "map").glob("*.json*"):
        assert str(tmp_path) not in path.read_text()
    assert json.loads((tmp_path / "map/keyframes.json").read_text())["keyframes"][0]["image"] == "keyframes/view0.jpg"
