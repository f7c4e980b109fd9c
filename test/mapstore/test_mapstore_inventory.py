"""Files that belong to no map are recognised, whatever they are called and wherever they lie, and nothing touches them."""

import json
import re
from pathlib import Path

import pytest
from helpers_mapdir import contents, write_map
from hypothesis import given, settings
from hypothesis import strategies as st

from seg2d3d_ros.disk.leftovers import temporary_path
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.mapstore.directory.inventory import delete_own, noted_names, take_inventory
from seg2d3d_ros.mapstore.held_map import change_map, hold_map, join_map, look_into
from seg2d3d_ros.mapstore.new_map import NewMap
from seg2d3d_ros.mapstore.store import MapStore

FOREIGN = [
    ".git/config",
    ".bashrc",
    ".env",
    "database.db.backup",
    "database.dbx",
    "thesis.tex",
    "map.json.bak",
    "segments/notes.txt",
    "segments/segments.json",
    "segments/other.png",
    "segments/view0.png.orig",
    "segments/sub/view0.png",
    "keyframes/holiday_1.jpg",
    "keyframes/view0.xmp",
    "keyframes/.DS_Store",
    "labels/view9.png",
    "labels/.hidden",
    "masks/view0.txt",
    "masks/view9.json",
    "overlays/readme.md",
    "scans/road.npz",
    "sparse/0/notes.txt",
    "sparse/best/images.bin",
    "sparse/0/0/images.bin",
    "sparse/points.ply",
    ".sparse.mine/0/images.bin",
    ".work/plan.txt",
    "images/photo.jpg",
    "empty_folder/",
]


