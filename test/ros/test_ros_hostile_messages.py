"""Messages that lie: every decoding function gives a value or a DataError, never another exception, and in bounded time."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy")

from geometry_msgs.msg import Point, Quaternion
from geometry_msgs.msg import Pose as PoseMessage
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, NavSatFix, PointCloud2, PointField
from std_msgs.msg import Header, String

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.images import encode_jpeg, encode_png
from seg2d3d_ros.keyframes.odometry import VehicleOdometry
from seg2d3d_ros.lidar.scans import read_scan
from seg2d3d_ros.nodes.keyframe_node import _small
from seg2d3d_ros.recording.calibration import camera_from_message
from seg2d3d_ros.recording.raw_images import ENCODINGS
from seg2d3d_ros.ros.exchange.segment_topics import fitting_labels
from seg2d3d_ros.ros.messages import conversion as c
from seg2d3d_ros.ros.messages.class_names import read_class_names
from seg2d3d_ros.ros.messages.cloud_messages import LABELLED_POINT, classes_of
from seg2d3d_ros.ros.messages.map_messages import (
    MAP_POINT,
    OBSERVATION,
    camera_from_pose,
    frame_from_fix,
    wanted_fields,
)
from seg2d3d_ros.ros.messages.prompt_messages import PROMPT, cloud_to_asks
from seg2d3d_ros.types import Keyframe

NASTY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
HEADERS = st.builds(
    lambda stamp, frame: c.make_header(stamp, frame),
    st.integers(0, 2**31 * 10**9 - 1),
    st.sampled_from(["", "front", "\x1b[2J/../"]),
)
SIZES = st.one_of(st.integers(0, 9), st.sampled_from([2**16, 2**31, 2**32 - 1]))
NUMBERS = st.one_of(st.sampled_from([0.0, 1.0, -1.0, 1e-320, 1e308, float("inf"), float("-inf"), float("nan")]), st.floats())
KEYFRAME = Keyframe("front_1", "front", 1, encode_jpeg(np.zeros((4, 6, 3), np.uint8)), source="front")


def gives(decode, *arguments):
    """The value, or None for a DataError; anything else is the test's failure."""
    try:
        return decode(*arguments)
    except DataError:
        return None


