"""Drives of four outward cameras that positions hold in place: with and without mounts, with wrong fixes and wrong mounts."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
from helpers_outward_cameras import OutwardDrive, given_mounts

from seg2d3d_ros.reconstruction.anchored.anchored_solution import AnchoredSolution
from seg2d3d_ros.reconstruction.batch import components
from seg2d3d_ros.reconstruction.batch.mappers import MapperTask
from seg2d3d_ros.reconstruction.calibration.self_calibration import CALIBRATION_DOUBTED
from seg2d3d_ros.reconstruction.rigs.mount_change import MOUNTS_CORRECTED
from seg2d3d_ros.reconstruction.rigs.rig_adjustment import MOUNTS_NOT_USED

ALL = SimpleNamespace(holds=lambda ids: True, fixed=False, rig=None, attitudes={})
"""An anchor that holds whatever images there are."""
KNOWN_OR_FOUND = pytest.mark.parametrize("mounts", [given_mounts(), None], ids=["mounts given", "mounts found"])


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return OutwardDrive(tmp_path_factory.mktemp("drive") / "database.db")


@pytest.fixture(scope="module")
def solved(drive):
    """With good positions and no mounts given."""
    return drive.solve(drive.positions()[0])


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def kinds(answer):
    return {finding.kind for finding in answer.findings}


@pytest.mark.parametrize("given", [True, False], ids=["mounts given", "mounts found"])
def test_every_image_is_where_its_position_says(drive, solved, given):
    answer = drive.solve(drive.positions()[0], mounts=given_mounts()) if given else solved
    assert answer.model.num_reg_images() == len(drive.rows)
    assert answer.model.num_frames() == len(drive.rows), "images are frames of their own again"
    assert rms(drive.offsets(answer.model)) < 0.03
    assert answer.support > 0.95
    assert answer.sure
    assert answer.findings == []


def test_positions_of_an_antenna_are_taken_for_those_of_an_antenna(drive):
    """It is a metre and a half behind the cameras, which a bend turns along."""
    mounts, antenna = given_mounts(), np.array([-1.5, 0.3, 0.5])
    levers = {row.image_id: mounts[row.camera_name].inverse().apply(antenna[None])[0] for row in drive.rows}
    measured = {i: pose.inverse().apply(levers[i][None])[0] for i, pose in drive.truth.items()}
    answer = drive.solve(measured, mounts=mounts, levers=levers)
    centers = np.array([answer.model.image(i).projection_center() for i in sorted(drive.truth)])
    assert rms(np.linalg.norm(centers - [drive.truth[i].origin for i in sorted(drive.truth)], axis=1)) < 0.05


@pytest.mark.parametrize(("mounts", "claimed"), [(given_mounts(), 3.0), (None, 3.0), (given_mounts(), 0.05)])
def test_poor_positions_and_outliers_do_not_bend_the_street(drive, mounts, claimed):
    """Three metres of noise, and a tenth 30 m off; also where they claim to be good to 5 cm."""
    positions, _ = drive.positions(noise=3.0, outliers=0.1)
    answer = drive.solve(positions, claimed=claimed, mounts=mounts)
    assert answer.model.num_reg_images() == len(drive.rows)
    assert rms(drive.offsets(answer.model, scaled=True)) < 0.05
    centers = np.array([answer.model.image(i).projection_center() for i in sorted(drive.truth)])
    off = centers - np.array([drive.truth[i].origin for i in sorted(drive.truth)])
    assert rms(np.linalg.norm(off, axis=1)) < 2.0, "it is where most of the positions are"
    assert answer.sure == (claimed == 3.0), "a solution whose positions are worse than they claim is compared with others"


def test_positions_of_one_camera_place_all(drive):
    front = {i: position for i, position in drive.positions()[0].items() if i % 10 == 1}
    answer = drive.solve(front, mounts=given_mounts())
    assert answer.model.num_reg_images() == len(drive.rows)
    assert rms(drive.offsets(answer.model)) < 0.1


@pytest.mark.parametrize("wrong", ["turned", "swapped"])
def test_mounts_that_the_images_contradict_are_told_and_not_used(drive, wrong):
    mounts = given_mounts(left=10.0)
    if wrong == "swapped":
        mounts = given_mounts()
        mounts["left"], mounts["right"] = mounts["right"], mounts["left"]
    answer = drive.solve(drive.positions()[0], mounts=mounts)
    assert kinds(answer) == {MOUNTS_NOT_USED}
    assert rms(drive.offsets(answer.model)) < 0.03
    assert answer.model.num_reg_images() == len(drive.rows)


def test_a_mount_that_is_a_little_wrong_is_corrected_and_told(drive):
    answer = drive.solve(drive.positions()[0], mounts=given_mounts(left=1.0))
    (finding,) = answer.findings
    assert finding.kind == MOUNTS_CORRECTED
    assert finding.examples[0].startswith(("left by 0.9", "left by 1.0"))
    assert rms(drive.offsets(answer.model)) < 0.03


@KNOWN_OR_FOUND
def test_parts_that_share_no_points_lie_in_one_frame(tmp_path, mounts):
    drive = OutwardDrive(tmp_path / "database.db", gap=6)
    answer = drive.solve(drive.positions()[0], mounts=mounts)
    assert answer.model.num_reg_images() == len(drive.rows)
    assert rms(drive.offsets(answer.model)) < 0.06


@KNOWN_OR_FOUND
def test_places_that_look_alike_join_nothing(tmp_path, mounts):
    drive = OutwardDrive(tmp_path / "database.db", doppelgangers=8, seed=3)
    answer = drive.solve(drive.positions()[0], mounts=mounts)
    assert answer.model.num_reg_images() == len(drive.rows)
    assert rms(drive.offsets(answer.model)) < 0.03
    assert answer.support < 0.994, "the false pairs count against it"


def test_images_of_one_moment_are_told_by_their_names(tmp_path):
    drive = OutwardDrive(tmp_path / "database.db", stamps=False)
    assert rms(drive.offsets(drive.solve(drive.positions()[0]).model)) < 0.03


@pytest.mark.parametrize("focal", [250.0, 650.0])
def test_a_camera_with_a_wrong_focal_length_is_named(tmp_path, focal):
    """Calibrated as 400 pixels are three of them, rightly; the left one (the second) is not."""
    drive = OutwardDrive(tmp_path / "database.db", focals={2: focal})
    (finding,) = [f for f in drive.solve(drive.positions()[0]).findings if f.kind == CALIBRATION_DOUBTED]
    assert (finding.count, finding.of) == (1, 4)
    assert finding.examples == ("left",)
    assert f"left: focal length {'+' if focal < 400.0 else '-'}" in finding.text


def test_without_enough_positions_there_is_no_such_solution(drive):
    positions, _ = drive.positions()
    assert drive.solve(dict(list(positions.items())[:5])) is None
    assert drive.solve(positions, claimed=100.0) is None, "positions that err more than they spread say nothing"


@pytest.mark.parametrize("sure", [True, False])
def test_a_solution_that_may_be_wrong_is_compared_with_one_that_nothing_holds(drive, solved, monkeypatch, sure):
    """The rival is taken where it confirms clearly more matches; a sure solution is not compared at all."""
    answer, asked, wrong = solved, [], copy.deepcopy(solved.model)
    for image_id in sorted(wrong.reg_image_ids())[::2]:
        wrong.deregister_frame(wrong.image(image_id).frame_id)
    held = AnchoredSolution(answer.model if sure else wrong, answer.relative, 1.0, [])
    monkeypatch.setattr(components, "solve_anchored", lambda *_, **__: held)
    others = lambda task, ids, *_: asked.append(len(ids)) or [answer.model][: len(ids)]  # noqa: E731
    monkeypatch.setattr(components, "solve_components", others)
    task = MapperTask(drive.path, {}, {}, {}, 15, 0, 1, anchor=ALL)
    ids = [row.image_id for row in drive.rows]
    found = components.solve_images(task, ids, drive.pairs, "auto")
    assert [model.anchored for model in found] == [sure]
    assert found[0].model is answer.model
    assert asked == ([0] if sure else [len(ids)])


@pytest.mark.parametrize("wrong", ["matches", "positions"])
def test_where_positions_cannot_hold_anything_the_ordinary_mappers_are_asked(drive, monkeypatch, caplog, wrong):
    """Positions that lie kilometres from each other at random, and an error of COLMAP's."""
    if wrong == "positions":
        rng = np.random.default_rng(0)
        answer = drive.solve({i: 1e4 * rng.normal(size=3) for i in drive.truth}, claimed=0.05)
        assert answer is None or not answer.sure
        return

    def fail(*_, **__):
        raise RuntimeError("no solution")

    monkeypatch.setattr(components, "solve_anchored", fail)
    monkeypatch.setattr(components, "solve_components", lambda *_: ["ordinary"])
    task = MapperTask(drive.path, {}, {}, {}, 15, 0, 1, anchor=ALL)
    (found,) = components.solve_images(task, [1, 2, 3], drive.pairs, "auto")
    assert (found.model, found.anchored) == ("ordinary", False)
    assert "positions cannot hold the map in place (no solution)" in caplog.text


def test_a_focal_length_that_strayed_goes_back_in_a_held_model_too(drive, solved, monkeypatch):
    """It came with the images and was refined; the motion has led it astray."""
    model = copy.deepcopy(solved.model)
    model.camera(1).focal_length_x = model.camera(1).focal_length_y = 600.0
    held = SimpleNamespace(model=model, sure=True, findings=[], refused=frozenset(), settled=False)
    monkeypatch.setattr(components, "solve_anchored", lambda *_, **__: held)
    monkeypatch.setattr(components, "solve_components", lambda *_: [])
    known = {1: tuple(solved.model.camera(1).params)}
    holds = ALL
    task = MapperTask(drive.path, {}, {}, {}, 15, 0, 1, known_focals=known, anchor=holds)
    (found,) = components.solve_images(task, [row.image_id for row in drive.rows], drive.pairs, "auto")
    assert tuple(found.model.camera(1).params) == known[1]
