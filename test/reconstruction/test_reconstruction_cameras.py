"""Calibration files, camera_info, EXIF and GPS tables: exact values, and messages for what is wrong."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.wgs84 import GeoPosition, choose_datum, to_enu
from seg2d3d_ros.keyframes.camera_file import (
    camera_from_info,
    default_camera,
    focal_known,
    info_from_camera,
    read_camera_file,
    scale_camera,
)
from seg2d3d_ros.keyframes.positions_file import read_gps_csv
from seg2d3d_ros.reconstruction.exif import camera_from_exif, geo_from_exif

PINHOLE = {"model": "PINHOLE", "width": 1000, "height": 500, "params": [800, 810, 500, 250]}
K = [800.0, 0, 500.0, 0, 810.0, 250.0, 0, 0, 1]


def write(tmp_path, value):
    path = tmp_path / "camera.json"
    path.write_text(json.dumps(value) if not isinstance(value, str) else value)
    return path


def test_one_camera_serves_every_name_and_scales_with_the_image(tmp_path):
    cameras = read_camera_file(write(tmp_path, PINHOLE))
    assert cameras["any"].params == (800, 810, 500, 250)
    half = cameras("left", 500, 250)
    assert half == Camera("PINHOLE", 500, 250, (400, 405, 250, 125))


def test_named_cameras_and_unknown_names(tmp_path):
    cameras = read_camera_file(write(tmp_path, {"cameras": {"left": PINHOLE}}))
    assert cameras("left", 1000, 500).params[0] == 800
    assert cameras("right", 1000, 500) is None


def test_distortion_is_not_scaled():
    camera = Camera("OPENCV", 1000, 500, (800, 810, 500, 250, 0.1, -0.2, 0.01, 0.02))
    assert scale_camera(camera, 2000, 1000, "x").params == (1600, 1620, 1000, 500, 0.1, -0.2, 0.01, 0.02)
    single = Camera("SIMPLE_RADIAL", 1000, 500, (800, 500, 250, 0.1))
    assert scale_camera(single, 500, 250, "x").params == (400, 250, 125, 0.1)


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
    ],
)
def test_bad_cameras_are_named(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        read_camera_file(write(tmp_path, PINHOLE | change))


def test_bad_camera_files(tmp_path):
    for text in ("{", "[]", '{"model": "PINHOLE"}', '{"cameras": {}}', '{"cameras": {"a": 3}}'):
        with pytest.raises(DataError, match=r"camera\.json"):
            read_camera_file(write(tmp_path, text))
    with pytest.raises(UsageError, match="nowhere"):
        read_camera_file(tmp_path / "nowhere.json")


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


def jpeg(exif=None, gps=None):
    tags = Image.Exif()
    tags.get_ifd(0x8769).update(exif or {})
    tags.get_ifd(0x8825).update(gps or {})
    out = io.BytesIO()
    Image.new("RGB", (400, 300)).save(out, "JPEG", exif=tags)
    return out.getvalue()


def test_focal_length_from_exif():
    camera = camera_from_exif(jpeg({0xA405: 28}), 400, 300)
    assert camera.params[0] == pytest.approx(28 * 500 / np.hypot(36, 24))
    assert (camera.model, camera.calibrated, focal_known(camera)) == ("SIMPLE_RADIAL", False, True)
    sensor = camera_from_exif(jpeg({0x920A: 5.0, 0xA20E: 2540.0, 0xA210: 2, 0xA002: 800}), 400, 300)
    assert sensor.params[0] == pytest.approx(5.0 * 100 / 2)  # 100 px/mm at 800 px width, half of that at 400
    assert camera_from_exif(jpeg(), 400, 300) is None
    assert camera_from_exif(jpeg({0xA405: 9999}), 400, 300) is None
    assert camera_from_exif(b"no image", 400, 300) is None
    assert not focal_known(default_camera(400, 300))


def test_position_from_exif():
    north_east = {1: "N", 2: (55.0, 41.0, 53.4), 3: "E", 4: (13.0, 11.0, 43.4), 5: b"\0", 6: 37.0}
    geo = geo_from_exif(jpeg(gps=north_east))
    assert geo.latitude == pytest.approx(55 + 41 / 60 + 53.4 / 3600)
    assert geo.longitude == pytest.approx(13 + 11 / 60 + 43.4 / 3600)
    assert (geo.altitude, geo.covariance) == (37.0, None)
    south_west = geo_from_exif(jpeg(gps=north_east | {1: "S", 3: "W", 5: b"\1", 31: 4.0}))
    assert (south_west.latitude, south_west.longitude, south_west.altitude) == (-geo.latitude, -geo.longitude, -37.0)
    assert south_west.sigma == pytest.approx(4.0)
    assert geo_from_exif(jpeg(gps={1: "N", 2: (55.0, 41.0, 53.4)})) is None
    assert geo_from_exif(jpeg()) is None


def test_gps_table(tmp_path):
    path = tmp_path / "gps.csv"
    path.write_text("image,latitude,longitude,altitude,sigma\na.jpg,51.5,13.5,100,2\nb,51.6,13.6,,\nc.png,,,,\n")
    table = read_gps_csv(path)
    assert set(table) == {"a", "b"}
    assert table["a"].altitude == 100.0
    assert table["a"].sigma == pytest.approx(2.0)
    path.write_text("image,latitude\na,1\n")
    with pytest.raises(DataError, match="no column longitude"):
        read_gps_csv(path)
    path.write_text("image,latitude,longitude\na,1,2\nb,x,2\n")
    with pytest.raises(DataError, match="line 3"):
        read_gps_csv(path)


def test_metres_agree_with_the_ellipsoid():
    """One second of latitude is 30.9 m, of longitude 30.9 m times the cosine (0.5 %); the origin is the datum."""
    datum = (51.0, 13.0, 100.0)
    second = 1 / 3600
    enu = to_enu([GeoPosition(*datum), GeoPosition(51.0 + second, 13.0, 100.0), GeoPosition(51.0, 13.0 + second, 105.0)], datum)
    np.testing.assert_allclose(enu[0], 0, atol=1e-6)
    np.testing.assert_allclose(enu[1], [0, 30.9, 0], atol=0.16)
    np.testing.assert_allclose(enu[2], [30.9 * np.cos(np.deg2rad(51.0)), 0, 5], atol=0.16)
    outlier = GeoPosition(10.0, 10.0, 0.0)
    assert choose_datum([GeoPosition(51.0, 13.0, 1.0)] * 3 + [outlier])[:2] == (51.0, 13.0)


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
