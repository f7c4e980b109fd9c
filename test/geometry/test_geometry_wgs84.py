"""Positions on the Earth as metres around a datum."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from seg2d3d_ros.geometry.wgs84 import GeoPosition, choose_datum, from_enu, refusal, to_enu


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


def test_across_the_antimeridian():
    west, east = GeoPosition(-17.0, 179.999, 10.0), GeoPosition(-17.0, -179.999, 10.0)
    middle = west.interpolate(east, 0.75)
    assert (middle.latitude, middle.altitude) == (-17.0, 10.0)
    assert middle.longitude == pytest.approx(-179.9995)
    datum = choose_datum([west, west, east, GeoPosition(-17.0, 180.0, 10.0)])
    assert abs(datum[1]) > 179.99
    enu = to_enu([west, east], datum)
    assert np.linalg.norm(enu[1] - enu[0]) == pytest.approx(0.002 * 111320 * np.cos(np.deg2rad(17)), rel=0.01)
    back = from_enu(enu, datum)
    assert back[0].longitude == pytest.approx(179.999)
    assert choose_datum([GeoPosition(0.0, 350.0, 0.0), GeoPosition(0.0, -10.0, 0.0)])[1] == pytest.approx(-10.0)


def test_an_unknown_altitude_stays_unknown():
    flat, high = GeoPosition(51.0, 13.0, math.nan), GeoPosition(51.0, 13.0, 200.0)
    assert (flat.has_altitude, high.has_altitude) == (False, True)
    assert choose_datum([flat, high, flat]) == (51.0, 13.0, 200.0)
    assert choose_datum([flat]) == (51.0, 13.0, 0.0)
    enu = to_enu([flat, high], (51.0, 13.0, 150.0))
    np.testing.assert_allclose(enu[:, :2], 0, atol=1e-6)
    assert np.isnan(enu[0, 2])
    assert enu[1, 2] == pytest.approx(50.0)
    assert not flat.interpolate(high, 0.5).has_altitude


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"altitude": math.nan}, ""),
        ({"status": -1}, "no fix"),
        ({"latitude": math.nan}, "not a number"),
        ({"latitude": 0.0, "longitude": 0.0}, "latitude 0, longitude 0"),
        ({"latitude": 91.0}, "beyond"),
    ],
)
def test_fixes_are_refused_with_a_reason(change, reason):
    values = {"status": 0, "latitude": 51.0, "longitude": 13.0, "altitude": 5.0} | change
    status = SimpleNamespace(status=values.pop("status"))
    fix = SimpleNamespace(**values, status=status, position_covariance=np.zeros(9), position_covariance_type=0)
    assert (reason in refusal(fix)) if reason else refusal(fix) == ""
    geo = GeoPosition.from_ros(fix)
    assert (geo is None) == bool(reason)
    assert geo is None or geo.has_altitude == math.isfinite(values["altitude"])
