"""The vertical of a world frame: on streets seen forward, sideways and all around, flat and hilly, with an honest sigma."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers_maps import two_houses
from helpers_street_cameras import AROUND, COURT, FLAT, FORWARD, HILLS, SIDES, SLOPE, T, drive

from seg2d3d_ros.association.solve import stacked_up
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.up import UNKNOWN, Z, up_of_cameras
from seg2d3d_ros.types import WorldFrame


@pytest.mark.parametrize("pitch", [-10.0, 0.0, 10.0])
@pytest.mark.parametrize(
    ("path", "yaws", "degrees"),
    [
        pytest.param(FLAT, FORWARD, 3.0, id="forward"),
        pytest.param(FLAT, SIDES, 3.0, id="sides"),
        pytest.param(FLAT, AROUND, 1.0, id="around"),
        pytest.param(COURT, FORWARD, 1.0, id="court"),
        pytest.param(COURT, SIDES, 1.0, id="court-sides"),
        pytest.param(HILLS, FORWARD, 3.0, id="hills"),
        pytest.param(HILLS, AROUND, 3.0, id="hills-around"),
        pytest.param(SLOPE, AROUND, 6.5, id="slope-around"),  # the vehicle tilts by 5.7° with the road: cameras cannot know
        pytest.param(SLOPE, FORWARD, 9.0, id="slope"),
    ],
)
def test_up_is_found_within_its_own_uncertainty(path, yaws, pitch, degrees):
    for seed in range(5):
        poses, truth = drive(path, yaws, pitch, seed)
        up = up_of_cameras(poses)
        error = np.arccos(np.clip(up.direction @ truth, -1, 1))
        assert np.degrees(error) < degrees
        assert np.linalg.norm(up.direction) == pytest.approx(1)
        if path is not SLOPE:
            assert error < 1.5 * up.sigma
        assert np.degrees(up.sigma) < (9.5 if yaws is SIDES and path is not COURT else 5.0)  # there the pitch says all


def test_a_street_seen_forward_leaves_the_pitch_open_and_says_so():
    poses, _ = drive(FLAT, FORWARD, 0.0, 1)
    up = up_of_cameras(poses)
    ahead = poses.rotation[:, 2].mean(axis=0)
    across = np.cross(up.direction, ahead / np.linalg.norm(ahead))
    tilt = np.deg2rad(1.0)
    pitched = np.cos(tilt) * up.direction + np.sin(tilt) * ahead
    rolled = np.cos(tilt) * up.direction + np.sin(tilt) * across
    assert np.linalg.norm(up.residuals(rolled)) > 1.5 * np.linalg.norm(up.residuals(pitched))
    assert np.linalg.norm(up.residuals(up.direction)) < 1e-6
    around = up_of_cameras(drive(FLAT, AROUND, 0.0, 1)[0])
    assert around.sigma < 0.7 * up.sigma


def test_a_drone_that_climbs_is_not_laid_on_its_side():
    climb = np.column_stack([0 * T, 0 * T, 60 * T])
    poses, truth = drive(np.column_stack([0.1 * T, 0 * T, 0 * T]), [0.0, 90.0, 180.0, 270.0], 0.0, 2)
    lifted = Pose(poses.rotation, poses.translation - np.einsum("kij,kj->ki", poses.rotation, np.outer(climb[:, 2], truth)))
    assert up_of_cameras(lifted).direction @ truth > np.cos(np.deg2rad(2.0))


def test_without_poses_nothing_is_known():
    assert up_of_cameras(Pose.stack([])) is UNKNOWN
    assert up_of_cameras(Pose.from_matrix(np.full((3, 4, 4), np.nan))) is UNKNOWN
    assert UNKNOWN.sigma == float("inf")
    np.testing.assert_array_equal(UNKNOWN.residuals(np.array([1.0, 0, 0])), np.zeros(3))


def test_a_georeferenced_model_knows_its_vertical():
    model, _ = two_houses()
    enu = replace(model, frame=WorldFrame("enu", (52.0, 13.0, 40.0)))
    np.testing.assert_array_equal(enu.up.direction, Z)
    assert enu.up.sigma < 1e-5
    np.testing.assert_array_equal(
        replace(model, camera_from_world=np.full(model.camera_from_world.shape, np.nan)).up.direction, Z
    )
    count = len(model.point_ids)
    assert stacked_up([model, enu]).shape == (2 * count, 3)
    np.testing.assert_allclose(stacked_up([model, enu])[0], model.up.direction, atol=1e-6)
    np.testing.assert_allclose(stacked_up([model, enu])[count], Z)
    assert stacked_up([]).shape == (0, 3)
