"""Mounted cameras: frames of one moment, models joined and scaled by mounts, and mounts that are wrong."""

from __future__ import annotations

import copy
import types

import numpy as np
import pytest
from helpers_rigs import (
    MOUNTS,
    SECOND,
    STOPS,
    Drive,
    applied,
    errors,
    mount,
    rig_of,
    taken,
    turned,
)
from scipy.spatial.transform import Rotation

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.reconstruction.adjustment import robust_error
from seg2d3d_ros.reconstruction.rigs.mount_change import MOUNTS_CORRECTED
from seg2d3d_ros.reconstruction.rigs.rig_adjustment import MOUNTS_NOT_HELD, MOUNTS_NOT_USED, hold_mounts
from seg2d3d_ros.reconstruction.rigs.rig_fit import fit_by_rig, merge_by_rig, rotation_offset, scale_by_rig
from seg2d3d_ros.reconstruction.rigs.rig_frames import make_rig, to_rig_frames, to_single_frames
from seg2d3d_ros.reconstruction.world.position_priors import adjust_with_positions

pycolmap = pytest.importorskip("pycolmap")


class TestFrames:
    def test_images_of_one_moment_are_one_frame(self):
        late = taken(3, "left", 2 * SECOND + 6_000_000)
        rows = [
            taken(1, "left", SECOND),
            taken(2, "right", SECOND + 4_000_000),
            late,
            taken(4, "right", 2 * SECOND),
        ]
        rig = make_rig(MOUNTS, rows, 0.005, refine=False)
        assert [[r.image_id for r in frame] for frame in rig.frames] == [[1, 2], [4], [3]]

    def test_a_camera_is_in_a_frame_once(self):
        rows = [taken(1, "left", SECOND), taken(2, "left", SECOND + 1, "b"), taken(3, "right", SECOND + 2)]
        assert [len(f) for f in make_rig(MOUNTS, rows, 0.005, refine=False).frames] == [1, 2]
        late = [taken(1, "left", SECOND), taken(2, "right", 2 * SECOND)]
        assert make_rig(MOUNTS, late, 0.005, refine=False) is None

    def test_cameras_without_mount_are_no_part(self):
        assert make_rig({"left": mount("left")}, [taken(1, "left", 1), taken(2, "right", 1)], 0.005, refine=False) is None


class TestRigFrames:
    def test_there_and_back_changes_nothing(self):
        drive = Drive()
        (model,) = drive.models([("left", "right")])
        before = {i: model.image(i).cam_from_world().matrix() for i in model.reg_image_ids()}
        single = to_rig_frames(model, rig_of(drive))
        assert (model.num_reg_frames(), model.num_reg_images()) == (STOPS, 2 * STOPS)
        to_single_frames(model, single, keep=set(before))
        assert model.num_reg_frames() == 2 * STOPS
        for i, pose in before.items():
            np.testing.assert_allclose(model.image(i).cam_from_world().matrix(), pose, atol=1e-9)

    def test_an_image_that_waits_gets_its_pose_by_the_mount_only_if_wanted(self):
        drive = Drive()
        (model,) = drive.models([("left", "right")])
        waits = drive.rows[3]
        truth = model.image(waits.image_id).cam_from_world().matrix()
        model.deregister_frame(model.image(waits.image_id).frame_id)
        registered = set(model.reg_image_ids())
        for keep in (registered | {waits.image_id}, registered):
            single = to_rig_frames(model, rig_of(drive))
            np.testing.assert_allclose(model.image(waits.image_id).cam_from_world().matrix(), truth, atol=1e-9)
            to_single_frames(model, single, keep=keep)
            assert set(model.reg_image_ids()) == keep

    def test_an_image_that_is_not_kept_sees_no_point_any_more(self):
        """Else the model's points name an image that it does not have."""
        drive = Drive()
        (model,) = drive.models([("left", "right")])
        gone, *kept = sorted(model.reg_image_ids())
        assert model.image(gone).num_points3D
        to_single_frames(model, to_rig_frames(model, rig_of(drive)), keep=kept)
        assert set(model.reg_image_ids()) == set(kept)
        assert model.image(gone).num_points3D == 0
        assert all(e.image_id in kept for point in model.points3D.values() for e in point.track.elements)
        assert all(point.track.length() > 1 for point in model.points3D.values())


