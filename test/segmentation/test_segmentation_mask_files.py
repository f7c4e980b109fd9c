"""Which mask belongs to which photo: usual names by themselves, others by a pattern, and nothing silently."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.images import encode_png
from seg2d3d_ros.segmentation.files.mask_files import AMBIGUOUS, UNUSED, WITHOUT_MASK, MaskFiles
from seg2d3d_ros.segmentation.files.photo_names import Named, PhotoName, match_names

PIXELS = encode_png(np.ones((2, 2), np.uint8))
FLAT = [PhotoName("IMG_1", "IMG_1.jpg"), PhotoName("IMG_2", "IMG_2.JPG")]
CAMERAS = [PhotoName("front_0001", "front/0001.jpg"), PhotoName("rear_0001", "rear/0001.jpg")]


def found(folder, photos, *files, pattern=""):
    """Mask of each photo in order, and the findings."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(PIXELS)
    findings = Findings()
    masks = MaskFiles(folder, pattern, findings)
    masks.expect(photos)
    paths = [masks.find(photo) for photo in photos]
    return [path and path.relative_to(folder).as_posix() for path in paths], findings


@pytest.mark.parametrize(
    "name",
    ["{}.png", "{}.PNG", "{}.tif", "{}.jpg.png", "{}_mask.png", "{}-Masks.png", "{}.jpg_mask.png", "{}_mask.jpg.png"]
    + ["mask_{}.png", "{}_gtFine_instanceIds.png", "{}_seg.tiff", "sub/{}.png", "a/b/c/{}_mask.png", "{}/0.png"],
)
def test_usual_names_are_found_by_themselves(tmp_path, name):
    files = [name.format(photo.stem) for photo in FLAT]
    expected = [file.removesuffix("/0.png") for file in files]
    assert found(tmp_path, FLAT, *files)[0] == expected


@pytest.mark.parametrize(
    "name", ["{folder}_{stem}.png", "{folder}/{stem}.png", "{folder}/{stem}.jpg.png", "x/{folder}/{stem}.tif"]
)
def test_a_folder_per_camera(tmp_path, name):
    files = [name.format(folder=photo.folder, stem=photo.stem) for photo in CAMERAS]
    assert found(tmp_path, CAMERAS, *files)[0] == files


def test_unicode_forms_and_letters_do_not_matter_but_twins_are_kept_apart(tmp_path):
    photos = [PhotoName(unicodedata.normalize("NFD", "Köln"), unicodedata.normalize("NFD", "Köln.jpg"))]
    assert found(tmp_path / "a", photos, unicodedata.normalize("NFC", "KÖLN.png"))[0] == [
        unicodedata.normalize("NFC", "KÖLN.png")
    ]
    twins = [PhotoName("IMG_1", "IMG_1.jpg"), PhotoName("img_1", "img_1.jpg")]
    assert found(tmp_path / "b", twins, "IMG_1.png")[0] == ["IMG_1.png", None]
    assert found(tmp_path / "c", twins, "IMG_1.png", "img_1.png")[0] == ["IMG_1.png", "img_1.png"]


def test_the_plainest_name_wins_and_equals_are_ambiguous(tmp_path):
    masks, findings = found(tmp_path, FLAT, "IMG_1.png", "IMG_1_mask.png", "IMG_2_mask.png", "IMG_2_labels.png")
    assert masks == ["IMG_1.png", None]
    told = {finding.kind: finding for finding in findings.list()}
    assert told[AMBIGUOUS].examples == ("IMG_2",)
    assert "IMG_2: IMG_2_labels.png, IMG_2_mask.png" in told[AMBIGUOUS].text
    assert "--segments-pattern" in told[AMBIGUOUS].text
    assert told[UNUSED].examples == ("IMG_1_mask.png",)


def test_one_mask_is_not_given_to_two_photos(tmp_path):
    with pytest.raises(DataError, match=r"0 of 2 photos.*could be it.*0001"):
        found(tmp_path, CAMERAS, "0001.png")


def test_photos_without_a_mask_and_masks_without_a_photo_are_counted(tmp_path):
    masks, findings = found(tmp_path, FLAT, "IMG_1.png", "other.png", "more/else.png", ".hidden.png", "__MACOSX/IMG_2.png")
    assert masks == ["IMG_1.png", None]
    told = {finding.kind: (finding.count, finding.of, finding.text) for finding in findings.list()}
    assert told[WITHOUT_MASK][:2] == (1, 2)
    assert "looked for IMG_2.png; found more/else.png, other.png" in told[WITHOUT_MASK][2]
    assert told[UNUSED][:2] == (2, 3)
    assert found(tmp_path / "whole", FLAT, "IMG_1.png", "IMG_2.png")[1].list() == []


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["04_foo.png"], "looked for IMG_1.png; found 04_foo.png: rename them or give --segments-pattern"),
        (["a_IMG_1_foo.png"], r"--segments-pattern, e\.g\. 'a_\{stem\}_foo\.png'"),
        (["IMG_1.npy"], "IMG_1.npy: save label images as PNG"),
        (["IMG_1.jpg"], "IMG_1.jpg: save label images as PNG"),
        ([], "found no file"),
    ],
)
def test_no_mask_at_all_says_what_was_looked_for_and_what_is_there(tmp_path, files, words):
    with pytest.raises(DataError, match=f"masks for 0 of 2 photos; .*{words}"):
        found(tmp_path, FLAT, *files)


@pytest.mark.parametrize(
    ("pattern", "photos", "files"),
    [
        ("{stem}_foo.png", FLAT, ["IMG_1_foo.png", "IMG_2_foo.png"]),
        ("{name}.png", FLAT, ["IMG_1.jpg.png", "IMG_2.JPG.png"]),
        ("{folder}/masks/{stem}", CAMERAS, ["front/masks/0001.tif", "rear/masks/0001.PNG"]),
        ("m/{key}.png", CAMERAS, ["m/front_0001.png", "m/rear_0001.png"]),
    ],
)
def test_a_pattern_says_where_they_are(tmp_path, pattern, photos, files):
    masks, findings = found(tmp_path, photos, *files, "IMG_1.png", "front_0001.png", pattern=pattern)
    assert masks == files
    assert {finding.kind for finding in findings.list()} == {UNUSED}
    with pytest.raises(DataError, match="masks for 0 of"):
        found(tmp_path, photos, pattern=f"nowhere/{pattern}")


@pytest.mark.parametrize(
    "pattern", ["{stem", "mask.png", "{other}.png", "{}.png", "../{stem}.png", "{stem.__class__}", "{stem[0]}"]
)
def test_patterns_that_cannot_be_are_refused(tmp_path, pattern):
    with pytest.raises(UsageError, match="--segments-pattern"):
        MaskFiles(tmp_path, pattern, Findings())


def test_a_file_that_comes_later_is_seen(tmp_path):
    masks = MaskFiles(tmp_path, "", Findings())
    assert masks.find(FLAT[0]) is None
    (tmp_path / "IMG_1.png").write_bytes(PIXELS)
    assert masks.find(FLAT[0]) == tmp_path / "IMG_1.png"


def test_longer_common_paths_come_first():
    things = [Named("a", (("data/front/0001",),)), Named("b", (("data/rear/0001",),)), Named("c", (("0001",),))]
    matches = match_names(CAMERAS, things)
    assert matches.found == {"front_0001": 0, "rear_0001": 1}
    assert matches.unused == (2,)
