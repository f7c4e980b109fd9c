"""The GPS receiver's statistics, and WGS84 against pyproj's formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg2d3d_ros.geometry.wgs84 import from_enu, to_enu
from seg2d3d_ros.simulation.gnss import (
    DATUM,
    RECEIVERS,
    Fix,
    ReceiverQuality,
    gps_csv,
    received,
    simulate_fixes,
)

SECOND = 1_000_000_000
LEGS = [(2.0, 22.0), (34.0, 54.0)]


def _still(_: float) -> np.ndarray:
    return np.array([10.0, -4.0, 2.0])


def _errors(quality: ReceiverQuality, runs: int = 60, end: float = 56.0) -> list[np.ndarray]:
    found = []
    for seed in range(runs):
        fixes = simulate_fixes(np.random.default_rng(seed), _still, end, LEGS, quality)
        found.append(np.array([f.enu - _still(0) for f in fixes if f.valid]))
    return found


def test_noise_has_the_stated_sigma_and_is_correlated() -> None:
    errors = _errors(ReceiverQuality(1.5, 0.0, 1), runs=200)
    together = np.concatenate(errors)
    np.testing.assert_allclose(together.std(0), [1.5, 1.5, 3.0], rtol=0.12)
    np.testing.assert_allclose(together.mean(0), 0.0, atol=0.35)
    lagged = np.concatenate([e[1:, 0] * e[:-1, 0] for e in errors]).mean() / together[:, 0].var()
    assert 0.65 < lagged < 0.85


def test_outliers_occur_as_often_as_stated_and_only_in_hard() -> None:
    def share(quality: ReceiverQuality) -> float:
        together = np.concatenate(_errors(quality))
        return float((np.abs(together[:, :2]).max(1) > 5 * quality.sigma).mean())

    assert RECEIVERS["hard"].outliers == pytest.approx(0.04)
    assert share(ReceiverQuality(1.0, 0.1, 1)) == pytest.approx(0.1 * 0.85, abs=0.025)
    assert share(ReceiverQuality(1.0, 0.0, 1)) == 0.0


def test_dropouts_have_invalid_fixes_then_none() -> None:
    for seed in range(20):
        fixes = simulate_fixes(np.random.default_rng(seed), _still, 56.0, LEGS, ReceiverQuality(1.0, 0.0, 2))
        times = np.array([f.time for f in fixes])
        valid = np.array([f.valid for f in fixes])
        silent = np.diff(times)
        assert (silent > 0.9).sum() == 2
        assert silent.max() < 2.3
        for start in np.flatnonzero(silent > 0.9):
            assert not valid[start], "silence begins after invalid fixes"
        assert 8 <= (~valid).sum() <= 24
        series = received(fixes)
        assert series.at(round(float(times[~valid][0]) * 1e9)) is None
        assert series.at(1_030_000_000) is not None


def test_interpolation_is_linear_and_never_extrapolates() -> None:
    fixes = [Fix(float(t), np.array([t, 2.0 * t, 0.0]), 1.0, True) for t in (0.0, 0.5, 2.0)]
    series = received(fixes)
    np.testing.assert_allclose(series.at(SECOND // 4).enu, [0.25, 0.5, 0.0])
    assert [series.at(round(t * SECOND)) for t in (1.0, -0.1, 2.5)] == [None, None, None]


@given(st.floats(-2000, 2000), st.floats(-2000, 2000), st.floats(-100, 500))
@settings(max_examples=80, deadline=None)
def test_positions_of_enu_agree_with_pyproj(east: float, north: float, up: float) -> None:
    pyproj = pytest.importorskip("pyproj")
    pipeline = (
        f"+proj=pipeline +step +inv +proj=topocentric +ellps=WGS84 +lat_0={DATUM[0]} +lon_0={DATUM[1]} +h_0={DATUM[2]} "
        "+step +inv +proj=cart +ellps=WGS84"
    )
    lon, lat, alt = pyproj.Transformer.from_pipeline(pipeline).transform(east, north, up)
    (found,) = from_enu(np.array([east, north, up]), DATUM)
    assert (found.latitude, found.longitude, found.altitude) == pytest.approx((lat, lon, alt), abs=1e-6)
    assert found.latitude == pytest.approx(lat, abs=1e-10)
    np.testing.assert_allclose(to_enu([found], DATUM), [[east, north, up]], atol=1e-6)


def test_csv_reads_back() -> None:
    text = gps_csv([("front_1.jpg", Fix(3.0, np.zeros(3), 1.5, True))])
    header, row = text.splitlines()
    assert header == "image,latitude,longitude,altitude,sigma"
    name, *values = row.split(",")
    assert name == "front_1.jpg"
    assert [float(v) for v in values] == pytest.approx([*DATUM, 1.5])
