"""Messages <-> arrays, by tables and round trips."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, NavSatFix, PointField
from std_msgs.msg import Header

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.images import encode_jpeg, encode_png
from seg2d3d_ros.lidar.scans import cloud_to_array
from seg2d3d_ros.recording.calibration import camera_from_message
from seg2d3d_ros.recording.naming import stamp_to_ns
from seg2d3d_ros.recording.raw_images import raw_pixels
from seg2d3d_ros.ros.messages import conversion as c

pytestmark = pytest.mark.ros
HEADER = c.make_header(1_700_000_000_123_456_789, "front")
RGB = np.array([[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [100, 110, 120]]], np.uint8)
GREY16 = np.array([[0x0102, 0xFFFE], [3, 0]], np.uint16)


def image(data: bytes, encoding: str, step: int, width: int = 2, height: int = 2, big: int = 0) -> Image:
    return Image(header=HEADER, height=height, width=width, encoding=encoding, step=step, is_bigendian=big, data=c.fill(data))


def padded(pixels: np.ndarray, padding: int) -> bytes:
    return b"".join(row.tobytes() + b"\xaa" * padding for row in pixels)


ALPHA = np.full((2, 2, 1), 7, np.uint8)
TABLE = [
    ("rgb8", RGB, RGB),
    ("bgr8", RGB[..., ::-1], RGB),
    ("8UC3", RGB[..., ::-1], RGB),
    ("rgba8", np.concatenate([RGB, ALPHA], 2), RGB),
    ("bgra8", np.concatenate([RGB[..., ::-1], ALPHA], 2), RGB),
    ("mono8", RGB[..., 0], np.repeat(RGB[..., :1], 3, 2)),
    ("mono16", GREY16, np.repeat((GREY16 >> 8).astype(np.uint8)[..., None], 3, 2)),
]


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(("encoding", "pixels", "rgb"), TABLE)
def test_everyday_encodings_with_and_without_row_padding(encoding, pixels, rgb, padding):
    pixels = np.ascontiguousarray(pixels)
    message = image(padded(pixels, padding), encoding, pixels.strides[0] + padding)
    np.testing.assert_array_equal(raw_pixels(message), pixels)
    np.testing.assert_array_equal(c.image_to_rgb(message), rgb)


def test_the_last_row_may_lack_its_padding():
    pixels = np.ascontiguousarray(RGB)
    message = image(padded(pixels, 4)[:-4], "rgb8", pixels.strides[0] + 4)
    np.testing.assert_array_equal(raw_pixels(message), pixels)


def test_big_endian_labels():
    message = image(GREY16.astype(">u2").tobytes(), "mono16", 4, big=1)
    np.testing.assert_array_equal(c.image_to_labels(message), GREY16)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (image(b"\0" * 11, "rgb8", 6), "11 bytes do not hold 2×2 rgb8"),
        (image(b"\0" * 12, "rgb8", 5), "rows of 5 bytes"),
        (image(b"", "rgb8", 0, width=0, height=0), "do not hold"),
    ],
)
def test_images_that_do_not_fit_their_size_are_refused(message, words):
    with pytest.raises(DataError, match=words):
        raw_pixels(message)


def test_an_encoding_that_is_not_read_says_which_are():
    with pytest.raises(DataError, match=r"'nv99' is not supported .*rgb8"):
        c.image_to_rgb(image(b"\0" * 6, "nv99", 2))


@given(hnp.arrays(np.uint16, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_labels_survive_the_round_trip(labels):
    message = c.labels_to_image(labels, HEADER)
    assert (message.encoding, message.step, message.header) == ("mono16", labels.shape[1] * 2, HEADER)
    np.testing.assert_array_equal(c.image_to_labels(message), labels)


def test_colour_images_are_no_labels():
    with pytest.raises(DataError, match="masks encoded as rgb8, which are no ids; publish them as mono16"):
        c.image_to_labels(image(RGB.tobytes(), "rgb8", 6))
    with pytest.raises(DataError, match="is not mono16"):
        c.labels_to_image(RGB[..., 0], HEADER)


@pytest.mark.parametrize(("encoded", "kind"), [(encode_jpeg(RGB), "jpeg"), (encode_png(RGB), "png")])
def test_compressed_images(encoded, kind):
    message = c.bytes_to_compressed(encoded, HEADER)
    assert message.format == kind
    assert c.compressed_to_bytes(message) == encoded


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (CompressedImage(header=HEADER, format="jpeg"), "is empty"),
        (CompressedImage(header=HEADER, format="16UC1; compressedDepth", data=b"x"), "depth"),
    ],
)
def test_compressed_images_without_picture_are_refused(message, words):
    with pytest.raises(DataError, match=words):
        c.compressed_to_bytes(message)


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_stamps_survive_the_round_trip(nanoseconds):
    assert stamp_to_ns(c.ns_to_stamp(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("frame", "name"), [("front", "front_5"), ("car/front", "car_front_5"), ("../../etc", "etc_5"), ("", "camera_5")]
)
def test_keyframe_names_stay_inside_the_map_directory(frame, name):
    assert c.keyframe_name(c.make_header(5, frame)) == name


def test_calibration_moves_by_half_a_pixel_and_scales_with_the_image():
    info = CameraInfo(width=640, height=480, distortion_model="plumb_bob", d=[0.1, 0.0, 0.0, 0.0, 0.0])
    info.k = [500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0]
    camera = camera_from_message(info, (640, 480), "front")
    assert (camera.model, camera.params) == ("OPENCV", (500.0, 510.0, 320.5, 240.5, 0.1, 0.0, 0.0, 0.0))
    half = camera_from_message(info, (320, 240), "front")
    assert half.params[:4] == pytest.approx((250.0, 255.0, 160.25, 120.25))
    assert camera_from_message(CameraInfo(width=640, height=480), (640, 480), "front") is None
    with pytest.raises(DataError, match="front"):
        camera_from_message(info, (640, 640), "front")


def test_a_fisheye_s_coefficients_may_be_filled_up_with_zeros():
    fisheye = [0.1, 0.02, -0.01, 0.003]
    info = CameraInfo(width=640, height=480, distortion_model="equidistant", d=[*fisheye, 0.0])
    info.k = [300.0, 0.0, 320.0, 0.0, 300.0, 240.0, 0.0, 0.0, 1.0]
    camera = camera_from_message(info, (640, 480), "front")
    assert (camera.model, list(camera.distortion)) == ("OPENCV_FISHEYE", fisheye)
    info.d = [*fisheye, 0.5]
    with pytest.raises(DataError, match="4 coefficients, not 5"):
        camera_from_message(info, (640, 480), "front")


@pytest.mark.parametrize(
    ("latitude", "altitude", "status", "known"),
    [
        (49.0, 100.0, 0, True),
        (49.0, 100.0, 2, True),
        (49.0, 100.0, -1, False),
        (float("nan"), 1.0, 0, False),
        (91.0, 1.0, 0, False),
    ],
)
def test_fixes_without_a_position_are_none(latitude, altitude, status, known):
    message = NavSatFix(latitude=latitude, longitude=8.0, altitude=altitude)
    message.status.status = status
    assert (GeoPosition.from_ros(message) is not None) == known


def test_positions_survive_the_round_trip():
    geo = GeoPosition(49.0, 8.4, 110.0, np.diag([1.0, 2.0, 3.0]))
    back = GeoPosition.from_ros(c.fix_from_geo(geo, HEADER))
    assert (back.latitude, back.longitude, back.altitude) == (49.0, 8.4, 110.0)
    np.testing.assert_array_equal(back.covariance, geo.covariance)
    assert GeoPosition.from_ros(c.fix_from_geo(GeoPosition(49.0, 8.4, 110.0), HEADER)).covariance is None
    assert GeoPosition.from_ros(c.fix_from_geo(None, HEADER)) is None


POINT = np.dtype([("x", "f4"), ("y", "f4"), ("z", "f4"), ("rgb", "f4"), ("instance_id", "i4"), ("class_id", "u2"), ("w", "f8")])


@given(hnp.arrays(POINT, st.integers(0, 7)))
def test_clouds_survive_the_round_trip(points):
    message = c.array_to_cloud(points, HEADER)
    assert cloud_to_array(message).tobytes() == points.tobytes()


def test_the_layout_of_a_cloud():
    message = c.array_to_cloud(np.zeros(3, POINT), HEADER)
    layout = [(f.name, f.offset, f.datatype, f.count) for f in message.fields]
    assert layout[3:] == [
        ("rgb", 12, PointField.FLOAT32, 1),
        ("instance_id", 16, PointField.INT32, 1),
        ("class_id", 20, PointField.UINT16, 1),
        ("w", 22, PointField.FLOAT64, 1),
    ]
    assert (message.width, message.height, message.point_step, message.row_step) == (3, 1, 30, 90)
    assert (message.is_bigendian, message.is_dense, len(message.data)) == (False, True, 90)


def test_organised_big_endian_clouds_with_padded_rows_are_read():
    points = np.array([(1.5, 7), (2.5, 8), (3.5, 9), (4.5, 10)], [("x", ">f4"), ("id", ">u2")])
    message = c.array_to_cloud(np.zeros(0, [("x", "f4"), ("id", "u2")]), Header())
    message.height, message.width, message.row_step, message.is_bigendian = 2, 2, 2 * 6 + 3, True
    message.data = c.fill(points[:2].tobytes() + b"\xaa" * 3 + points[2:].tobytes() + b"\xaa" * 3)
    back = cloud_to_array(message)
    assert back.dtype["x"].isnative
    assert back["x"].tolist() == [1.5, 2.5, 3.5, 4.5]
    assert back["id"].tolist() == [7, 8, 9, 10]
    message.data = message.data[:20]
    with pytest.raises(DataError, match="20 bytes"):
        cloud_to_array(message)


def test_fields_that_pointfield_does_not_have_are_refused():
    with pytest.raises(DataError, match="'id' of type int64"):
        c.array_to_cloud(np.zeros(1, [("id", "i8")]), HEADER)


def test_equals_sensor_msgs_py_where_a_distribution_has_it():
    point_cloud2 = pytest.importorskip("sensor_msgs_py.point_cloud2", reason="no wheel has sensor_msgs_py")
    points = np.array([(1, 2, 3, 4, 5, 6, 7)], POINT)
    ours = c.array_to_cloud(points, HEADER)
    theirs = point_cloud2.create_cloud(HEADER, ours.fields, points)
    theirs.is_dense = True  # it says false whatever the points are
    assert theirs == ours


@given(hnp.arrays(np.uint8, st.tuples(st.integers(0, 5), st.just(3))))
def test_packed_colours(rgb):
    packed = c.pack_rgb(rgb)
    assert packed.dtype == np.float32
    np.testing.assert_array_equal(c.unpack_rgb(packed), rgb)


def test_packed_colours_are_pcls():
    assert c.pack_rgb(np.array([[1, 2, 3]], np.uint8)).tobytes() == bytes([3, 2, 1, 0])
