"""Positions on the Earth as metres around a datum."""

from __future__ import annotations

import numpy as np

from seg2d3d_ros.geometry.wgs84 import GeoPosition, choose_datum, to_enu


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
