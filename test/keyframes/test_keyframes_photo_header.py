"""What a photo's header says: size, time, device, focal length and position, exact; damage costs no more than itself."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.keyframes.photo_header import GeoProblem, read_header, stamp_nanoseconds


def jpeg(exif=None, gps=None, general=None):
    tags = Image.Exif()
    tags.update(general or {})
    tags.get_ifd(0x8769).update(exif or {})
    tags.get_ifd(0x8825).update(gps or {})
    out = io.BytesIO()
    Image.new("RGB", (400, 300)).save(out, "JPEG", exif=tags)
    return out.getvalue()


def test_focal_length_from_exif():
    camera = read_header(jpeg({0xA405: 28})).camera
    assert camera.params[0] == pytest.approx(28 * 500 / np.hypot(36, 24))
    assert (camera.model, camera.calibrated, camera.focal_known) == ("SIMPLE_RADIAL", False, True)
    sensor = read_header(jpeg({0x920A: 5.0, 0xA20E: 2540.0, 0xA210: 2, 0xA002: 800})).camera
    assert sensor.params[0] == pytest.approx(5.0 * 100 / 2)  # 100 px/mm at 800 px width, half of that at 400
    assert read_header(jpeg()).camera is None
    assert read_header(jpeg({0xA405: 9999})).camera is None


def test_position_from_exif():
    north_east = {1: "N", 2: (55.0, 41.0, 53.4), 3: "E", 4: (13.0, 11.0, 43.4), 5: b"\0", 6: 37.0}
    geo = read_header(jpeg(gps=north_east)).geo
    assert geo.latitude == pytest.approx(55 + 41 / 60 + 53.4 / 3600)
    assert geo.longitude == pytest.approx(13 + 11 / 60 + 43.4 / 3600)
    assert (geo.altitude, geo.covariance) == (37.0, None)
    south_west = read_header(jpeg(gps=north_east | {1: "S", 3: "W", 5: b"\1", 31: 4.0})).geo
    assert (south_west.latitude, south_west.longitude, south_west.altitude) == (-geo.latitude, -geo.longitude, -37.0)
    assert south_west.sigma == pytest.approx(4.0)
    assert read_header(jpeg(gps={1: "N", 2: (55.0, 41.0, 53.4)})).geo is None
    assert read_header(jpeg()).geo is None


def test_what_a_receiver_says_of_its_own_errors_and_altitude():
    here = {1: "N", 2: (55.0, 41.0, 53.4), 3: "E", 4: (13.0, 11.0, 43.4)}
    assert not read_header(jpeg(gps=here)).geo.has_altitude
    flat = {**here, 5: b"\0", 6: 37.0, 10: "2"}
    assert not read_header(jpeg(gps=flat)).geo.has_altitude, "measured in two dimensions"
    assert read_header(jpeg(gps={**flat, 10: "3"})).geo.altitude == 37.0
    assert read_header(jpeg(gps={**here, 11: 2.0})).geo.sigma == pytest.approx(8.0)
    assert read_header(jpeg(gps={**here, 11: 2.0, 31: 3.0})).geo.sigma == pytest.approx(3.0)


@pytest.mark.parametrize("lost", [1, 3])
def test_a_position_without_its_letters_is_refused(lost):
    here = {1: "N", 2: (55.0, 41.0, 53.4), 3: "E", 4: (13.0, 11.0, 43.4)}
    header = read_header(jpeg(gps={key: value for key, value in here.items() if key != lost}))
    assert (header.geo, header.geo_problem) == (None, GeoProblem.NO_LETTERS)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_size_and_damage():
    whole = jpeg({0xA405: 28, 0x9003: "2024:05:06 07:08:09"}, general={0x010F: "Canon"})
    assert (read_header(whole).width, read_header(whole).height) == (400, 300)
    # The directory of the photo's tags lies beyond the end of the header.
    place = whole.index(b"\x87\x69\x00\x04" if b"MM\x00*" in whole else b"\x69\x87\x04\x00")
    damaged = read_header(whole[: place + 8] + b"\xff\xff\xff\x7f" + whole[place + 12 :])
    assert (damaged.width, damaged.height, damaged.device) == (400, 300, "Canon")
    assert (damaged.camera, damaged.geo, damaged.stamp_ns) == (None, None, 0)
    with pytest.raises(DataError, match=r"a\.jpg: cannot be decoded: no image"):
        read_header(b"no image", "a.jpg")


def test_capture_time_of_mapillary_photos():
    text = '{"MAPCaptureTime":"2014_06_07_10_24_05_656","MAPDeviceMake":"Apple","MAPDeviceModel":"iPhone4,1"}'
    header = read_header(jpeg(general={0x010E: text}))
    assert header.stamp_ns == 1_402_136_645_656_000_000
    assert header.device == "Apple iPhone4,1"


@pytest.mark.parametrize("taken", ["", "0000:00:00 00:00:00", "2024-05-06", "    :  :     :  :  "])
def test_no_capture_time(taken):
    assert stamp_nanoseconds(taken, "12") == 0


def test_odd_fractions_of_a_second():
    whole = stamp_nanoseconds("2024:05:06 07:08:09")
    assert stamp_nanoseconds("2024:05:06 07:08:09", "x") == whole
    assert stamp_nanoseconds("2024:05:06 07:08:09", "123456789012") == whole + 123_456_789