class TestFit:
    def test_the_scale_comes_from_cameras_that_share_points(self):
        """.3 pixels of noise, a metre between the cameras: within half a percent."""
        drive = Drive()
        turn = Rotation.from_euler("XYZ", [0.4, 1.0, 2.0]).as_matrix()
        (model,) = drive.models([("left", "right")], move=[(0.25, turn, [3, 4, 5])])
        # The two sides share no points here: whatever the distance is, it was not measured.
        assert scale_by_rig(model, rig_of(drive)) is None
        drive.points = lambda group: np.random.default_rng(1).uniform([-2, 6, -1], [18, 12, 4], (600, 3))
        both = {"left": mount("left"), "right": mount("left", 1.5)}  # both look to the left, a metre apart
        (model,) = drive.models([("left", "right")], mounts=both, move=[(0.25, turn, [3, 4, 5])])
        scale = scale_by_rig(model, rig_of(drive, both))
        assert scale.factor == pytest.approx(4.0, rel=0.005)
        assert 0.003 <= scale.sigma < 0.01, "three millimetres in a metre, and what the keypoints leave open"
        # The images have one camera 0.2 m above where it is said to be: the distance may be wrong by as much.
        wrong = {**both, "right": Pose(both["right"].rotation, both["right"].translation + [0.0, 0.0, 0.2])}
        assert scale_by_rig(model, rig_of(drive, wrong)).sigma == pytest.approx(0.2, rel=0.1)

    def test_two_models_by_their_mounts(self):
        drive = Drive()
        moves = [(1.0, np.eye(3), [0, 0, 0]), (2.5, Rotation.from_rotvec([1, 2, 0.5]).as_matrix(), [7, -3, 1])]
        left, right = drive.models([("left",), ("right",)], move=moves)
        found = fit_by_rig(right, left, rig_of(drive), 1.0)
        assert found.scale == pytest.approx(1 / 2.5, rel=1e-3)
        np.testing.assert_allclose(found.rotation, moves[1][1].T, atol=1e-6)
        moved = found.apply(np.array([right.image(r.image_id).projection_center() for r in drive.rows[1::2]]))
        truth = np.array([drive.truth(r).origin for r in drive.rows[1::2]])
        np.testing.assert_allclose(moved, truth, atol=0.01)
        beside = fit_by_rig(right, left, rig_of(drive), None)
        moved = beside.apply(np.array([right.image(r.image_id).projection_center() for r in drive.rows[1::2]]))
        left_places = np.array([drive.truth(r).origin for r in drive.rows[::2]])
        np.testing.assert_allclose(moved, left_places, atol=0.2)  # without a scale both cameras are in one place

    def test_where_too_many_frames_contradict_each_other_nothing_is_merged(self):
        drive = Drive()
        left, right = drive.models([("left",), ("right",)])
        assert fit_by_rig(right, left, rig_of(drive), 1.0) is not None
        for k, row in enumerate(drive.rows[1::2]):
            if k < 3:  # of eight
                pose = Pose.from_colmap(right.image(row.image_id).cam_from_world())
                right.frame(row.image_id).rig_from_world = turned(pose.inverse(), "y", 10).inverse().to_colmap()
        assert fit_by_rig(right, left, rig_of(drive), 1.0) is None

    def test_paths_that_are_not_alike_are_not_merged(self):
        """The rotations fit, the way does not: every second image stands two metres off it."""
        drive = Drive()
        left, right = drive.models([("left",), ("right",)])
        for k, row in enumerate(drive.rows[1::2]):
            pose = Pose.from_colmap(right.image(row.image_id).cam_from_world()).inverse()
            moved = Pose(pose.rotation, pose.translation + [0.0, 2.0 * (k % 2), 3.0 * (k % 3 == 0)])
            right.frame(row.image_id).rig_from_world = moved.inverse().to_colmap()
        assert fit_by_rig(right, left, rig_of(drive), 1.0) is None

    def test_models_that_move_differently_are_not_merged(self):
        drive = Drive()
        left, right = drive.models([("left",), ("right",)])
        for i in right.reg_image_ids():
            turned = pycolmap.Rigid3d(pycolmap.Rotation3d(Rotation.from_rotvec([0, 0.01 * i, 0]).as_matrix()), np.zeros(3))
            right.frame(i).rig_from_world = turned * right.frame(i).rig_from_world
        assert fit_by_rig(right, left, rig_of(drive), 1.0) is None

    def test_mounts_that_are_turned_against_the_model_are_measured(self):
        drive = Drive()
        (model,) = drive.models([("left", "right")])
        assert rotation_offset(model, rig_of(drive)) < 0.1
        wrong = {**MOUNTS, "right": turned(MOUNTS["right"], "y", 7)}
        assert rotation_offset(model, rig_of(drive, wrong)) == pytest.approx(7.0, abs=0.1)
        left, _ = drive.models([("left",), ("right",)])
        assert rotation_offset(left, rig_of(drive)) is None