def put(root, name):
    path = root / name
    if name.endswith("/"):
        path.mkdir(parents=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("precious")


def refused(action, message):
    with pytest.raises(UsageError, match=message):
        action()


@pytest.mark.parametrize("marked", [True, False], ids=["marked", "older"])
def test_a_whole_map_is_entirely_ours(tmp_path, marked):
    write_map(tmp_path, marked=marked)
    assert len(contents(tmp_path)) > 25
    found = take_inventory(tmp_path)
    assert found.foreign == []
    assert set(found.files) == set(contents(tmp_path))


def test_masks_of_keyframes_that_were_never_kept_are_ours(tmp_path):
    """They come on a topic of their own; a drive with a rejected keyframe must open again."""
    write_map(tmp_path)
    assert "segments/front_77.png" in contents(tmp_path)
    assert "front_77" not in {record["name"] for record in json.loads((tmp_path / "keyframes.json").read_text())["keyframes"]}
    assert take_inventory(tmp_path).foreign == []


def test_an_older_live_map_is_known_by_its_cameras(tmp_path):
    write_map(tmp_path, marked=False)
    document = json.loads((tmp_path / "keyframes.json").read_text())
    document["keyframes"][0]["name"] = "front_1780000000000000000"
    (tmp_path / "keyframes.json").write_text(json.dumps(document))
    for name in ("segments/front_1780000000000000001.png", "labels/side_5.png"):
        (tmp_path / name).write_text("x")
    assert "labels/side_5.png" in take_inventory(tmp_path).foreign
    assert "segments/front_1780000000000000001.png" not in take_inventory(tmp_path).foreign


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_file_anywhere_below_is_refused_and_untouched(tmp_path, name):
    root = tmp_path / "map"
    write_map(root)
    put(root, name)
    before = contents(root)
    named = re.escape(name.rstrip("/"))
    for action in (
        lambda: NewMap(root, resume=False),
        lambda: NewMap(root, resume=True),
        lambda: hold_map(root),
        lambda: join_map(root),
    ):
        refused(action, named)
    assert contents(root) == before
    assert [path.name for path in tmp_path.iterdir()] == ["map"]
    assert delete_own(root) == [name.rstrip("/")]
    assert set(contents(root)) == ({name} if not name.endswith("/") else set())


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return write_map(tmp_path_factory.mktemp("shared") / "map").root


@settings(max_examples=150, deadline=None)
@given(
    folder=st.sampled_from(["", "segments/", "keyframes/", "labels/", "masks/", "sparse/0/", "scans/", "overlays/", "own/"]),
    name=st.text("abfrontviewpsgjd.0123_-~ ", min_size=1, max_size=12),
    suffix=st.sampled_from(["", ".png", ".jpg", ".json", ".bin", ".npz", ".txt"]),
)
def test_a_file_that_nobody_noted_is_foreign(shared, folder, name, suffix):
    path = shared / f"{folder}{name}{suffix}"
    if path.exists() or not path.name.strip("."):
        return
    path.parent.mkdir(exist_ok=True)
    path.write_text("precious")
    known = re.fullmatch(
        r"scans/-?\d+\.npz|overlays/(view\d|front_77)\.(jpg|png)|masks/front_77.png", f"{folder}{name}{suffix}"
    )
    try:
        assert (take_inventory(shared).foreign == [f"{folder}{name}{suffix}"]) == (not known)
    finally:
        path.unlink()
        if folder in ("own/", "overlays/"):
            path.parent.rmdir()


@pytest.mark.parametrize("link", ["labels/view0.png", "tracks.json", "database.db", "points.ply", "sparse", "segments", "own"])
def test_symbolic_links_inside_a_map_are_never_followed(tmp_path, link):
    root, outside = tmp_path / "map", tmp_path / "outside"
    write_map(root)
    path = root / link
    if path.exists():
        path.rename(outside)
    else:
        outside.mkdir()
    path.symlink_to(outside)
    before = contents(tmp_path)
    for action in (
        lambda: NewMap(root, resume=False),
        lambda: hold_map(root),
        lambda: change_map(root),
        lambda: look_into(root),
    ):
        refused(action, re.escape(link))
    assert contents(tmp_path) == before
    delete_own(root)
    assert contents(tmp_path) == {
        name: digest for name, digest in before.items() if name.startswith(("outside", f"map/{link}"))
    }


def test_a_store_does_not_write_or_read_through_a_link(tmp_path):
    store = write_map(tmp_path / "map")
    (tmp_path / "outside.png").write_bytes((store.root / "labels/view0.png").read_bytes())
    (store.root / "labels/view0.png").unlink()
    (store.root / "labels/view0.png").symlink_to(tmp_path / "outside.png")
    for action in (lambda: store.read_labels("view0"), lambda: store.label_path("view0")):
        with pytest.raises(Exception, match="symbolic link"):
            action()


def test_a_map_directory_that_is_a_link_is_fine(tmp_path):
    write_map(tmp_path / "disk", note="old")
    (tmp_path / "map").symlink_to(tmp_path / "disk")
    with NewMap(tmp_path / "map", resume=False) as new:
        write_map(new.store.root, marked=False, note="new")
        new.publish()
    assert (tmp_path / "map").is_symlink()
    assert "new" in (tmp_path / "disk/metrics.json").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["disk", "map"]


def test_litter_of_dead_processes_is_cleared_and_that_of_living_ones_is_not(tmp_path):
    write_map(tmp_path)
    dead = [
        tmp_path / ".seg2d3d-999999999-0123456789ab.json",
        tmp_path / "labels/.seg2d3d-999999999-0123456789ab.png",
        tmp_path / ".metrics.0123456789ab.json",  # as they were called once
        tmp_path / "labels/.view0.0123456789ab.png",
    ]
    for path in dead:
        path.write_text("half")
    mine = temporary_path(tmp_path / "segments/view0.png")
    mine.write_text("half")
    with hold_map(tmp_path):
        assert mine.exists()
        assert not any(path.exists() for path in dead)
    assert take_inventory(tmp_path).foreign == []


def test_names_are_noted_before_files_are_called_by_them(tmp_path, monkeypatch):
    """A process that is killed in between leaves nothing that the next one would not know."""
    store, seen = write_map(tmp_path), []
    monkeypatch.setattr("seg2d3d_ros.mapstore.store.write_bytes", lambda path, data: seen.append(set(noted_names(tmp_path))))
    from seg2d3d_ros.types import Keyframe

    store.write_image(Keyframe("front_5", "front", 5, b"jpeg", file_name="front_5.jpg"))
    assert "front_5" in seen[0]
    with (tmp_path / "names.jsonl").open("a") as file:
        file.write('"front_6')  # cut off
    MapStore(tmp_path).write_image(Keyframe("front_7", "front", 7, b"jpeg", file_name="front_7.jpg"))
    assert {"front_5", "front_7"} <= set(noted_names(tmp_path))
    assert "front_6" not in set(noted_names(tmp_path))


def test_an_interrupted_deletion_is_taken_up_again(tmp_path, monkeypatch):
    """What files are known by goes last: after any number of deletions the rest is still known to be ours."""
    count = len(contents(write_map(tmp_path / "whole").root))
    real = Path.unlink
    for number in range(0, count, 4):
        root = tmp_path / f"map{number}"
        write_map(root)
        left = [number]

        def unlink(path, missing_ok=False, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(5, "Input/output error", str(path))
            real(path)

        with monkeypatch.context() as patch:
            patch.setattr("pathlib.Path.unlink", unlink)
            with pytest.raises(Exception, match="cannot be deleted"):
                delete_own(root)
        assert take_inventory(root).foreign == []
        assert delete_own(root) == []
        assert not root.exists()
