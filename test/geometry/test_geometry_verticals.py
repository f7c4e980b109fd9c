"""Which way up cameras were: on their side, on their head, in a mixture, told or not, on streets straight and bent."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_street_cameras import AROUND, FLAT, FORWARD, SIDES, drive
from scipy.spatial.transform import Rotation

from seg2d3d_ros.geometry.attitude import FLU_FROM_CAMERA
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.up import UNKNOWN, up_of_cameras
from seg2d3d_ros.geometry.vertical.camera_up import (
    EXIF,
    IMU,
    MOUNT,
    QUARTERS,
    UNTOLD,
    CameraUp,
    held_as,
    quarter_turns,
)
from seg2d3d_ros.geometry.vertical.verticals import EVIDENCE, verticals

T = np.linspace(0, 1, 30)
BEND = np.column_stack([60 * np.sin(1.5 * T), 60 * (1 - np.cos(1.5 * T)), 0.5 * T])
"""A street that turns left by 86 degrees."""
STORED = {0: 1, 1: 8, 2: 3, 3: 6}
"""Quarter turns of the camera -> EXIF orientation of its pictures as they are stored."""


def rolled(cameras, turns):
    """The cameras (K,) turned about their viewing axes by quarters (K,)."""
    roll = QUARTERS[np.broadcast_to(turns, len(cameras.rotation))]
    return Pose(roll @ cameras.rotation, np.einsum("kij,kj->ki", roll, cameras.translation))


def degrees_off(up, truth):
    return np.degrees(np.arccos(np.clip(up.direction @ truth, -1, 1)))


def tagged(turns):
    return [held_as(CameraUp.of_exif(STORED[int(turn)]), None) for turn in turns]


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
@pytest.mark.parametrize(("path", "yaws"), [(FLAT, FORWARD), (FLAT, SIDES), (BEND, FORWARD), (BEND, AROUND)])
def test_orientation_tags_tell_the_quarter(path, yaws, turn):
    cameras, truth = drive(path, yaws, 0.0, seed=1)
    best, *others = verticals(rolled(cameras, turn), tagged([turn] * 30))
    assert degrees_off(best, truth) < 6.0
    assert degrees_off(best, up_of_cameras(cameras).direction) < 1e-6, "as of upright cameras"
    if turn:
        assert min(up.against for up in others) - best.against >= 2 * EVIDENCE, "and that is not an assumption"


def test_a_folder_of_portrait_and_landscape_photographs_is_upright():
    cameras, truth = drive(BEND, AROUND, 0.0, seed=2)
    turns = np.random.default_rng(0).integers(0, 4, 30)
    assert degrees_off(verticals(rolled(cameras, turns), tagged(turns))[0], truth) < 2.0
    assert degrees_off(verticals(rolled(cameras, turns), [UNTOLD] * 30)[0], truth) > 30.0, "else the tags were not needed"


@pytest.mark.parametrize("path", [FLAT, BEND])
def test_a_few_images_with_wrong_tags_or_none_follow_the_others(path):
    cameras, truth = drive(path, AROUND, 0.0, seed=3)
    turns = np.where(np.arange(30) % 4 == 0, 3, 0)
    for held in ([UNTOLD] * 30, tagged(np.where(np.arange(30) % 4 == 1, 2, turns))):
        best = verticals(rolled(cameras, turns), held)[0]
        assert degrees_off(best, truth) < 2.0
    assert degrees_off(up_of_cameras(rolled(cameras, turns)), truth) > 2.5, "the mean of all is not the vertical"


@pytest.mark.parametrize("turn", [1, 3])
@pytest.mark.parametrize(("path", "yaws"), [(BEND, FORWARD), (BEND, AROUND), (FLAT, SIDES), (FLAT, AROUND)])
def test_how_cameras_move_tells_that_they_lie_on_their_side(path, yaws, turn):
    """They turn right and left and travel level; which side is up nothing tells, and that is said."""
    cameras, truth = drive(path, yaws, 0.0, seed=4)
    best, second, *_ = verticals(rolled(cameras, turn), [UNTOLD] * 30)
    assert min(degrees_off(best, truth), degrees_off(best, -truth)) < 10.0
    assert min(degrees_off(second, truth), degrees_off(second, -truth)) < 10.0
    assert abs(best.against - second.against) < EVIDENCE


def test_upright_cameras_are_not_laid_on_their_side():
    for path in (FLAT, BEND):
        for yaws in (FORWARD, SIDES, AROUND):
            for seed in range(5):
                cameras, truth = drive(path, yaws, 10.0 * (seed - 2), seed, roll=4.0)
                assert degrees_off(verticals(cameras, [UNTOLD] * 30)[0], truth) < 12.0


@pytest.mark.parametrize("turn", [90.0, 180.0, -90.0])
def test_a_mount_tells_any_roll_unless_it_is_the_body_s_frame(turn):
    cameras, truth = drive(FLAT, FORWARD, 0.0, seed=3)
    roll = Rotation.from_euler("z", turn, degrees=True).as_matrix()
    turned = Pose(roll @ cameras.rotation, np.einsum("ij,kj->ki", roll, cameras.translation))
    held = held_as(CameraUp.of_exif(3), Pose((roll @ FLU_FROM_CAMERA.T).T, np.zeros(3)))
    assert held.source == MOUNT, "and not the tag"
    assert degrees_off(verticals(turned, [held] * 30)[0], truth) < 5.0
    assert held_as(None, Pose.identity()) is UNTOLD


def test_a_measured_vertical_counts_by_its_uncertainty():
    """An accelerometer tells the pitch of a camera that looks down a straight street, which its rows cannot."""
    cameras, truth = drive(FLAT, FORWARD, 15.0, seed=5)
    here = cameras.rotation @ truth
    held = [held_as(CameraUp(tuple(up), np.deg2rad(1.0), IMU), None) for up in here]
    assert {h.source for h in held} == {IMU}
    assert degrees_off(up_of_cameras(cameras), truth) > 2.0
    best, *others = verticals(cameras, held)
    assert degrees_off(best, truth) < 0.3
    assert np.degrees(best.sigma) < 1.0
    assert min(up.against for up in others) > 5 * EVIDENCE
    sideways = rolled(cameras, 1)
    held = [held_as(CameraUp(tuple(up), np.deg2rad(1.0), IMU), None) for up in sideways.rotation @ truth]
    assert degrees_off(verticals(sideways, held)[0], truth) < 0.3


def test_without_cameras_nothing_is_known():
    assert verticals(Pose.stack([]), []) == [UNKNOWN]
    assert verticals(Pose.from_matrix(np.full((2, 4, 4), np.nan)), [UNTOLD] * 2) == [UNKNOWN]
    down = np.diag([1.0, -1.0, -1.0])  # looks along -z of the world, like all of these
    straight_down = Pose(np.array([down] * 4), np.zeros((4, 3)))
    assert quarter_turns(straight_down.rotation, np.array([0.0, 0, 1])).tolist() == [0] * 4, "cannot be told"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientations_name_the_top_of_the_picture(orientation):
    """Of a picture with a bright top edge, stored so that a viewer shows it upright."""
    from PIL import Image, ImageOps

    stored = np.zeros((5, 5), np.uint8)
    up = CameraUp.of_exif(orientation)
    x, y = (0, -1) if up is None else (int(up.direction[0]), int(up.direction[1]))
    stored[2 + 2 * y, 2 + 2 * x] = 255
    picture = Image.fromarray(stored)
    picture.getexif()[0x0112] = orientation
    assert np.asarray(ImageOps.exif_transpose(picture))[0, 2] == 255
    assert (up is None) == (orientation == 1)
    assert up is None or up.source == EXIF