class TestMerge:
    def parts(self, drive):
        """The left camera at the first stops, the right one at all of them, the left one at the last stops."""
        left, right = drive.models([("left",), ("right",)])
        back = copy.deepcopy(left)
        for k in range(STOPS):
            (left if k >= STOPS // 2 else back).deregister_frame(drive.rows[2 * k].image_id)
        return left, right, back

    def test_the_scale_of_the_target_places_the_sources(self):
        drive = Drive()
        left, right, back = self.parts(drive)
        holders = [types.SimpleNamespace(reconstruction=model) for model in (right, left, back)]
        placed = []
        (one,) = merge_by_rig(
            holders,
            rig_of(drive),
            lambda m: 1.0 if m is holders[0] else None,
            lambda target, source, similarity: placed.append(similarity),
        )
        assert (one, len(placed)) == (holders[0], 2)
        for similarity in placed:  # all of them lie in one world already
            np.testing.assert_allclose(similarity.apply(np.zeros((1, 3))), 0.0, atol=0.02)
            assert similarity.scale == pytest.approx(1.0, abs=0.01)

    def test_what_a_model_took_in_connects_it_to_others(self):
        """The two left parts have no moment in common; the one whose scale is known begins."""
        drive = Drive()
        left, right, back = self.parts(drive)
        assert fit_by_rig(back, left, rig_of(drive), 1.0) is None
        merged, *_ = applied([right, left, back], rig_of(drive), drive, lambda m, _: 1.0 if m is left else None)
        assert [m.num_reg_images() for m in merged] == [2 * STOPS]
        assert errors(merged[0], drive)[0].max() < 0.05


class TestApply:
    MOVES = ((0.5, np.eye(3), [1, 2, 3]), (3.0, Rotation.from_rotvec([0.3, 2, 1]).as_matrix(), [9, 9, 9]))

    def test_left_and_right_become_one_metric_model(self):
        """By the scale that GPS or odometry tell: the shape within 2 cm; 14 m of way hardly show the scale, so within 3 %."""
        drive = Drive()
        models = drive.models([("left",), ("right",)], move=self.MOVES)
        merged, scales, warnings = applied(models, rig_of(drive), drive, lambda m, _: 2.0 if m is models[0] else 1 / 3)
        assert [m.num_reg_images() for m in merged] == [2 * STOPS]
        assert (scales, warnings) == ([None], [])
        away, scale = errors(merged[0], drive)
        assert away.max() < 0.02
        assert scale == pytest.approx(1.0, abs=0.03)
        assert rotation_offset(merged[0], rig_of(drive)) < 1e-6

    def test_without_a_scale_they_are_merged_all_the_same(self):
        drive = Drive()
        models = drive.models([("left",), ("right",)], move=self.MOVES)
        merged, scales, _ = applied(models, rig_of(drive), drive, lambda m, _: None)
        assert (len(merged), scales) == (1, [None])
        assert errors(merged[0], drive)[0].max() < 1.2, "but for the metre between the cameras"

    def test_a_model_that_nothing_holds_is_scaled_all_the_same(self):
        drive = Drive()
        left, _ = drive.models([("left",), ("right",)], move=self.MOVES)
        assert errors(left, drive)[1] == pytest.approx(2.0, abs=0.01)
        (scaled,), *_ = applied([left], rig_of(drive), drive, lambda m, _: 2.0)
        assert errors(scaled, drive)[1] == pytest.approx(1.0, abs=0.01)

    def test_what_is_metric_takes_in_what_is_not(self):
        drive = Drive()
        left, right = drive.models([("left",), ("right",)], move=self.MOVES)
        left.deregister_frame(drive.rows[0].image_id)
        (merged,), *_ = applied([right, left], rig_of(drive), drive, lambda m, _: 2.0 if m is left else None)
        assert errors(merged, drive)[1] == pytest.approx(1.0, abs=0.03)

    def test_the_scale_by_the_mounts_is_known_to_who_decides(self):
        drive = Drive()
        drive.points = lambda group: np.random.default_rng(1).uniform([-2, 6, -1], [18, 12, 4], (600, 3))
        both = {"left": mount("left"), "right": mount("left", 1.5)}
        (model,) = drive.models([("left", "right")], mounts=both, move=[(0.25, np.eye(3), [3, 4, 5])])
        (held,), (scale,), _ = applied([model], rig_of(drive, both), drive, lambda m, by_rig: by_rig.factor)
        assert scale.factor == 1.0
        assert errors(held, drive, both)[1] == pytest.approx(1.0, abs=0.005)

    def test_wrong_mounts_are_said_and_not_used(self):
        drive = Drive()
        wrong = {**MOUNTS, "right": turned(MOUNTS["right"], "y", 20)}
        (model,) = drive.models([("left", "right")])
        found, scales, warnings = applied([model], rig_of(drive, wrong), drive, lambda m, _: 1.0)
        assert found[0] is model
        assert scales == [None]
        assert [finding.kind for finding in warnings] == [MOUNTS_NOT_USED]
        assert "20.0°" in warnings[0].text

    def test_mounts_are_refined_on_request(self):
        """Two degrees off, both cameras see the same points: back within .1 degrees."""
        drive = Drive()
        drive.points = lambda group: np.random.default_rng(1).uniform([-2, 6, -1], [18, 12, 4], (600, 3))
        true = {"left": mount("left"), "right": mount("left", 1.5)}
        guess = {**true, "right": turned(true["right"], "y", 2)}
        (model,) = drive.models([("left", "right")], mounts=true)
        assert rotation_offset(model, rig_of(drive, guess)) > 1.9
        (held,), *_ = applied([model], rig_of(drive, guess, refine=True), drive, lambda m, _: None)
        assert rotation_offset(held, rig_of(drive, true)) < 0.1


class TestHold:
    def shared(self, noise=0.3):
        """A drive whose two cameras look to the same side, a metre apart, and its mounts."""
        drive = Drive(noise)
        drive.points = lambda group: np.random.default_rng(1).uniform([-2, 6, -1], [18, 12, 4], (600, 3))
        return drive, {"left": mount("left"), "right": mount("left", 1.5)}

    def test_poses_beside_their_mounts_are_adjusted_to_the_keypoints(self):
        """Each image turned by some tenths of a degree: the mounts hold afterwards, at the keypoints' noise of .3 pixels."""
        drive, both = self.shared()
        (model,) = drive.models([("left", "right")], mounts=both)
        rng = np.random.default_rng(5)
        for i in model.reg_image_ids():
            pose = Pose.from_colmap(model.image(i).cam_from_world())
            turn = Rotation.from_rotvec(np.deg2rad(0.3) * rng.normal(size=3)).as_matrix()
            model.frame(i).rig_from_world = (Pose(turn, np.zeros(3)) @ pose).to_colmap()
        before, warnings = robust_error(model), Findings()
        held = hold_mounts(model, rig_of(drive, both), (1, 2), 1, warnings)
        assert (before > 1.5, warnings.list()) == (True, [])
        assert robust_error(held) < 0.5
        assert rotation_offset(held, rig_of(drive, both)) < 1e-6

    def test_parts_without_common_points_are_put_beside_each_other_first(self):
        drive, warnings = Drive(), Findings()
        (model,) = drive.models([("left", "right")])
        right = {r.image_id for r in drive.rows[1::2]}
        elsewhere = pycolmap.Sim3d(0.5, pycolmap.Rotation3d(Rotation.from_rotvec([0, 1, 2]).as_matrix()), np.full(3, 40.0))
        for i in right:
            model.frame(i).rig_from_world = elsewhere.transform_camera_world(model.frame(i).rig_from_world)
        for point in model.points3D.values():
            if point.track.elements[0].image_id in right:
                point.xyz = elsewhere * point.xyz
        held = hold_mounts(model, rig_of(drive), (1, 2), 1, warnings)
        assert warnings.list() == []
        assert errors(held, drive)[0].max() < 0.05

    def test_mounts_that_the_keypoints_contradict_are_given_up_with_a_warning(self):
        drive, both = self.shared()
        (model,) = drive.models([("left", "right")], mounts=both)
        wrong = {**both, "right": Pose(both["right"].rotation, both["left"].translation + [0.0, 0.0, 1.0])}
        warnings = Findings()
        assert hold_mounts(model, rig_of(drive, wrong), (1, 2), 1, warnings) is model
        (finding,) = warnings.list()
        assert (finding.kind, "would grow" in finding.text) == (MOUNTS_NOT_HELD, True)

    def test_mounts_that_are_a_little_wrong_are_corrected_and_told(self):
        drive, both = self.shared()
        (model,) = drive.models([("left", "right")], mounts=both)
        warnings = Findings()
        held = hold_mounts(model, rig_of(drive, {**both, "right": turned(both["right"], "y", 2)}), (1, 2), 1, warnings)
        assert rotation_offset(held, rig_of(drive, both)) < 0.1
        (finding,) = warnings.list()
        assert finding.kind == MOUNTS_CORRECTED
        assert "right by 2.0" in finding.examples[0] or "right by 1.9" in finding.examples[0]

    def test_a_further_adjustment_sees_rig_frames_and_counts(self):
        drive, both = self.shared()
        (model,) = drive.models([("left", "right")], mounts=both)

        def shifted(held):
            assert held.num_reg_frames() == STOPS
            again = copy.deepcopy(held)
            again.transform(pycolmap.Sim3d(1.0, pycolmap.Rotation3d(), np.array([0.0, 0.0, 7.0])))
            return again

        plain, moved = (hold_mounts(model, rig_of(drive, both), (1, 2), 1, [], *more) for more in ((), (shifted,)))
        for i in plain.reg_image_ids():
            away = moved.image(i).projection_center() - plain.image(i).projection_center()
            np.testing.assert_allclose(away, [0.0, 0.0, 7.0], atol=1e-6)
        assert moved.num_reg_frames() == 2 * STOPS

    def test_one_wrong_position_does_not_pull_and_one_wrong_point_hardly_counts(self):
        drive, both = self.shared()
        (model,) = drive.models([("left", "right")], mounts=both)
        truth = {r.image_id: drive.truth(r, both).origin for r in drive.rows}
        wrong = {**truth, drive.rows[0].image_id: truth[drive.rows[0].image_id] + [0.0, 30.0, 0.0]}
        sigmas = dict.fromkeys(truth, 0.5)
        options = pycolmap.BundleAdjustmentOptions(print_summary=False)
        adjusted = adjust_with_positions(model, wrong, sigmas, options, (1, 2))
        for i, place in truth.items():
            np.testing.assert_allclose(adjusted.image(i).projection_center(), place, atol=0.05)
        before = robust_error(adjusted)
        point = next(iter(adjusted.points3D.values()))
        point.xyz = point.xyz + [0.0, 0.0, 5.0]
        assert before < robust_error(adjusted) < before + 4.1 / adjusted.num_points3D()
