"""Tables of positions, as people and programs write them."""

from __future__ import annotations

import contextlib
import math
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.keyframes.positions.coordinates import angle, height, number
from seg2d3d_ros.keyframes.positions.positions_file import ZERO, read_positions

HEAD = "image,latitude,longitude,altitude"


def table(tmp_path, content):
    path = tmp_path / "gps.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_positions(path)


def test_the_documented_form(tmp_path):
    found = table(tmp_path, f"{HEAD},sigma\na.jpg,51.5,13.5,100,2\nb,51.6,13.6,,\nc.png,,,,\n")
    assert [row.image for row in found.rows] == ["a.jpg", "b"]
    assert (found.rows[0].geo.altitude, found.rows[0].geo.sigma) == (100.0, pytest.approx(2.0))
    assert not found.rows[1].geo.has_altitude
    assert (found.gaps, found.refused) == (1, {})


@pytest.mark.parametrize(
    "content",
    [
        "image;latitude;longitude;altitude\na b.jpg;51,5;-13,25;100,5\n",
        "image\tlatitude\tlongitude\taltitude\na b.jpg\t51.5\t-13.25\t100.5\n",
        "\ufeffimage,latitude,longitude,altitude\r\na b.jpg,51.5,-13.25,100.5\r\n",
        f"{HEAD}\na b.jpg,51.5,-13.25,100.5\n".encode("utf-16"),
        f"{HEAD}\na b.jpg,51.5,-13.25,100.5\n".encode("utf-16-le"),
        "Image , LATITUDE , Longitude , Altitude [m]\n a b.jpg , 51.5 , -13.25 , 100.5\n",
        "Datei;Breite;Länge;Höhe\na b.jpg;51,5;-13,25;100,5\n".encode("cp1252"),
        "filename,lat,lng,ele\na b.jpg,51.5,-13.25,100.5\n",
        "x,y,name,lat,lon,alt\n500000,600000,a b.jpg,51.5,-13.25,100.5\n",
        "#CoordinateSystem: WGS 84\n#Label,X/Longitude,Y/Latitude,Z/Altitude\na b.jpg,-13.25,51.5,100.5\n",
        "SourceFile,GPSLatitude,GPSLongitude,GPSAltitude\n"
        'a b.jpg,"51 deg 30\' 0.00"" N","13 deg 15\' 0.00"" W",100.5 m Above Sea Level\n',
        f"{HEAD}\na b.jpg,51.5N,13.25W,100.5 m\n",
        f"{HEAD}\na b.jpg,N 51°30',13°15'0.0\"W,100.5\n",
        "a b.jpg,51.5,-13.25,100.5\n",
    ],
)
def test_what_people_write(tmp_path, content):
    (row,) = table(tmp_path, content).rows
    assert row.image == "a b.jpg"
    assert (row.geo.latitude, row.geo.longitude, row.geo.altitude) == pytest.approx((51.5, -13.25, 100.5))


def test_coordinate_systems_of_geo_txt(tmp_path, monkeypatch):
    rows = table(tmp_path, "EPSG:4326\na.jpg -13.25 51.5 100 0 0 0 1\nb.jpg 13.25 51.5\n").rows
    assert [(r.geo.latitude, r.geo.longitude, r.geo.has_altitude) for r in rows] == [(51.5, -13.25, True), (51.5, 13.25, False)]
    pytest.importorskip("pyproj")
    for system in ("EPSG:25833", "WGS84 UTM 33N"):
        (row,) = table(tmp_path, f"{system}\na.jpg 411000 5656000 120\n").rows
        assert (row.geo.latitude, row.geo.longitude) == pytest.approx((51.05, 13.73), abs=0.01)
    with pytest.raises(DataError, match="unknown coordinate system"):
        table(tmp_path, "EPSG:999999\na.jpg 411000 5656000 120\n")
    monkeypatch.setitem(sys.modules, "pyproj", None)
    with pytest.raises(DataError, match="pip install pyproj"):
        table(tmp_path, "EPSG:25833\na.jpg 411000 5656000 120\n")


def test_one_bad_row_costs_one_row(tmp_path):
    bad = ["b.jpg,north,13,1", "c.jpg,0,0,0", "d.jpg,51", ",51,13,1", "e.jpg,51,13W5,1", "f.jpg,91,13,1", "g.jpg,51,5000000,1"]
    found = table(tmp_path, "\n".join([HEAD, "a.jpg,51,13,1", *bad, "h.jpg,51,13,-inf", "i.jpg,NA,NA,NA", "# a remark"]))
    assert [(row.line, row.image) for row in found.rows] == [(2, "a.jpg"), (10, "h.jpg")]
    assert list(found.refused) == [3, 4, 5, 6, 7, 8, 9]
    assert (found.refused[4], found.gaps) == (ZERO, 1)
    assert "swapped?" in found.refused[8]
    assert "projected" in found.refused[9]
    assert not found.rows[1].geo.has_altitude


def test_absurd_numbers_are_no_values(tmp_path):
    rows = table(tmp_path, f"{HEAD},sigma\na.jpg,51,13,{'9' * 400},{'5' * 300}\nb.jpg,51,13,1,-3\n").rows
    assert [row.geo.covariance for row in rows] == [None, None]
    assert not rows[0].geo.has_altitude


def test_tables_without_a_single_position(tmp_path):
    with pytest.raises(DataError, match=r"not one of 2 positions.*line 2.*swapped"):
        table(tmp_path, f"{HEAD}\na.jpg,137.5,51,1\nb.jpg,137.6,51,1\n")
    with pytest.raises(DataError, match="no columns image, latitude and longitude"):
        table(tmp_path, "image,latitude\na,1\n")
    with pytest.raises(DataError, match="empty"):
        table(tmp_path, "\n \n")
    with pytest.raises(UsageError, match="cannot be read"):
        read_positions(tmp_path / "nowhere.csv")


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_no_content_breaks_the_reader(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_bytes(HEAD.encode() + b"\n" + content)
    with contextlib.suppress(DataError):
        read_positions(path)


@pytest.mark.parametrize(
    ("text", "axis", "degrees"),
    [
        ("-33.8568", "latitude", -33.8568),
        ("33,8568 S", "latitude", -33.8568),
        ("33.8568s", "latitude", -33.8568),
        ("S33 51 24.5", "latitude", -33.856806),
        ("33:51:24.5S", "latitude", -33.856806),
        ("-0°30'", "latitude", -0.5),
        ("70°38.898′W", "longitude", -70.6483),
    ],
)
def test_angles(text, axis, degrees):
    assert angle(text, axis) == pytest.approx(degrees, abs=1e-6)


@pytest.mark.parametrize("text", ["13E", "1 2 3 4", "51.2.3", "51 61 0", "abc", "1e999", "51° north"])
def test_what_is_no_latitude(text):
    with pytest.raises(ValueError, match="no latitude"):
        angle(text, "latitude")


def test_numbers_and_heights():
    assert (number("1,5"), number("-2e1")) == (1.5, -20.0)
    assert math.isnan(number("NA"))
    with pytest.raises(ValueError, match="no number"):
        number("1 000")
    assert (height("3 m Below Sea Level"), height("12,5")) == (-3.0, 12.5)
    assert all(math.isnan(height(text)) for text in ("-", "", "nan", "-inf", "high"))
