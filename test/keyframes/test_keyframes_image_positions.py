"""Which position of a table belongs to which image: never to two, never to one it does not mean."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.keyframes.folder_scan import PhotoFile
from seg2d3d_ros.keyframes.positions.image_positions import (
    POSITIONS_ZERO,
    ROWS_AMBIGUOUS,
    ROWS_UNREADABLE,
    ROWS_WITHOUT_IMAGE,
    WITHOUT_POSITION,
    positions_of_table,
)


def photos(*file_names, root="/drive/photos"):
    return [PhotoFile("_".join(Path(f).with_suffix("").parts), "", f, Path(root) / f) for f in file_names]


def located(tmp_path, files, *rows):
    """Latitude by image, and the findings by kind."""
    path = tmp_path / "gps.csv"
    path.write_text("image,latitude,longitude\n" + "\n".join(rows) + "\n")
    findings = Findings()
    found = positions_of_table(path, files, findings)
    return {name: geo.latitude for name, geo in found.items()}, {f.kind: f for f in findings.list()}


TWO = photos("left/0001.jpg", "right/0001.jpg", "right/0002.jpg")


def test_same_stem_in_two_folders_keeps_its_folder(tmp_path):
    for rows in (
        ("left/0001.jpg,1,9", "right/0001.jpg,2,9"),
        ("left_0001,1,9", "right_0001.JPG,2,9"),
        ("D:\\drive\\photos\\left\\0001.jpg,1,9", "./RIGHT/0001.png,2,9"),
    ):
        assert located(tmp_path, TWO, *rows)[0] == {"left_0001": 1, "right_0001": 2}


def test_a_bare_stem_goes_to_the_only_image_of_that_name_and_else_to_none(tmp_path):
    found, told = located(tmp_path, TWO, "0001.jpg,1,9", "0002.jpg,2,9")
    assert found == {"right_0002": 2}
    assert told[ROWS_AMBIGUOUS].count == 1
    assert "0001.jpg is the name of 2 images" in told[ROWS_AMBIGUOUS].text
    assert told[WITHOUT_POSITION].examples == ("left_0001", "right_0001")


def test_the_name_of_the_given_folder_tells_two_lines_apart(tmp_path):
    files = photos("0001.jpg", root="/drive/left")
    assert located(tmp_path, files, "left/0001.jpg,1,9", "right/0001.jpg,2,9")[0] == {"0001": 1}
    found, told = located(tmp_path, photos("0001.jpg"), "left/0001.jpg,1,9", "right/0001.jpg,2,9")
    assert (found, told[ROWS_AMBIGUOUS].count) == ({}, 2)


def test_an_image_in_two_lines_needs_one_place(tmp_path):
    files = photos("a.jpg", "b.jpg")
    found, told = located(tmp_path, files, "a.jpg,50,9", "a.jpg,50.000001,9", "b.jpg,50,9", "b.jpg,51,9")
    assert found == {"a": 50}
    assert told[ROWS_AMBIGUOUS].count == 2


def test_case_matters_only_where_nothing_else_differs(tmp_path):
    assert located(tmp_path, photos("IMG_1.JPG"), "img_1.jpg,1,9")[0] == {"IMG_1": 1}
    files = photos("IMG_1.jpg", "img_1.JPG")
    assert located(tmp_path, files, "img_1.jpg,1,9", "IMG_1.jpg,2,9")[0] == {"img_1": 1, "IMG_1": 2}


def test_odd_names(tmp_path):
    files = photos("Köln.jpg", "it's,6.jpg", "-dash 7.jpg", "a.b.c.jpg", "50%#5.jpg", "12.5.jpg")
    written = [unicodedata.normalize("NFD", "Köln"), '"it\'s,6.jpg"', "-dash 7.JPG", "a.b.c", "50%#5", "12.5.jpg"]
    found, told = located(tmp_path, files, *(f"{name},{k},9" for k, name in enumerate(written, start=1)))
    assert list(found.values()) == [1, 2, 3, 4, 5, 6]
    assert told == {}


def test_seen_used_and_refused_in_words_and_figures(tmp_path):
    files = photos(*(f"{k}.jpg" for k in range(6)))
    found, told = located(tmp_path, files, "0,1,9", "1,0,0", "2,north,9", "3,2,9", "x,1,9", "4,,")
    assert found == {"0": 1, "3": 2}
    assert {kind: told[kind].count for kind in told} == {
        POSITIONS_ZERO: 1,
        ROWS_UNREADABLE: 1,
        ROWS_WITHOUT_IMAGE: 1,
        WITHOUT_POSITION: 4,
    }
    assert "line 4" in told[ROWS_UNREADABLE].text
    assert "'north' is no latitude" in told[ROWS_UNREADABLE].text
    words = "4 of 6 (1, 2, 4, …); positions seen: 5, used: 2, not used: 1 × 0/0, 1 × unreadable, 1 × no such image"
    assert words in told[WITHOUT_POSITION].text
