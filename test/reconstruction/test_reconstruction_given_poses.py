"""Poses that images were given: as evidence beside the images, as they are, misread, of other images, and turned."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_outward_cameras import OutwardDrive, given_mounts
from scipy.spatial.transform import Rotation

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.attitude import FLU_FROM_CAMERA, enu_from_vehicle, vehicle_angles
from seg2d3d_ros.geometry.given_pose import GivenPose
from seg2d3d_ros.reconstruction.anchored.attitudes import (
    POSES_CONTRADICTED,
    POSES_TURNED,
    POSES_UNCONFIRMED,
    POSES_UNUSED,
    believed_attitudes,
)
from seg2d3d_ros.reconstruction.anchored.loading import load_images
from seg2d3d_ros.reconstruction.batch import components
from seg2d3d_ros.reconstruction.batch.mappers import MapperTask

ALONE = (31, 32, 33, 34, 62)
"""Ids of all images of the third moment, and of one of the sixth."""


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return OutwardDrive(tmp_path_factory.mktemp("drive") / "database.db", moments=8, alone=ALONE)


@pytest.fixture(scope="module")
def relative(drive):
    return load_images(drive.path, drive.pairs, list(drive.truth), 15, ())[1]


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def as_given(attitudes, meaning="optical, of the camera"):
    return {image_id: {meaning: turn} for image_id, turn in attitudes.items()}


def kinds(answer):
    return {finding.kind for finding in answer.findings}


@pytest.mark.parametrize("mounts", [given_mounts(), None], ids=["mounts given", "mounts found"])
def test_images_without_a_match_are_where_their_poses_say(drive, mounts):
    positions, _ = drive.positions()
    without = drive.solve(positions, mounts=mounts)
    assert without.model.num_reg_images() < len(drive.rows)
    answer = drive.solve(positions, mounts=mounts, attitudes=as_given(drive.attitudes()))
    assert answer.model.num_reg_images() == len(drive.rows)
    assert rms(drive.offsets(answer.model)) < 0.04
    assert max(drive.turns(answer.model).values()) < 0.6
    assert answer.findings == []


def test_fixed_poses_stay_as_they_are_and_get_points(drive):
    positions, attitudes = {i: pose.origin for i, pose in drive.truth.items()}, drive.attitudes(noise=0.0)
    answer = drive.solve(positions, attitudes=as_given(attitudes), fixed=True)
    assert answer.model.num_reg_images() == len(drive.rows)
    for image_id, pose in drive.truth.items():
        np.testing.assert_allclose(answer.model.image(image_id).cam_from_world().matrix(), pose.matrix[:3], atol=1e-9)
    assert answer.model.num_points3D() > 300
    assert answer.support > 0.95
    assert answer.findings == []


@pytest.mark.parametrize("convention", ["ned", "enu"])
@pytest.mark.parametrize("body", ["camera", "vehicle"])
@pytest.mark.parametrize("fixed", [False, True])
def test_the_images_tell_what_three_angles_mean(drive, relative, convention, body, fixed):
    """A file says neither whose angles they are nor how they count."""
    mounts, attitudes = given_mounts(), {}
    for row in drive.rows:
        axes = FLU_FROM_CAMERA if body == "camera" else mounts[row.camera_name].rotation
        angles = vehicle_angles(drive.attitudes()[row.image_id] @ axes.T, convention)
        written = GivenPose(enu_from_vehicle(angles, "ned"), None, "angles", "auto", 0.05, 0.01)
        attitudes[row.image_id] = written.readings(mounts[row.camera_name])
    anchor, findings = drive.anchor(drive.positions()[0], mounts=mounts, attitudes=attitudes, fixed=fixed), Findings()
    given, better = believed_attitudes(anchor, relative, {}, anchor.camera_names, findings)
    assert better
    assert findings.list() == []
    off = [Rotation.from_matrix(turn @ drive.truth[i].rotation.T).magnitude() for i, turn in given.items()]
    assert len(off) == len(drive.rows)
    assert np.degrees(max(off)) < 0.6


def test_poses_of_other_images_are_not_used_and_said(drive):
    turns = drive.attitudes()
    ids = sorted(turns)
    shuffled = dict(zip(ids, (turns[i] for i in np.random.default_rng(5).permutation(ids).tolist()), strict=True))
    answer = drive.solve(drive.positions()[0], attitudes=as_given(shuffled))
    assert kinds(answer) == {POSES_CONTRADICTED}
    assert answer.model.num_reg_images() == len(drive.rows) - len(ALONE)
    assert not answer.settled
    assert rms(drive.offsets(answer.model)) < 0.04


def test_a_single_wrong_pose_is_named_and_the_image_is_right(drive):
    turns = drive.attitudes()
    turns[51], turns[73] = turns[73], turns[51]
    answer = drive.solve(drive.positions()[0], attitudes=as_given(turns))
    (finding,) = answer.findings
    assert (finding.kind, finding.count, finding.of) == (POSES_CONTRADICTED, 2, len(drive.rows))
    assert set(finding.examples) == {"front", "rear"}
    assert drive.turns(answer.model)[51] < 1.0


def test_a_camera_whose_mount_is_another_is_named_and_right(drive):
    answer = drive.solve(drive.positions()[0], attitudes=as_given(drive.attitudes(left=90.0)))
    (finding,) = answer.findings
    assert (finding.kind, finding.examples) == (POSES_TURNED, ("left",))
    assert "90°" in finding.text
    assert answer.model.num_reg_images() == len(drive.rows)
    assert max(drive.turns(answer.model).values()) < 1.5


def test_fixed_poses_that_the_images_contradict_are_kept_and_said(drive):
    positions = {i: pose.origin for i, pose in drive.truth.items()}
    answer = drive.solve(positions, attitudes=as_given(drive.attitudes(noise=12.0)), fixed=True)
    assert kinds(answer) == {POSES_CONTRADICTED, POSES_UNCONFIRMED}
    assert answer.model.num_reg_images() == len(drive.rows)


def test_fixed_places_that_the_images_contradict_are_kept_and_said(drive):
    """Rotations alone would not tell."""
    rng = np.random.default_rng(3)
    positions = {i: pose.origin + rng.normal(0, 2.0, 3) for i, pose in drive.truth.items()}
    answer = drive.solve(positions, attitudes=as_given(drive.attitudes(noise=0.0)), fixed=True)
    (finding,) = answer.findings
    assert finding.kind == POSES_UNCONFIRMED
    assert finding.count > 0.5 * finding.of
    assert answer.model.num_reg_images() == len(drive.rows)


@pytest.mark.parametrize("fixed", [True, False])
def test_poses_that_cannot_hold_the_map_are_said_to_be_unused(drive, monkeypatch, fixed):
    """Three images have one, without a place where poses are fixed."""
    ids = sorted(drive.truth)
    turns = as_given({i: turn for i, turn in drive.attitudes().items() if i in ids[:3]})
    places = {} if fixed else {i: drive.truth[i].origin for i in ids[:3]}
    anchor = drive.anchor(places, attitudes=turns, fixed=fixed)
    monkeypatch.setattr(components, "solve_components", lambda *_: ["a model", "another"])
    task = MapperTask(drive.path, {}, {}, {}, 15, 0, 1, anchor=anchor)
    first, second = components.solve_images(task, ids, drive.pairs, "auto")
    (finding,) = first.findings
    assert (finding.kind, finding.count, finding.of) == (POSES_UNUSED, 3, len(ids))
    assert "too few" in finding.text
    assert not second.findings
