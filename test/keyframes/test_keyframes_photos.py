"""Photographs that are odd: used rightly, or left out, and in either case counted by kind with cause and way out."""

from __future__ import annotations

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from seg2d3d_ros import image_files
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.keyframes.folder import read_folder
from seg2d3d_ros.keyframes.folder_scan import FORMAT_NOT_READ, SAME_PHOTO
from seg2d3d_ros.keyframes.photo_findings import (
    CALIBRATION_SCALED,
    CALIBRATION_TURNED,
    CALIBRATION_UNFIT,
    DAMAGED,
    GEO_NO_LETTERS,
    GEO_UNREADABLE,
    GEO_VOID,
    GEO_ZERO,
    MIRRORED,
    NO_CALIBRATION,
    SEVERAL_PAGES,
    TOO_LARGE,
    TOO_SMALL,
    TURNED,
    UNREADABLE,
)
from seg2d3d_ros.keyframes.positions.image_positions import WITHOUT_POSITION


def picture(width=96, height=64, seed=0):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (max(2, height // 8), max(2, width // 8), 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def save(path, pixels=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture() if pixels is None else pixels).save(path, **options)


def tagged(path, gps=None, **general):
    exif = Image.Exif()
    exif.update({{"orientation": 0x0112}[name]: value for name, value in general.items()})
    exif.get_ifd(0x8825).update(gps or {})
    save(path, exif=exif)


def read(root, **options):
    """The keyframes by name, and the findings by kind."""
    findings = Findings()
    keyframes = {k.name: k for k in read_folder(root, findings=findings, **options)}
    return keyframes, {finding.kind: finding for finding in findings.list()}


def test_what_cannot_be_used_is_left_out_by_kind_and_the_rest_is_read(tmp_path, monkeypatch):
    good = encode_jpeg(picture())
    for name, size in (("dot", (1, 1)), ("small", (16, 16)), ("strip", (1200, 40)), ("wide", (960, 64))):
        save(tmp_path / f"{name}.jpg", picture(*size))
    save(tmp_path / "large.png", picture(400, 400))
    (tmp_path / "cut.jpg").write_bytes(good[: len(good) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "gif.jpg").write_bytes(b"GIF89a" + bytes(30))
    (tmp_path / "raw.dng").write_bytes(b"II*\0" + bytes(30))
    (tmp_path / "png_inside.jpg").write_bytes(cv2.imencode(".png", picture())[1].tobytes())
    monkeypatch.setenv(image_files.PIXEL_LIMIT, "150000")
    keyframes, told = read(tmp_path)
    assert sorted(keyframes) == ["png_inside", "wide"]
    assert {kind: told[kind].count for kind in told} == {TOO_SMALL: 3, TOO_LARGE: 1, UNREADABLE: 2, FORMAT_NOT_READ: 2}
    assert all(finding.of == 10 for finding in told.values())


def test_a_second_iteration_does_not_count_twice(tmp_path):
    save(tmp_path / "a.jpg")
    save(tmp_path / "dot.jpg", picture(1, 1))
    findings = Findings()
    folder = read_folder(tmp_path, findings=findings)
    assert [len(list(folder)) for _ in range(2)] == [1, 1]
    assert [(f.kind, f.count) for f in findings.list()] == [(TOO_SMALL, 1)]


def test_damage_that_the_decoder_only_warns_of_is_counted_and_the_photo_used(tmp_path):
    pytest.importorskip("simplejpeg")
    whole = encode_jpeg(np.random.default_rng(1).integers(0, 255, (120, 160, 3), dtype=np.uint8))
    middle = len(whole) // 2
    (tmp_path / "torn.jpg").write_bytes(whole[:middle] + whole[middle + 1000 :])
    save(tmp_path / "whole.jpg")
    keyframes, told = read(tmp_path)
    assert len(keyframes) == 2
    assert (told[DAMAGED].count, told[DAMAGED].examples) == (1, ("torn.jpg",))
    assert "Corrupt JPEG data" in told[DAMAGED].text


def test_heic_without_its_reader_is_counted_and_named_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "can_read_heic", lambda: False)
    save(tmp_path / "a.jpg")
    for name in ("b.HEIC", "c.jpg"):
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    keyframes, told = read(tmp_path)
    assert list(keyframes) == ["a"]
    assert told[FORMAT_NOT_READ].count == 2
    assert "pip install pi-heif" in told[FORMAT_NOT_READ].text


def test_orientation_tags_leave_the_pixels_as_they_are_and_are_said(tmp_path):
    for orientation in range(1, 9):
        tagged(tmp_path / f"{orientation}.jpg", orientation=orientation)
    keyframes, told = read(tmp_path)
    assert {k.size for k in keyframes.values()} == {(96, 64)}
    assert (told[TURNED].count, told[MIRRORED].count) == (3, 4)
    assert "masks must fit the stored pixels" in told[TURNED].text


def test_pages_of_a_tiff_are_said(tmp_path):
    save(tmp_path / "a.tif", save_all=True, append_images=[Image.fromarray(picture(seed=1))])
    assert read(tmp_path)[1][SEVERAL_PAGES].count == 1


def camera_file(path, params=(90, 91, 48, 32), model="PINHOLE", name=None):
    camera = {"model": model, "width": 96, "height": 64, "params": list(params)}
    path.write_text(json.dumps({"cameras": {name: camera}} if name else camera))
    return path


def test_a_calibration_for_images_of_other_sizes(tmp_path):
    for name, size in (("same", (96, 64)), ("half", (48, 32)), ("turned", (64, 96)), ("cropped", (96, 54))):
        save(tmp_path / "in" / f"{name}.jpg", picture(*size))
    keyframes, told = read(tmp_path / "in", camera=camera_file(tmp_path / "c.json"))
    assert keyframes["half"].camera.params == (45, 45.5, 24, 16)
    assert keyframes["turned"].camera.params == (91, 90, 32, 48)
    assert keyframes["turned"].camera.calibrated, "centred: exact whichever way it was turned"
    assert keyframes["cropped"].camera is None, "estimated, not wrong"
    assert {k: told[k].examples for k in told} == {
        CALIBRATION_TURNED: ("turned.jpg",),
        CALIBRATION_UNFIT: ("cropped.jpg",),
        CALIBRATION_SCALED: ("half.jpg",),
    }
    assert "it is for 96×64, the image has 96×54" in told[CALIBRATION_UNFIT].text
    shifted = camera_file(tmp_path / "c.json", (90, 91, 45, 33, 0.1, 0.01, 0.001, 0.002), "OPENCV")
    turned = read(tmp_path / "in", camera=shifted)[0]["turned"].camera
    assert (turned.params, turned.calibrated) == ((91, 90, 32, 48, 0.1, 0.01, 0, 0), False)


def test_a_camera_that_the_file_does_not_know(tmp_path):
    save(tmp_path / "in" / "right" / "a.jpg")
    told = read(tmp_path / "in", camera=camera_file(tmp_path / "c.json", name="left"))[1]
    assert "no camera 'right'" in told[NO_CALIBRATION].text


HERE = {1: "S", 2: (33.0, 51.0, 24.5), 3: "W", 4: (70.0, 38.0, 53.9), 5: b"\1", 6: 8.0}


def test_positions_of_photos_seen_used_and_refused(tmp_path):
    void = {**HERE, 9: "V"}
    zero = {**HERE, 2: (0.0, 0.0, 0.0), 4: (0.0, 0.0, 0.0)}
    bare = {k: v for k, v in HERE.items() if k != 1}
    beyond = {**HERE, 2: (95.0, 0.0, 0.0)}
    for name, gps in (("a", HERE), ("b", void), ("c", zero), ("d", bare), ("e", beyond), ("f", None)):
        tagged(tmp_path / f"{name}.jpg", gps)
    keyframes, told = read(tmp_path)
    geo = keyframes["a"].geo
    assert (geo.latitude, geo.longitude, geo.altitude) == pytest.approx((-33.856806, -70.648306, -8.0))
    assert [name for name, k in keyframes.items() if k.geo] == ["a"]
    assert {k: told[k].examples for k in told} == {
        GEO_VOID: ("b.jpg",),
        GEO_ZERO: ("c.jpg",),
        GEO_NO_LETTERS: ("d.jpg",),
        GEO_UNREADABLE: ("e.jpg",),
        WITHOUT_POSITION: ("b", "c", "d"),
    }
    for words in ("5 of 6", "positions seen: 5, used: 1", "1 × 0/0", "1 × no reference letters"):
        assert words in told[WITHOUT_POSITION].text
    assert read(tmp_path, gps=None)[1] == {}


def test_names_cannot_command_the_terminal(tmp_path, caplog):
    save(tmp_path / "in" / "a.jpg")
    save(tmp_path / "in" / "a\x1b[31m.jpg", picture(1, 1))
    told = read(tmp_path / "in")[1]
    assert "\x1b" not in told[TOO_SMALL].text + caplog.text


def test_a_photo_and_its_raw_data_are_one(tmp_path):
    save(tmp_path / "a.jpg")
    (tmp_path / "a.CR2").write_bytes(b"II*\0")
    told = read(tmp_path)[1]
    assert list(told) == [SAME_PHOTO]
    assert "a.jpg was taken" in told[SAME_PHOTO].text


@pytest.mark.slow
def test_a_photo_of_200_megapixels_needs_less_than_a_gigabyte(tmp_path):
    Image.new("L", (16320, 12240), 90).save(tmp_path / "a.jpg", quality=50)
    program = (
        "import sys; from pathlib import Path; from seg2d3d_ros.keyframes.folder import read_folder; "
        "from seg2d3d_ros.reconstruction.features.extraction import extract; "
        "from seg2d3d_ros.reconstruction.features.sift import Sift; "
        "from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig; "
        "find = Sift(ReconstructionConfig(max_features=100)).find; "
        "[extract(k.encoded, find, source=k.name, max_image_size=600) for k in read_folder(Path(sys.argv[1]))]; "
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1_000_000
