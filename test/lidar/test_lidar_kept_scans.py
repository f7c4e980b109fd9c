"""Scans on disk: what comes back is what went in, within bounds."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg2d3d_ros.lidar.kept_scans import KeptScans
from seg2d3d_ros.lidar.scans import Scan

START = 1_700_000_000_000_000_000


def scan(stamp_ns: int, points: int = 50, *, intensity: bool = True, offset: bool = False, frame: str = "lidar") -> Scan:
    rng = np.random.default_rng(points)
    values = rng.normal(size=(points, 5)).astype(np.float32)
    row = np.arange(points, dtype=np.int32) * 2
    return Scan(stamp_ns, frame, values[:, :3], values[:, 3] if intensity else None, values[:, 4] if offset else None, row)


def check_equal(found: Scan, expected: Scan) -> None:
    for field in dataclasses.fields(Scan):
        a, b = getattr(found, field.name), getattr(expected, field.name)
        assert (a is None) == (b is None)
        np.testing.assert_array_equal(a, b)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**62), st.integers(0, 30), st.booleans(), st.booleans(), st.sampled_from(["lidar", "os/лидар", ""]))
def test_a_scan_comes_back_as_it_was(tmp_path_factory, stamp_ns, points, intensity, offset, frame):
    kept = KeptScans(tmp_path_factory.mktemp("scans"), 10**6)
    expected = scan(stamp_ns, points, intensity=intensity, offset=offset, frame=frame)
    kept.add(expected)
    (found,) = kept
    check_equal(found, expected)


def test_they_come_in_the_order_of_time_also_after_a_restart(tmp_path: Path):
    folder = tmp_path / "scans"
    first = KeptScans(folder, 10**6)
    for k in (3, 1):
        first.add(scan(START + k))
    again = KeptScans(folder, 10**6)
    again.add(scan(START + 2))
    again.add(scan(START + 3, 7))
    assert [s.stamp_ns - START for s in again] == [1, 2, 3]
    assert len(again) == 3
    assert len(list(again)[-1].xyz) == 7, "the newer one of the same moment"


def test_beyond_the_limit_the_oldest_go_those_of_an_earlier_run_first(tmp_path: Path):
    KeptScans(tmp_path, 10**6).add(scan(START))
    size = next(tmp_path.glob("*.npz")).stat().st_size
    kept = KeptScans(tmp_path, 3 * size)
    for k in range(1, 5):
        kept.add(scan(START + k))
    assert [s.stamp_ns - START for s in kept] == [2, 3, 4]
    assert kept.dropped == 2
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3 * size


def test_without_room_nothing_is_written(tmp_path: Path):
    kept = KeptScans(tmp_path / "scans", 0)
    kept.add(scan(START))
    assert not (tmp_path / "scans").exists()
    assert len(kept) == 0


@pytest.mark.parametrize("damage", ["cut off", "no file of this kind", "misfit", "gone"])
def test_a_damaged_file_is_left_out_and_said(tmp_path: Path, caplog, damage):
    kept = KeptScans(tmp_path, 10**6)
    kept.add(scan(START))
    kept.add(scan(START + 1))
    path = min(tmp_path.glob("*.npz"))
    if damage == "cut off":
        path.write_bytes(path.read_bytes()[:300])
    elif damage == "no file of this kind":
        path.write_bytes(b"\x80\x04K\x01.")
    elif damage == "misfit":
        np.savez(path, stamp_ns=np.int64(START), frame_id=np.array("lidar"), xyz=np.zeros((3, 3)), row=np.zeros(4))
    else:
        path.unlink()
    with caplog.at_level(logging.WARNING):
        assert [s.stamp_ns for s in kept] == [START + 1]
    assert (path.name in caplog.text) == (damage != "gone")
