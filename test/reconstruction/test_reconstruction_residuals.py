"""How far images lie from their positions, and what is said about it."""

from __future__ import annotations

import numpy as np
import pytest

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.reconstruction.world.position_residuals import MAP_CONTRADICTED, POSITIONS_OFF, position_residuals


def residuals(offsets, sigma=0.1, heights=True, cameras=None):
    names = [f"image{k}" for k in range(len(offsets))]
    centers = dict(zip(names, np.array(offsets, float), strict=True))
    positions = {name: np.zeros(3) for name in [*names, "not registered"]}
    return position_residuals(
        centers,
        dict(zip(names, cameras or ["front"] * len(names), strict=True)),
        positions,
        dict.fromkeys(positions, sigma),
        set(names) if heights else set(),
        dict.fromkeys(names, 0),
    )


def told(found):
    findings = Findings()
    found.tell(findings)
    return {finding.kind: finding for finding in findings.list()}


NOISE = np.random.default_rng(0).normal(0, 0.1, (40, 3))


def test_positions_that_fit_what_they_claim_are_fine():
    found = residuals(NOISE)
    assert found.scatter == pytest.approx(1.0, abs=0.2)
    assert told(found) == {}
    assert found.to_json()["images"] == 40


def test_a_map_that_its_positions_contradict_is_told_with_the_worst_camera():
    finding = told(residuals(np.vstack([NOISE * 8, NOISE[:20] * 25]), cameras=["front"] * 40 + ["rear"] * 20))[MAP_CONTRADICTED]
    assert finding.of == 60
    assert finding.count > 55
    assert "which claim 0.17 m" in finding.text
    assert "camera rear" in finding.text
    assert POSITIONS_OFF not in told(residuals(NOISE * 8))


def test_single_positions_that_are_off_are_named_with_the_distance():
    offsets = NOISE.copy()
    offsets[7] += [30.0, 0.0, 0.0]
    finding = told(residuals(offsets))[POSITIONS_OFF]
    assert (finding.count, finding.of) == (1, 40)
    assert finding.examples[0].startswith("image7 by 3")
    assert residuals(offsets).to_json()["rms"] < 0.3, "it does not count in the map's error"


def test_unknown_heights_say_nothing():
    offsets = NOISE + [0.0, 0.0, 50.0]
    assert told(residuals(offsets, heights=False)) == {}
    assert MAP_CONTRADICTED in told(residuals(offsets))


def test_nothing_is_known_of_a_map_without_positions():
    assert told(residuals(np.zeros((0, 3)))) == {}
