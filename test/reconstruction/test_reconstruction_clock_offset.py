"""Positions of another clock than the images': found where the speed tells, and not invented where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.reconstruction.world.clock_offset import CLOCK_OFF, clock_offset

SECONDS = np.arange(0.0, 40.0, 0.8)


def way(seconds, *, bend):
    """Metres at these times: a street that winds, driven at changing speed, or one straight at one speed."""
    if not bend:
        return np.column_stack([5.0 * seconds, 0.2 * seconds, 0.0 * seconds])
    along = 5.0 * seconds - 20.0 * np.sin(seconds / 5.0)
    return np.column_stack([along, 12.0 * np.sin(along / 25.0), 0.1 * np.sin(along)])


def found(late, *, bend=True, noise=0.1, outliers=0.0, turn=0.0):
    """Of two cameras, the positions of which were measured ``late`` seconds after their stamps say."""
    rng = np.random.default_rng(1)
    centers = np.vstack([way(SECONDS, bend=bend), way(SECONDS, bend=bend) + [0, 0.3, 0]])
    positions = np.vstack([way(SECONDS + late, bend=bend)] * 2) + rng.normal(0, noise, centers.shape)
    wrong = rng.random(len(positions)) < outliers
    positions[wrong] += 30.0
    apart = positions - centers
    apart -= apart[~wrong].mean(0)  # as the fit to the positions leaves it
    apart += np.cross([0, 0, np.radians(turn)], centers - centers.mean(0))
    stamps = np.tile(((SECONDS + 1e9) * 1e9).astype(np.int64), 2)
    return clock_offset(["a"] * len(SECONDS) + ["b"] * len(SECONDS), stamps, centers, apart, np.full(len(apart), noise))


@pytest.mark.parametrize("late", [-2.0, 0.6])
@pytest.mark.parametrize("outliers", [0.0, 0.1])
def test_the_offset_is_found_and_said_with_its_sign(late, outliers):
    offset = found(late, outliers=outliers, turn=0.5)
    # Positions that were taken later than they say lie ahead; their stamps must grow.
    assert offset.seconds == pytest.approx(late, abs=0.1)
    assert offset.after < 0.5 * offset.before
    findings = Findings()
    offset.tell(findings)
    (finding,) = findings.list()
    assert finding.kind == CLOCK_OFF
    assert f"{offset.seconds:+.2f} s" in finding.text


@pytest.mark.parametrize(("late", "bend"), [(0.0, True), (2.0, False), (0.0, False)])
def test_none_is_found_where_there_is_none_or_where_a_shift_explains_as_much(late, bend):
    assert found(late, bend=bend) is None


def test_images_without_a_time_tell_nothing():
    centers = way(SECONDS, bend=True)
    nothing = clock_offset(
        ["a"] * len(SECONDS), np.zeros(len(SECONDS), np.int64), centers, centers * 0.1, np.ones(len(SECONDS))
    )
    assert nothing is None
