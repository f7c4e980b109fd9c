"""Masks cut along their keypoints, and what that does to labels, tracks and ids."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from helpers_maps import two_houses

from seg2d3d_ros.association.masks.repair import cut_mask
from seg2d3d_ros.association.projection import project_unobserved
from seg2d3d_ros.config import make_config
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.association_session import AssociationSession
from seg2d3d_ros.types import Segments, SparseModel


def halves(seed: int = 0, count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints of instance 3 left of x = 50 and of instance 8 right of it, in a picture of 100×60."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform((0, 0), (100, 60), (count, 2)).astype(np.float32)
    return np.where(xy[:, 0] < 50, 3, 8), xy


class TestCutMask:
    def test_two_halves(self):
        mask = np.zeros((60, 100), bool)
        mask[5:55, 10:90] = True
        owner, xy = halves()
        parts = cut_mask(mask, owner, xy)
        assert set(parts) == {3, 8}
        np.testing.assert_array_equal(parts[3] | parts[8], mask)
        assert not (parts[3] & parts[8]).any()
        columns = np.arange(100)[None]
        assert parts[3][mask & (columns < 42)].all(), "the border lies between the nearest keypoints"
        assert parts[8][mask & (columns > 58)].all()

    def test_a_wrong_keypoint_cuts_nothing_out(self):
        mask = np.ones((60, 100), bool)
        owner, xy = halves(count=80)
        left = np.flatnonzero(xy[:, 0] < 40)
        owner[left[0]] = 8
        clean = cut_mask(mask, *halves(count=80))
        assert (cut_mask(mask, owner, xy)[3] != clean[3]).mean() < 0.03

    def test_a_large_mask(self):
        mask = np.ones((900, 1500), bool)
        owner, xy = halves(count=60)
        parts = cut_mask(mask, owner, xy * 15)
        assert abs(parts[3].mean() - 0.5) < 0.1

    def test_one_owner_and_none(self):
        mask = np.ones((4, 5), bool)
        assert cut_mask(mask, np.array([7]), np.array([[2.0, 2.0]]))[7].all()
        assert cut_mask(mask, np.empty(0, int), np.empty((0, 2))) == {}


def glued_scene():
    """Four views of two houses; the last one's mask holds both."""
    model, segments = two_houses(4)
    last = list(segments)[3]
    labels = np.where(segments[last].labels > 0, 5, 0).astype(np.uint16)
    labels[2:46, 4:60] = 5
    one = np.ones(1, np.int32)
    segments[last] = Segments(last, labels, np.array([5], np.uint16), one, np.array([0.6], np.float32))
    return model, segments, last


class TestPublishedMap:
    def run(self, path, **changes):
        model, segments, last = glued_scene()
        session = AssociationSession(MapStore(path), make_config({f"association.{k}": v for k, v in changes.items()}))
        for item in segments.values():
            session.receive(item)
        return session, session.update([model]), model, last

    def test_labels_and_tracks_show_the_parts(self, tmp_path):
        session, labelled, _, last = self.run(tmp_path)
        labels = session.store.read_labels(last)
        other = session.store.read_labels("view0")
        left, right = other[20, 10], other[20, 50]
        assert left != right
        assert labels[20, 10] == left
        assert labels[20, 50] == right
        assert (labels[2:46, 4:60] > 0).all()
        tracks = {i["id"]: i for i in session.store.read_tracks()["instances"]}
        parts = {i: next(o for o in tracks[i]["observations"] if o["image"] == last) for i in (left, right)}
        assert {o["segment"] for o in parts.values()} == {5}
        assert parts[left]["box"][2] <= parts[right]["box"][2] == 60
        assert parts[left]["box"][0] == 4
        assert abs(sum(o["share"] for o in parts.values()) - 1) < 1e-3
        assert all("share" not in o for i in tracks.values() for o in i["observations"] if o["image"] != last)
        assert labelled.instances.ids.tolist() == sorted(tracks)

    def test_without_repair_the_mask_stays_whole(self, tmp_path):
        session, _, _, last = self.run(tmp_path, repair=False)
        assert len(np.unique(session.store.read_labels(last)[2:46, 4:60])) == 1

    def test_the_same_again_changes_nothing(self, tmp_path):
        session, labelled, model, last = self.run(tmp_path)
        assert last in labelled.changed
        assert session.update([model]).changed == ()

    def test_a_restart_keeps_the_ids_of_parts(self, tmp_path):
        session, _, model, last = self.run(tmp_path)
        before = session.store.read_labels(last)
        AssociationSession(MapStore(tmp_path), make_config({})).update([model])
        np.testing.assert_array_equal(session.store.read_labels(last), before)


def two_views(pixels: np.ndarray, depth: np.ndarray) -> SparseModel:
    """Two views of one place and points at these pixels; the first view does not observe the first point."""
    count = len(pixels)
    point = np.array([*range(1, count), *range(count)], np.int32)
    return SparseModel(
        names=("v0", "v1"),
        cameras=(Camera("PINHOLE", 200, 100, (100.0, 100.0, 100.0, 50.0)),) * 2,
        camera_from_world=np.tile(np.eye(3, 4), (2, 1, 1)),
        xyz=np.column_stack([(pixels - [100, 50]) / 100 * depth[:, None], depth]),
        rgb=np.zeros((count, 3), np.uint8),
        error=np.zeros(count, np.float32),
        point_ids=np.arange(count),
        obs_keyframe=np.repeat([0, 1], [count - 1, count]).astype(np.int32),
        obs_point=point,
        obs_xy=pixels[point].astype(np.float32),
    )


