"""``camera_info`` as COLMAP's cameras and back: exact values, and messages for what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.recording.calibration import camera_from_info, info_from_camera

K = [800.0, 0, 500.0, 0, 810.0, 250.0, 0, 0, 1]


@pytest.mark.parametrize(
    ("model", "d", "expected"),
    [
        ("plumb_bob", [0, 0, 0, 0, 0], ("PINHOLE", ())),
        ("", [], ("PINHOLE", ())),
        ("plumb_bob", [0.1, -0.2, 0.01, 0.02, 0], ("OPENCV", (0.1, -0.2, 0.01, 0.02))),
        ("plumb_bob", [0.1, -0.2, 0.01, 0.02, 0.3], ("FULL_OPENCV", (0.1, -0.2, 0.01, 0.02, 0.3, 0, 0, 0))),
        ("rational_polynomial", [1, 2, 3, 4, 5, 6, 7, 8], ("FULL_OPENCV", (1, 2, 3, 4, 5, 6, 7, 8))),
        ("equidistant", [1, 2, 3, 4], ("OPENCV_FISHEYE", (1, 2, 3, 4))),
        ("equidistant", [0, 0, 0, 0], ("OPENCV_FISHEYE", (0, 0, 0, 0))),
    ],
)
def test_camera_info_becomes_colmaps_model(model, d, expected):
    camera = camera_from_info(model, 1000, 500, K, d)
    assert (camera.model, camera.params) == (expected[0], (800, 810, 500.5, 250.5, *expected[1]))
    assert camera.calibrated


@pytest.mark.parametrize("model", ["plumb_bob", "rational_polynomial", "equidistant"])
def test_camera_info_projects_as_opencv_does(model):
    """The COLMAP camera images a point where OpenCV's functions do, half a pixel apart by convention (1e-6 px)."""
    import cv2
    import pycolmap

    d = {"plumb_bob": [-0.3, 0.1, 0.001, -0.002, 0.05], "rational_polynomial": [0.1, 0.02, 0.001, 0.002, 0.01, 0.2, 0.03, 0.02]}
    coefficients = np.array(d.get(model, [0.05, -0.01, 0.002, -0.001]))
    points = np.array([[0.1, 0.2, 1.0], [-0.3, 0.1, 1.5], [0.4, -0.35, 2.0]])
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    expected, _ = project(points[:, None], np.zeros(3), np.zeros(3), np.reshape(K, (3, 3)), coefficients)
    value = camera_from_info(model, 1000, 500, K, coefficients)
    camera = pycolmap.Camera(model=value.model, width=1000, height=500, params=np.array(value.params))
    np.testing.assert_allclose(camera.img_from_cam(points), expected.reshape(-1, 2) + 0.5, atol=1e-6)


def test_camera_info_uncalibrated_and_refused():
    assert camera_from_info("plumb_bob", 10, 10, [0.0] * 9, []) is None
    with pytest.raises(DataError, match="'mei' is not supported"):
        camera_from_info("mei", 1000, 500, K, [0.1])
    with pytest.raises(DataError, match="4 coefficients"):
        camera_from_info("equidistant", 1000, 500, K, [0.1])
    with pytest.raises(DataError, match="thin-prism"):
        camera_from_info("rational_polynomial", 1000, 500, K, [0.1] * 12)
    with pytest.raises(DataError, match="finite"):
        camera_from_info("plumb_bob", 1000, 500, [float("nan")] * 9, [])


@pytest.mark.parametrize(
    ("camera", "again"),
    [
        (Camera("SIMPLE_PINHOLE", 100, 80, (90, 50, 40)), Camera("PINHOLE", 100, 80, (90, 90, 50, 40))),
        (Camera("PINHOLE", 100, 80, (90, 95, 51, 42)), Camera("PINHOLE", 100, 80, (90, 95, 51, 42))),
        (Camera("SIMPLE_RADIAL", 100, 80, (90, 50, 40, 0.1)), Camera("OPENCV", 100, 80, (90, 90, 50, 40, 0.1, 0, 0, 0))),
        (Camera("RADIAL", 100, 80, (90, 50, 40, 0.1, 0.2)), Camera("OPENCV", 100, 80, (90, 90, 50, 40, 0.1, 0.2, 0, 0))),
        (Camera("OPENCV", 100, 80, (90, 95, 51, 42, 0.1, 0.2, 0.3, 0.4)),) * 2,
        (Camera("FULL_OPENCV", 100, 80, (90, 95, 51, 42, *(0.1 * i for i in range(1, 9)))),) * 2,
        (Camera("OPENCV_FISHEYE", 100, 80, (90, 95, 51, 42, 0.1, 0.2, 0.3, 0.4)),) * 2,
    ],
)
def test_intrinsics_as_ros_says_them_and_back(camera, again):
    model, k, d = info_from_camera(camera)
    found = camera_from_info(model, camera.width, camera.height, k, d)
    assert found.model == again.model
    assert found.params == pytest.approx(again.params)


def test_a_lens_that_ros_cannot_describe():
    assert info_from_camera(Camera("FOV", 100, 80, (90, 95, 51, 42, 0.9))) is None
