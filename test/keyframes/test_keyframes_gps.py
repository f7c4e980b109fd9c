"""Positions at the times of images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.keyframes.geo_track import NANOSECONDS, GeoTrack


def geo(t, sigma=None):
    covariance = None if sigma is None else np.eye(3) * sigma**2
    return GeoPosition(50 + t / 1000, 13 - t / 500, 100 + t, covariance)


@given(st.permutations([0, 1, 2, 3, 4]), st.floats(0, 4))
def test_uniform_motion_is_interpolated_exactly_in_any_order_of_arrival(order, t):
    track = GeoTrack(max_gap=1.0)
    for second in order:
        assert track.add(second * NANOSECONDS, geo(second))
    found = track.at(round(t * NANOSECONDS))
    assert found.latitude == pytest.approx(50 + t / 1000, abs=1e-9)
    assert found.longitude == pytest.approx(13 - t / 500, abs=1e-9)
    assert found.altitude == pytest.approx(100 + t, abs=1e-6)


def test_nothing_outside_of_the_track_or_in_gaps():
    track = GeoTrack(max_gap=1.5)
    assert track.at(0) is None
    assert not track.reaches(0)
    for second in (0, 1, 4):
        track.add(second * NANOSECONDS, geo(second))
    assert track.at(-1) is None
    assert track.at(NANOSECONDS // 2) is not None
    assert track.at(2 * NANOSECONDS) is None
    assert track.at(4 * NANOSECONDS).altitude == 104
    assert track.at(4 * NANOSECONDS + 1) is None
    assert track.reaches(4 * NANOSECONDS)
    assert not track.reaches(4 * NANOSECONDS + 1)


def test_bad_and_repeated_fixes_are_counted():
    track = GeoTrack(max_gap=1.0)
    assert track.add(0, geo(0))
    assert not track.add(0, geo(5))
    assert not track.add(1, None)
    assert (track.used, track.ignored) == (1, 2)
    assert track.at(0).altitude == 100


def test_covariance_is_the_average_and_unknown_stays_unknown():
    track = GeoTrack(max_gap=1.0)
    track.add(0, geo(0, 1.0))
    track.add(NANOSECONDS, geo(1, 3.0))
    track.add(2 * NANOSECONDS, geo(2))
    np.testing.assert_allclose(track.at(NANOSECONDS // 4).covariance, np.eye(3) * (0.75 * 1 + 0.25 * 9))
    assert track.at(3 * NANOSECONDS // 2).covariance is None