@st.composite
def images(draw):
    """Images whose fields contradict each other; about half would be right."""
    encoding = draw(st.one_of(st.sampled_from(ENCODINGS), st.sampled_from(["mono16", "uyvy", "", "\x1b]0;x\x07", "32FC1"])))
    height, width = draw(SIZES), draw(SIZES)
    step = draw(st.one_of(SIZES, st.just(min(width * draw(st.integers(1, 8)), 2**32 - 1))))
    size = min(step * height, 600) if draw(st.booleans()) else draw(st.integers(0, 600))
    message = Image(header=draw(HEADERS), height=height, width=width, encoding=encoding, step=step)
    message.is_bigendian = draw(st.sampled_from([0, 1, 255]))
    message.data = c.fill(bytes(draw(st.integers(0, 255)) for _ in range(3)) * (size // 3) + bytes(size % 3))
    return message


@NASTY
@given(images())
def test_images(message):
    rgb = gives(c.image_to_rgb, message)
    assert rgb is None or (rgb.shape == (message.height, message.width, 3) and rgb.dtype == np.uint8)
    labels = gives(c.image_to_labels, message)
    assert labels is None or (labels.shape == (message.height, message.width) and labels.dtype == np.uint16)
    fitted = gives(fitting_labels, "/segments", message, KEYFRAME)
    assert fitted is None or fitted.shape == (4, 6)
    small = gives(_small, message, "/front")
    assert small is None or small.ndim == 2


@pytest.mark.parametrize("encoding", ["uyvy", "yuv422", "yuyv", "yuv422_yuy2"])
@pytest.mark.parametrize("width", [1, 3])
def test_yuv_of_odd_width_is_refused_or_read_never_more(encoding, width):
    message = Image(height=6, width=width, encoding=encoding, step=2 * width, data=c.fill(bytes(12 * width)))
    rgb = gives(c.image_to_rgb, message)
    assert rgb is None or rgb.shape == (6, width, 3)


@NASTY
@given(
    HEADERS,
    st.sampled_from(["jpeg", "png", "", "16UC1; compressedDepth", "bayer_rggb8; jpeg compressed bgr8", "rgb8; zstd", "h264"]),
    st.sampled_from(
        [b"", encode_jpeg(np.zeros((9, 9, 3), np.uint8)), encode_png(np.zeros((5, 5), np.uint16)), b"\xff\xd8\xff\xd9"]
    ),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4),
    st.integers(0, 700),
)
def test_compressed_images(header, form, encoded, changes, length):
    data = bytearray(encoded[:length])
    for place, value in changes:
        if data:
            data[place % len(data)] = value
    message = CompressedImage(header=header, format=form, data=c.fill(bytes(data)))
    small = gives(_small, message, "/front")
    assert small is None or small.ndim == 2


LAYOUTS = [MAP_POINT, OBSERVATION, PROMPT, LABELLED_POINT, np.dtype([("x", "f4"), ("y", "f4"), ("z", "f4"), ("time", "f8")])]


@st.composite
def clouds(draw):
    """A cloud of one of our layouts with some of its fields changed."""
    layout = draw(st.sampled_from(LAYOUTS))
    rows = draw(st.integers(0, 4))
    values = np.frombuffer(draw(st.binary(min_size=rows * layout.itemsize, max_size=rows * layout.itemsize)), layout)
    message = c.array_to_cloud(values, draw(HEADERS))
    for _ in range(draw(st.integers(0, 3))):
        what = draw(st.sampled_from(["height", "width", "point_step", "row_step", "is_bigendian", "data", "field", "fields"]))
        if what == "is_bigendian":
            message.is_bigendian = not message.is_bigendian
        elif what == "data":
            message.data = message.data[: draw(st.integers(0, 100))]
        elif what == "fields":
            message.fields = draw(st.permutations(message.fields))[: draw(st.integers(0, 8))] * draw(st.integers(0, 2))
        elif what == "field" and message.fields:
            field = message.fields[draw(st.integers(0, len(message.fields) - 1))]
            field.offset, field.datatype, field.count = draw(SIZES), draw(st.integers(0, 255)), draw(SIZES)
            field.name = draw(st.sampled_from([field.name, "", "x", "\x1b[1m"]))
        elif what in ("height", "width", "point_step", "row_step"):
            setattr(message, what, draw(SIZES))
    return message


@NASTY
@given(clouds())
def test_clouds(message):
    for layout in LAYOUTS[:4]:
        rows = gives(wanted_fields, message, layout, "/map/points")
        assert rows is None or rows.dtype == layout
    table = gives(classes_of, message)
    assert table is None or (table.dtype == np.uint16 and len(table) <= 2**16)
    asks = gives(cloud_to_asks, message, (40, 60))
    assert asks is None or all(ask.missed.xy.shape[1] == 2 for ask in asks)
    scan = gives(read_scan, message, "/lidar")
    assert scan is None or np.isfinite(scan.xyz).all()


@pytest.mark.parametrize(
    "change",
    [
        {"instance_id": -5},
        {"instance_id": 2**31 - 1},
        {"u": 1e30},
        {"u": -0.5, "role": 3},
        {"length": 2**32 - 1, "role": 3},
        {"role": 9},
        {"class_id": 65535},
    ],
)
def test_prompts_and_labelled_points_with_absurd_numbers(change):
    rows = np.zeros(3, PROMPT)
    rows["instance_id"], rows["role"], rows["length"] = 1, [1, 2, 3], [0, 0, 4]
    for name, value in change.items():
        rows[name] = value
    asks = gives(cloud_to_asks, c.array_to_cloud(rows, Header()), (40, 60))
    assert asks is None or len(asks) == 1
    points = np.zeros(3, LABELLED_POINT)
    for name, value in change.items():
        if name in LABELLED_POINT.names:
            points[name] = value
    table = gives(classes_of, c.array_to_cloud(points, Header()))
    assert table is None or len(table) <= 2**16


def test_more_runs_than_pixels_are_refused_in_no_time():
    rows = np.zeros(200_000, PROMPT)
    rows["instance_id"], rows["role"], rows["length"] = 1, 3, 60
    rows["role"][0] = 1
    with pytest.raises(DataError):
        cloud_to_asks(c.array_to_cloud(rows, Header()), (40, 60))


@NASTY
@given(
    st.lists(NUMBERS, min_size=9, max_size=9),
    st.lists(NUMBERS, max_size=13),
    st.lists(NUMBERS, min_size=12, max_size=12),
    st.sampled_from(["plumb_bob", "rational_polynomial", "equidistant", "fisheye", "", "\x1b[2J"]),
    st.tuples(SIZES, SIZES, SIZES, SIZES),
    st.booleans(),
)
def test_calibrations(k, d, p, model, sizes, rectified):
    info = CameraInfo(width=sizes[0], height=sizes[1], distortion_model=model, k=k, d=d, p=p, binning_x=sizes[2] % 2**32)
    info.roi.width, info.roi.height, info.roi.x_offset = sizes[2], sizes[3], sizes[0]
    camera = gives(lambda: camera_from_message(info, (640, 480), "/front/camera_info", rectified=rectified))
    assert camera is None or np.isfinite(camera.params).all()


@NASTY
@given(NUMBERS, NUMBERS, NUMBERS, st.lists(NUMBERS, min_size=9, max_size=9), st.integers(-128, 127), st.integers(0, 255))
def test_positions(latitude, longitude, altitude, covariance, status, kind):
    fix = NavSatFix(latitude=latitude, longitude=longitude, altitude=altitude, position_covariance=covariance)
    fix.status.status, fix.position_covariance_type = status, kind
    geo = GeoPosition.from_ros(fix)
    assert geo is None or (abs(geo.latitude) <= 90 and geo.sigma > 0)
    assert frame_from_fix(fix).kind in ("enu", "metric", "arbitrary")


@NASTY
@given(st.lists(NUMBERS, min_size=7, max_size=7))
def test_poses(values):
    pose = PoseMessage(
        position=Point(**dict(zip("xyz", values, strict=False))),
        orientation=Quaternion(**dict(zip("xyzw", values[3:], strict=True))),
    )
    assert camera_from_pose(pose).shape == (3, 4)
    message = Odometry(child_frame_id="\x1b[2J")
    message.pose.pose = pose
    odometry = VehicleOdometry()
    taken = odometry.add_message(message, 1)
    assert taken == (odometry.at(1) is not None)
    if taken:
        assert np.isfinite(odometry.at(1).matrix).all()


@NASTY
@given(
    st.one_of(
        st.text(max_size=20),
        st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)), st.lists, max_leaves=5).map(
            json.dumps
        ),
    )
)
def test_class_names(data):
    names = gives(read_class_names, String(data=data))
    assert names is None or all(isinstance(name, str) and name for name in names)


@pytest.mark.parametrize("data", ["[" * 100_000, "[" + "9" * 5000 + "]"], ids=["deep", "a large number"])
def test_class_names_in_json_that_breaks_the_reader(data):
    assert gives(read_class_names, String(data=data)) is None


def test_fields_that_point_beyond_the_point_are_refused():
    message = PointCloud2(height=1, width=3, point_step=100, row_step=300, data=c.fill(bytes(300)))
    message.fields = [
        PointField(name="u", offset=0, datatype=7, count=1),
        PointField(name="v", offset=2**31 - 1, datatype=7, count=1),
        PointField(name="point_id", offset=8, datatype=7, count=2),
    ]
    with pytest.raises(DataError):
        wanted_fields(message, OBSERVATION, "/map/observations")
