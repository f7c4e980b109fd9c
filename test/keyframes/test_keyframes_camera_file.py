"""Calibration files: what they give to images of any size, and messages for what is wrong."""

from __future__ import annotations

import json

import pytest

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.keyframes.camera_file import read_camera_file

PINHOLE = {"model": "PINHOLE", "width": 1000, "height": 500, "params": [800, 810, 500, 250]}


def write(tmp_path, value):
    path = tmp_path / "camera.json"
    path.write_text(json.dumps(value) if not isinstance(value, str) else value)
    return path


def test_one_camera_serves_every_name_and_scales_with_the_image(tmp_path):
    cameras = read_camera_file(write(tmp_path, PINHOLE))
    assert cameras("any", 1000, 500).params == (800, 810, 500, 250)
    half = cameras("left", 500, 250)
    assert half == Camera("PINHOLE", 500, 250, (400, 405, 250, 125))


def test_named_cameras_and_unknown_names(tmp_path):
    cameras = read_camera_file(write(tmp_path, {"cameras": {"left": PINHOLE}}))
    assert cameras("left", 1000, 500).params[0] == 800
    assert cameras("right", 1000, 500) is None


def test_cropped_images_are_refused(tmp_path):
    with pytest.raises(DataError, match="aspect"):
        read_camera_file(write(tmp_path, PINHOLE))("c", 1000, 600)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "FISHY"}, "unknown camera model"),
        ({"params": [1, 2, 3]}, "4 parameters"),
        ({"params": [0, 2, 3, 4]}, "positive"),
        ({"params": ["a", 2, 3, 4]}, "numbers"),
        ({"width": 0}, "positive"),
        ({"params": [float("nan"), 2, 3, 4]}, "finite"),
        ({"params": [800, [[810]], 500, 250]}, "numbers, not list"),
        ({"params": {"f": 800}}, "list of 4 numbers"),
        ({"params": [800, True, 500, 250]}, "numbers, not bool"),
        ({"params": [800, 810, 5000, 250]}, "principal point"),
        ({"params": [8e9, 810, 500, 250]}, "in pixels"),
        ({"params": [-800, 810, 500, 250]}, "positive"),
        ({"params": [0.008, 0.008, 500, 250]}, "in pixels"),
        ({"model": ["PINHOLE"]}, "unknown camera model"),
        ({"width": 1e400}, "finite"),
        ({"width": 10**400}, "numbers"),
        ({"height": 500.5}, "whole"),
        ({"width": 10**9}, "whole"),
    ],
)
def test_bad_cameras_are_named(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        read_camera_file(write(tmp_path, PINHOLE | change))


def test_bad_camera_files(tmp_path):
    for text in ("{", "[]", '{"params": ' + "[" * 100_000, '{"model": "PINHOLE"}', '{"cameras": {}}', '{"cameras": {"a": 3}}'):
        with pytest.raises(DataError, match=r"camera\.json"):
            read_camera_file(write(tmp_path, text))
    with pytest.raises(UsageError, match="nowhere"):
        read_camera_file(tmp_path / "nowhere.json")


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path):
    (tmp_path / "camera.json").write_text(json.dumps(PINHOLE), encoding="utf-8-sig")
    assert read_camera_file(tmp_path / "camera.json")("c", 1000, 500).params == (800, 810, 500, 250)


def test_distortion_is_not_scaled():
    camera = Camera("OPENCV", 1000, 500, (800, 810, 500, 250, 0.1, -0.2, 0.01, 0.02))
    assert camera.scaled(2000, 1000, "x").params == (1600, 1620, 1000, 500, 0.1, -0.2, 0.01, 0.02)
    single = Camera("SIMPLE_RADIAL", 1000, 500, (800, 500, 250, 0.1))
    assert single.scaled(500, 250, "x").params == (400, 250, 125, 0.1)
