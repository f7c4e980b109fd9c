"""Which fixes of a receiver are used, and what is said of the others."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_bags import ROS2, SECOND, START

from seg2d3d_ros.keyframes.streams.fixes import (
    CLOCK,
    FIXES_CLOCK,
    FIXES_REFUSED,
    FIXES_WITHOUT_COVARIANCE,
    FIXES_WITHOUT_STATUS,
    JUMP,
    NO_FIX,
    FixFilter,
)
from seg2d3d_ros.sections.keyframe_config import KeyframeConfig

NAN = float("nan")
STEP = 1e-5
"""Degrees of latitude in a second: 1.1 m."""


def feed(edit=lambda k, fix: fix, *, count=20, config=None, clock_ns=0):
    """A filter that was given a fix a second, each edited, and an image beside it."""
    fixes = FixFilter(config or KeyframeConfig())
    for k in range(count):
        stamp = START + k * SECOND
        fixes.add_image(stamp, stamp + SECOND // 10)
        message = edit(k, ROS2.fix(stamp, 50.0 + k * STEP, 13.0))
        if message is not None:
            fixes.add(message, stamp + clock_ns, stamp + SECOND // 5)
    fixes.flush()
    return fixes


def told(fixes):
    return {finding.kind: finding for finding in fixes.findings() if finding.count}


def changed(message, **values):
    for name, value in values.items():
        setattr(message.status if name == "status" else message, name, value)
    return message


def covariance(*diagonal):
    return np.diag(np.array(diagonal, float)).ravel()


def test_good_fixes_are_all_used():
    fixes = feed()
    assert (fixes.seen, fixes.used) == (20, 20)
    assert told(fixes) == {}
    assert fixes.at(START + SECOND // 2).latitude == pytest.approx(50.0 + STEP / 2)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"status": -1}, "no fix by their status"),
        ({"latitude": 0.0, "longitude": 0.0}, "at 0°/0°"),
        ({"latitude": NAN}, "not a number"),
        ({"longitude": float("inf")}, "not a number"),
        ({"latitude": 91.0}, "beyond the Earth"),
        ({"position_covariance": covariance(1e9, 1e9, 1e9)}, "too imprecise"),
        ({"latitude": 51.0}, "that jump"),
    ],
)
def test_what_is_no_position_is_refused_with_the_reason(values, words):
    fixes = feed(lambda k, fix: changed(fix, **values) if k in (4, 9) else fix)
    assert (fixes.seen, fixes.used) == (20, 18)
    found = told(fixes)
    assert found.keys() == {FIXES_REFUSED}
    assert (found[FIXES_REFUSED].count, found[FIXES_REFUSED].of) == (2, 20)
    assert f"18 are used; not: 2 {words}" in found[FIXES_REFUSED].text


@pytest.mark.parametrize("bad", [0, 10, 19])
def test_a_single_jump_is_refused_wherever_it_is(bad):
    fixes = feed(lambda k, fix: changed(fix, latitude=52.0) if k == bad else fix)
    assert fixes.refused == {JUMP: 1}
    assert fixes.used == 19
    assert all(abs(fixes.at(START + k * SECOND).latitude - 50.0) < 0.1 for k in range(20) if k != bad)


def test_two_jumps_that_agree_are_not_enough():
    fixes = feed(lambda k, fix: changed(fix, latitude=52.0) if k in (8, 9) else fix)
    assert fixes.refused == {JUMP: 2}


def test_a_receiver_that_finds_its_place_again_is_believed():
    """After a tunnel, or when the first fixes were wrong."""
    fixes = feed(lambda k, fix: changed(fix, latitude=50.5 + k * STEP) if k >= 10 else fix)
    assert fixes.used == 20
    assert fixes.at(START + 15 * SECOND).latitude == pytest.approx(50.5 + 15 * STEP)


def test_a_fast_vehicle_with_gaps_is_no_outlier():
    fixes = feed(lambda k, fix: changed(fix, latitude=50.0 + k * 5e-4) if k % 5 == 0 else None, count=60)
    assert fixes.used == fixes.seen == 12


def test_good_positions_with_a_status_that_says_no_fix():
    fixes = feed(lambda k, fix: changed(fix, status=-1))
    assert (fixes.used, fixes.refused[NO_FIX]) == (0, 20)
    assert fixes.at(START + 5 * SECOND) is None
    assert "keyframes.ignore_fix_status" in told(fixes)[FIXES_WITHOUT_STATUS].text
    assert feed(lambda k, fix: changed(fix, status=-1), config=KeyframeConfig(ignore_fix_status=True)).used == 20


def test_no_reception_is_no_fault_of_the_status():
    fixes = feed(lambda k, fix: changed(fix, status=-1, latitude=NAN, longitude=NAN))
    assert FIXES_WITHOUT_STATUS not in told(fixes)


@pytest.mark.parametrize("seconds", [18, -3600, -1_700_000_000])
def test_a_clock_that_is_off_is_measured_and_can_be_corrected(seconds):
    fixes = feed(clock_ns=seconds * SECOND)
    assert fixes.used == 0
    text = told(fixes)[FIXES_CLOCK].text
    assert f"{seconds:+d}." in text.replace("+17.9", "+18.")
    offset = float(text.partition("fix_clock_offset=")[2])
    assert offset == pytest.approx(-seconds, abs=0.2)
    corrected = feed(clock_ns=seconds * SECOND, config=KeyframeConfig(fix_clock_offset=offset))
    assert corrected.used == 20


def test_fixes_wait_for_the_first_image_to_compare_the_clocks():
    fixes = FixFilter(KeyframeConfig())
    for k in range(3):
        fixes.add(ROS2.fix(START, 50.0, 13.0), START + k * SECOND, START + k * SECOND)
    assert fixes.used == 0
    fixes.add_image(START, START)
    assert fixes.used == 3


@pytest.mark.parametrize("diagonal", [(0, 0, 0), (-1, -1, -1), (NAN, NAN, NAN), (NAN, 4, 4)])
def test_a_covariance_that_says_nothing_is_unknown(diagonal):
    fixes = feed(lambda k, fix: changed(fix, position_covariance=covariance(*diagonal)))
    assert fixes.used == 20
    assert fixes.at(START).covariance is None
    assert told(fixes)[FIXES_WITHOUT_COVARIANCE].count == 20


def test_an_unknown_altitude_is_not_sea_level():
    fixes = feed(lambda k, fix: changed(fix, altitude=NAN, position_covariance=covariance(4, 9, NAN)))
    found = fixes.at(START)
    assert not found.has_altitude
    np.testing.assert_allclose(found.covariance.diagonal(), (4, 9, 26))
    assert told(fixes) == {}


def test_of_fixes_with_one_stamp_the_first_is_taken():
    """Drivers that round to whole seconds."""
    fixes = FixFilter(KeyframeConfig())
    fixes.add_image(START, START)
    for k in range(12):
        fixes.add(ROS2.fix(START, 50.0 + k * STEP, 13.0), START + k // 4 * SECOND, START + k * SECOND // 4)
    assert (fixes.used, fixes.refused.total()) == (3, 9)
    assert fixes.at(START + SECOND).latitude == pytest.approx(50.0 + 4 * STEP)
    assert "9 with the stamp of another" in told(fixes)[FIXES_REFUSED].text


def test_one_fix_alone_is_used():
    fixes = feed(count=1)
    assert fixes.used == 1


def test_across_the_antimeridian():
    fixes = feed(lambda k, fix: changed(fix, longitude=179.9999 + k * STEP - (360.0 if k > 10 else 0.0)))
    assert fixes.used == 20


def test_a_recording_that_is_played_faster_and_images_that_wait_are_no_other_clock():
    fixes, start = FixFilter(KeyframeConfig()), START
    for k in range(200):
        stamp, sent = start + k * SECOND // 5, start + k * SECOND // 15
        if k >= 60:  # the node is busy: it hears of images four seconds after they were sent
            image = k - 60
            fixes.add_image(start + image * SECOND // 5, start + image * SECOND // 15)
        fixes.add(ROS2.fix(stamp, 50.0 + k * STEP / 5, 13.0), stamp, sent)
    fixes.flush()
    assert fixes.refused[CLOCK] == 0
    assert fixes.used == 200
