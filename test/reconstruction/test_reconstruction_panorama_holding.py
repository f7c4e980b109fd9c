"""The views of panoramas in models: held exactly, brought in by each other, and told where matches tear them apart."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from helpers_rigs import Drive, applied, errors, mount, rig_of, turned

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.reconstruction.rigs.rig_adjustment import PANORAMAS_TORN, hold_mounts


class TestPanoramas:
    """Two views of each panorama, at one place."""

    mounts: ClassVar = {name: Pose(mount(name).rotation, np.zeros(3)) for name in ("left", "right")}

    def drive(self):
        drive = Drive()
        drive.rows = [replace(row, panorama=f"p{row.image_id // 10}") for row in drive.rows]
        return drive

    def torn(self, drive, shift, lost=()):
        """A model of arbitrary scale whose right views are shifted, and some not registered."""
        (model,) = drive.models([("left", "right")], mounts=self.mounts, move=[(0.3, np.eye(3), [3, 4, 5])])
        for row in drive.rows:
            if row.camera_name == "right":
                frame = model.frame(model.image(row.image_id).frame_id)
                pose = Pose.from_colmap(frame.rig_from_world)
                frame.rig_from_world = Pose(pose.rotation, pose.translation + shift).to_colmap()
        for image_id in lost:
            model.deregister_frame(model.image(image_id).frame_id)
        model.update_point_3d_errors()
        return model

    def test_views_hold_in_a_model_of_any_scale_and_bring_in_those_that_are_not_registered(self):
        drive = self.drive()
        model = self.torn(drive, [0.002, 0.0, 0.0], lost=[12])
        (held,), _, warnings = applied([model], rig_of(drive, self.mounts), drive, lambda m, by_rig: None)
        assert held.num_reg_images() == len(drive.rows)
        centers = {i: held.image(i).projection_center() for i in held.reg_image_ids()}
        assert max(np.linalg.norm(centers[i] - centers[i + 1]) for i in centers if i % 10 == 1) < 1e-6
        assert errors(held, drive, self.mounts)[0].max() < 0.05
        assert warnings == []

    def test_views_that_contradict_each_other_are_said(self):
        drive = self.drive()
        wrong = {**self.mounts, "right": turned(self.mounts["right"], "y", 20)}
        (model,) = drive.models([("left", "right")], mounts=self.mounts)
        _, _, warnings = applied([model], rig_of(drive, wrong), drive, lambda m, by_rig: None)
        assert [finding.kind for finding in warnings] == [PANORAMAS_TORN]

    @pytest.mark.parametrize("degrees", [0.1, 1.5])
    def test_turns_of_views_are_never_corrected(self, degrees):
        """Two views that overlap, in pictures that were turned against each other: a little, as by stitching, or too much."""
        drive = self.drive()
        drive.points = lambda group: np.random.default_rng(1).uniform([-2, 6, -1], [18, 12, 4], (600, 3))
        true = {"left": self.mounts["left"], "right": turned(self.mounts["left"], "y", 20)}
        (model,) = drive.models([("left", "right")], mounts=true)
        given = rig_of(drive, {**true, "right": turned(true["right"], "y", degrees)})
        findings = Findings()
        held = hold_mounts(model, given, (1, 2), 1, findings)
        if degrees > 1:
            assert held is model
            assert [finding.kind for finding in findings.list()] == [PANORAMAS_TORN]
            return
        assert findings.list() == []
        poses = [Pose.from_colmap(held.image(i).cam_from_world()) for i in (11, 12)]
        relative = poses[1] @ poses[0].inverse()
        assert relative.matrix == pytest.approx(given.relative(drive.rows[2], drive.rows[3]).matrix, abs=1e-6)

    def test_points_that_only_one_panorama_sees_are_dropped_and_those_that_no_longer_fit(self):
        drive = self.drive()
        drive.points = lambda group: np.random.default_rng(1).uniform([-2, 6, -1], [18, 12, 4], (600, 3))
        overlapping = {"left": self.mounts["left"], "right": turned(self.mounts["left"], "y", 20)}
        (model,) = drive.models([("left", "right")], mounts=overlapping)
        alone = next(i for i, p in model.points3D.items() if {11, 12} < {e.image_id for e in p.track.elements})
        seen = [(element.image_id, element.point2D_idx) for element in model.point3D(alone).track.elements]
        for image_id, place in seen:
            if image_id not in (11, 12):
                model.delete_observation(image_id, place)
        astray = next(i for i in model.points3D if i != alone)
        for k, element in enumerate(model.point3D(astray).track.elements):  # keypoints that no place explains
            model.image(element.image_id).point2D(element.point2D_idx).xy = np.array([100.0, 100.0]) + [400 * (k % 2), 60 * k]
        held = hold_mounts(model, rig_of(drive, overlapping), (1, 2), 1, Findings())
        assert held is not model
        assert not held.exists_point3D(alone)
        errors_left = [point.error for point in held.points3D.values()]
        assert max(errors_left) < 10.0
        assert len(errors_left) > 0.9 * len(model.points3D)
