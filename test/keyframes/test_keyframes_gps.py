"""Positions at the times of images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg2d3d_ros.geometry.trajectory import StampedSeries
from seg2d3d_ros.geometry.wgs84 import GeoPosition

NANOSECONDS = 1_000_000_000


def geo(t, sigma=None):
    covariance = None if sigma is None else np.eye(3) * sigma**2
    return GeoPosition(50 + t / 1000, 13 - t / 500, 100 + t, covariance)


@given(st.permutations([0, 1, 2, 3, 4]), st.floats(0, 4))
def test_uniform_motion_is_interpolated_exactly_in_any_order_of_arrival(order, t):
    fixes = StampedSeries(max_gap=1.0)
    for second in order:
        assert fixes.add(second * NANOSECONDS, geo(second))
    found = fixes.at(round(t * NANOSECONDS))
    assert found.latitude == pytest.approx(50 + t / 1000, abs=1e-9)
    assert found.longitude == pytest.approx(13 - t / 500, abs=1e-9)
    assert found.altitude == pytest.approx(100 + t, abs=1e-6)


def test_nothing_before_the_first_after_the_last_or_in_gaps():
    fixes = StampedSeries(max_gap=1.5)
    assert fixes.at(0) is None
    assert not fixes.reaches(0)
    for second in (0, 1, 4):
        fixes.add(second * NANOSECONDS, geo(second))
    assert fixes.at(-1) is None
    assert fixes.at(NANOSECONDS // 2) is not None
    assert fixes.at(2 * NANOSECONDS) is None
    assert fixes.at(4 * NANOSECONDS).altitude == 104
    assert fixes.at(4 * NANOSECONDS + 1) is None
    assert fixes.reaches(4 * NANOSECONDS)
    assert not fixes.reaches(4 * NANOSECONDS + 1)


def test_bad_and_repeated_fixes_are_counted():
    fixes = StampedSeries(max_gap=1.0)
    assert fixes.add(0, geo(0))
    assert not fixes.add(0, geo(5))
    assert not fixes.add(1, None)
    assert (fixes.used, fixes.ignored) == (1, 2)
    assert fixes.at(0).altitude == 100


def test_covariance_is_the_average_and_unknown_stays_unknown():
    fixes = StampedSeries(max_gap=1.0)
    fixes.add(0, geo(0, 1.0))
    fixes.add(NANOSECONDS, geo(1, 3.0))
    fixes.add(2 * NANOSECONDS, geo(2))
    np.testing.assert_allclose(fixes.at(NANOSECONDS // 4).covariance, np.eye(3) * (0.75 * 1 + 0.25 * 9))
    assert fixes.at(3 * NANOSECONDS // 2).covariance is None
