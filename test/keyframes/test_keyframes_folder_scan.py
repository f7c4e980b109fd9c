"""Which files of a folder are its photographs, in folders as cameras, file managers and people leave them."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.keyframes.folder_scan import (
    FOLDER_UNREADABLE,
    FOLDERS_NOT_READ,
    FORMAT_NOT_READ,
    MASKS_BESIDE,
    NAME_NOT_TEXT,
    SAME_NAME,
    SAME_PHOTO,
    VIDEOS_BESIDE,
    scan_folder,
)


def scan(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return scan_folder(root)


def left_out(found):
    return {name: item.kind for name, item in found.left_out.items()}


def test_folders_at_any_depth_are_cameras_but_for_those_that_cameras_make(tmp_path):
    found = scan(
        tmp_path, "left/a.jpg", "right/100MEDIA/a.jpg", "right/101MEDIA/a.JPG", "day2/top/a.jpeg", "DCIM/100CANON/b.MPO"
    )
    assert {(p.name, p.camera_name, p.file_name) for p in found.photos} == {
        ("left_a", "left", "left/a.jpg"),
        ("right_100MEDIA_a", "right", "right/100MEDIA/a.jpg"),
        ("right_101MEDIA_a", "right", "right/101MEDIA/a.JPG"),
        ("day2_top_a", "day2_top", "day2/top/a.jpeg"),
        ("DCIM_100CANON_b", "", "DCIM/100CANON/b.MPO"),
    }
    assert found.left_out == {}


def test_a_link_that_leads_back_is_followed_once(tmp_path):
    scan(tmp_path, "left/a.jpg")
    (tmp_path / "left" / "again").symlink_to(tmp_path / "left")
    assert [p.file_name for p in scan_folder(tmp_path).photos] == ["left/a.jpg"]


def test_junk_of_file_managers_is_no_photo(tmp_path):
    found = scan(
        tmp_path, "__MACOSX/._a.jpg", "photos/a.jpg", "photos/._a.jpg", "photos/Thumbs.db", "@eaDir/a.jpg", ".trash/b.jpg"
    )
    assert [p.file_name for p in found.photos] == ["photos/a.jpg"]


@pytest.mark.parametrize("mask", ["a.jpg.png", "a_mask.png", "a-SEG.png", "a.labels.tif"])
def test_masks_beside_photos_are_not_read_as_photos(tmp_path, mask):
    found = scan(tmp_path, "a.jpg", "b_mask.jpg", mask)
    assert [p.file_name for p in found.photos] == ["a.jpg", "b_mask.jpg"]
    assert left_out(found) == {mask: MASKS_BESIDE}


def test_a_folder_of_masks_is_no_camera(tmp_path):
    found = scan(tmp_path, "photos/a.jpg", "masks/a.png")
    assert [p.name for p in found.photos] == ["photos_a"]
    assert left_out(found) == {"masks": MASKS_BESIDE}


def test_what_is_not_read_is_named(tmp_path):
    found = scan(tmp_path, "a.jpg", "a.DNG", "b.cr2", "c.avif", "a.png", "below/d.jpg", "below/deeper/e.jpg", "f.MOV")
    assert [p.name for p in found.photos] == ["a"]
    assert left_out(found) == {
        "a.DNG": SAME_PHOTO,
        "a.png": SAME_PHOTO,
        "b.cr2": FORMAT_NOT_READ,
        "c.avif": FORMAT_NOT_READ,
        "below/d.jpg": FOLDERS_NOT_READ,
        "below/deeper/e.jpg": FOLDERS_NOT_READ,
        "f.MOV": VIDEOS_BESIDE,
    }
    assert found.left_out["a.DNG"].kept == "a.jpg"


def test_joined_names_that_clash(tmp_path):
    found = scan(tmp_path, "a/b_1.jpg", "a_b/1.jpg")
    assert [p.file_name for p in found.photos] == ["a/b_1.jpg"]
    assert left_out(found) == {"a_b/1.jpg": SAME_NAME}


def test_odd_names_are_kept_and_composed(tmp_path):
    decomposed = unicodedata.normalize("NFD", "Köln")
    names = ["IMG 1 (2)", "it's,6", "-dash", "a.b.c", "写真０３", "img_1", "IMG_1", decomposed]
    found = scan(tmp_path, *(f"{name}.jpg" for name in names))
    assert {p.name for p in found.photos} == {*names[:-1], "Köln"}
    assert f"{decomposed}.jpg" in {p.file_name for p in found.photos}


def test_names_that_no_file_of_the_map_could_hold(tmp_path):
    scan(tmp_path, "a.jpg")
    (tmp_path / os.fsdecode(b"stra\xdfe.jpg")).write_bytes(b"")
    found = scan_folder(tmp_path)
    assert [p.name for p in found.photos] == ["a"]
    (item,) = found.left_out.values()
    assert item.kind == NAME_NOT_TEXT


def test_folders_that_cannot_be_read_cost_no_more_than_themselves(tmp_path, monkeypatch):
    scan(tmp_path, "left/a.jpg", "right/a.jpg")
    listed = Path.iterdir
    shut = {tmp_path / "right"}

    def iterdir(path):
        if path in shut:
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    found = scan_folder(tmp_path)
    assert [p.name for p in found.photos] == ["left_a"]
    assert left_out(found) == {"right": FOLDER_UNREADABLE}
    shut.add(tmp_path)
    with pytest.raises(UsageError, match="Permission denied"):
        scan_folder(tmp_path)


def test_things_that_are_no_folder_of_photos(tmp_path):
    for name, words in (("photos.zip", "unpack"), ("drive.MP4", "ffmpeg"), ("x.mcap", "seg2d3d bag")):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(UsageError, match=words):
            scan_folder(tmp_path / name)
    with pytest.raises(DataError, match=r"not read are 1 files.*a\.nef.*raw data"):
        scan(tmp_path / "raw", "a.nef")
    with pytest.raises(UsageError, match=r"give .*project/images"):
        scan(tmp_path / "project", "images/left/a.jpg", "masks/a.png")