class TestProjection:
    def model(self):
        """Five cameras in a row look at a wall, 10 units away; each observes the middle of the wall, not its ends."""
        model, _ = two_houses(2)
        camera = Camera("PINHOLE", 200, 100, (100.0, 100.0, 100.0, 50.0))
        x = np.linspace(-6, 6, 25)
        xyz = np.stack([x, np.zeros(25), np.full(25, 10.0)], axis=1)
        poses = np.tile(np.eye(3, 4), (5, 1, 1))
        poses[:, 0, 3] = -np.linspace(-2, 2, 5)
        keyframe, point = np.divmod(np.arange(5 * 25), 25)
        near = np.abs(x[point] - np.linspace(-2, 2, 5)[keyframe]) < 4
        keyframe, point = keyframe[near].astype(np.int32), point[near].astype(np.int32)
        local = xyz[point] + poses[keyframe, :, 3]
        return dataclasses.replace(
            model,
            names=tuple(f"v{k}" for k in range(5)),
            cameras=(camera,) * 5,
            camera_from_world=poses,
            xyz=xyz,
            rgb=np.zeros((25, 3), np.uint8),
            error=np.zeros(25, np.float32),
            point_ids=np.arange(25),
            obs_keyframe=keyframe,
            obs_point=point,
            obs_xy=(local[:, :2] / local[:, 2:] * 100 + [100, 50]).astype(np.float32),
        )

    def test_unobserved_points_lie_where_the_camera_has_them(self):
        model = self.model()
        found = project_unobserved([model], {"v0", "v4"})
        assert set(found.keyframe) == {0, 4}
        observed = set(zip(model.obs_keyframe.tolist(), model.obs_point.tolist(), strict=True))
        assert not observed & set(zip(found.keyframe.tolist(), found.point.tolist(), strict=True))
        local = model.xyz[found.point] + model.camera_from_world[found.keyframe, :, 3]
        np.testing.assert_allclose(found.xy, local[:, :2] / local[:, 2:] * 100 + [100, 50], atol=1e-3)
        assert (found.segment == -1).all()

    def test_hidden_points_are_left_out(self):
        model = self.model()
        xyz = model.xyz.copy()
        hidden = 18  # seen by other views only, and now far behind the wall
        xyz[hidden] *= 2.0
        found = project_unobserved([dataclasses.replace(model, xyz=xyz)], {"v1"})
        assert hidden not in found.point
        assert hidden in project_unobserved([model], {"v1"}).point

    @pytest.mark.parametrize(
        ("around", "seen"),
        [
            ((10, 10, 30), False),
            ((10, 30, 10), False),
            ((10, 30, 30), True),
            ((17, 17, 17), True),
            ((15, 15, 15), False),
        ],
    )
    def test_the_median_of_the_nearest_keypoints_is_the_surface(self, around, seen):
        """A point 20 units away; of the view's own keypoints the three around its pixel count, not those farther off."""
        pixels = np.array([[100, 50], [99, 56], [101, 44], [104, 55], [100, 42], [102, 50], [100, 53], [96, 50]])
        model = two_views(pixels, np.array([20, 10, 30, 10, 30, *around]))
        assert (project_unobserved([model], {"v0"}).point.tolist() == [0]) == seen

    @pytest.mark.parametrize(("distance", "seen"), [(12.2, False), (12.8, True)])
    def test_only_keypoints_within_a_sixteenth_of_the_width_are_the_surface(self, distance, seen):
        pixels = np.array([[100, 50], [100 + distance, 50], [100, 50 + distance], [100 - distance, 50]])
        depth = np.array([20.0, 10, 10, 10])
        model = two_views(pixels, depth)
        assert (project_unobserved([model], {"v0"}).point.tolist() == [0]) == seen

    @pytest.mark.parametrize(
        ("distance", "angle", "seen"),
        [(10, 0, True), (24, 0, True), (26, 0, False), (4.2, 0, True), (3.8, 0, False), (10, 59, True), (10, 61, False)],
    )
    def test_a_view_must_see_a_point_from_a_similar_distance_and_side(self, distance, angle, seen):
        """The point lies 10 units before the second view, on its axis; the first one looks at it from elsewhere."""
        model = two_views(np.array([[100.0, 50.0], [20.0, 20.0]]), np.array([10.0, 10.0]))
        turn = cv2.Rodrigues(np.array([0.0, np.deg2rad(angle), 0.0]))[0]
        poses = model.camera_from_world.copy()
        poses[0] = np.column_stack([turn, np.array([0, 0, distance]) - turn @ model.xyz[0]])
        model = dataclasses.replace(model, camera_from_world=poses)
        assert (project_unobserved([model], {"v0"}).point.tolist() == [0]) == seen

    def test_without_poses_there_is_nothing(self):
        model = self.model()
        unknown = dataclasses.replace(model, camera_from_world=np.full((5, 3, 4), np.nan), cameras=())
        assert len(project_unobserved([unknown], set(model.names)).point) == 0
