"""The online mapper on COLMAP's synthetic scenes, whose matches and poses are known: any order, ties, cancelling, restarts."""

import copy
import random

import numpy as np
import pycolmap
import pytest
from helpers_reconstruction import misfit

from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.similarity import fit_points
from seg2d3d_ros.reconstruction.online.global_check import Standing, prefer_global
from seg2d3d_ros.reconstruction.online.online_mapper import Cancelled, OnlineMapper
from seg2d3d_ros.reconstruction.world.alignment import common_points
from seg2d3d_ros.reconstruction.world.msac import msac_score, sampson_error
from seg2d3d_ros.reconstruction.world.position_priors import adjust_with_positions


class Scene:
    """A synthetic database in memory: exact (or noisy) keypoints of ``frames`` images of one camera."""

    def __init__(self, path, frames=10, points=300, noise=0.0, seed=0):
        pycolmap.set_random_seed(seed)
        options = pycolmap.SyntheticDatasetOptions(
            num_rigs=1,
            num_cameras_per_rig=1,
            num_frames_per_rig=frames,
            num_points3D=points,
            camera_has_prior_focal_length=True,
        )
        self.database = pycolmap.Database.open(path)
        self.truth = pycolmap.synthesize_dataset(options, self.database)
        self.rng = np.random.default_rng(seed)
        self.noise = noise
        self.keypoints = {}
        for i, image in self.truth.images.items():
            exact = np.array([p.xy for p in image.points2D])
            self.keypoints[i] = exact + noise * self.rng.normal(size=exact.shape)
        self.geometries = {}
        ids, found = self.database.read_two_view_geometries()
        for pair, geometry in zip(ids, found, strict=True):
            self.geometries[(pair // 2147483647, pair % 2147483647)] = geometry

    def matches(self, i, among):
        found = {}
        for (a, b), geometry in self.geometries.items():
            other = b if a == i else a if b == i else None
            if other in among and len(geometry.inlier_matches) >= 15:
                found[other] = len(geometry.inlier_matches)
        return found

    def mapper(self):
        return OnlineMapper(lambda a, b: self.geometries[(a, b)], min_matches=15, seed=0, threads=1)

    def feed(self, mapper, i, matches=None, camera=None):
        calibrated = camera is None
        camera = camera or self.truth.camera(self.truth.image(i).camera_id)
        mapper.add_camera(camera, self.truth.rig(1), calibrated=calibrated)
        image = pycolmap.Image(name=f"{i}", keypoints=self.keypoints[i], camera_id=camera.camera_id, image_id=i)
        frame = self.database.read_frame(self.truth.image(i).frame_id)
        image.frame_id = frame.frame_id
        mapper.add_image(image, frame, self.matches(i, set(mapper.graph.image_ids)) if matches is None else matches)


def grown(scene, order):
    mapper = scene.mapper()
    for i in order:
        scene.feed(mapper, i)
        mapper.grow()
    return mapper


@pytest.mark.parametrize("seed", range(5))
def test_any_order_gives_one_model_with_the_true_poses(tmp_path, seed):
    """Half a pixel of noise on 300 points: within 0.5 % of the scene's size."""
    scene = Scene(tmp_path / "d.db", noise=0.5, seed=seed)
    order = list(scene.truth.images)
    random.Random(seed).shuffle(order)
    mapper = grown(scene, order)
    (model,) = mapper.submaps
    assert model.registered == set(order)
    assert mapper.waiting == set()
    assert misfit(model.reconstruction, scene.truth) < 5e-3
    np.testing.assert_array_equal(model.reconstruction.camera(1).params, scene.truth.camera(1).params)


@pytest.mark.parametrize(("factor", "believed"), [(1.1, False), (1 / 1.3, True)])
def test_a_focal_length_far_from_the_known_one_is_not_believed(tmp_path, factor, believed):
    """Exact matches refine to the true focal length; where the image's own says something else, that counts."""
    scene = Scene(tmp_path / "d.db", frames=22)
    true = np.array(scene.truth.camera(1).params)
    camera = copy.deepcopy(scene.truth.camera(1))
    camera.params = true * [factor, 1, 1, 0]
    camera.has_prior_focal_length = True
    known = np.array(camera.params)
    mapper = scene.mapper()
    for i in scene.truth.images:
        scene.feed(mapper, i, camera=camera)
        mapper.grow()
    assert (mapper.fixed_cameras == {1}) is believed  # in a model of 20 images it is decided before any final adjustment
    mapper.adjust()
    (model,) = mapper.submaps
    if believed:
        np.testing.assert_array_equal(model.reconstruction.camera(1).params, known)
        assert mapper.fixed_cameras == {1}
    else:
        np.testing.assert_allclose(model.reconstruction.camera(1).params[0], true[0], rtol=1e-3)
        assert mapper.fixed_cameras == set()


def test_one_thread_gives_the_same_bits(tmp_path):
    scene = Scene(tmp_path / "d.db", noise=0.5)
    order = [7, 2, 9, 4, 1, 10, 3, 6, 8, 5]
    first, second = (grown(scene, order).submaps[0].reconstruction for _ in range(2))
    assert set(first.points3D) == set(second.points3D)
    for i in order:
        np.testing.assert_array_equal(first.image(i).cam_from_world().matrix(), second.image(i).cam_from_world().matrix())
    for i, point in first.points3D.items():
        np.testing.assert_array_equal(point.xyz, second.point3D(i).xyz)


def halves(scene):
    """Two groups of images, and per image its matches within its group."""
    groups = [{1, 2, 3, 4, 5}, {6, 7, 8, 9, 10}]
    return groups, {i: scene.matches(i, group) for group in groups for i in group}


def test_components_stay_apart_until_late_pairs_tie_them(tmp_path):
    scene = Scene(tmp_path / "d.db", noise=0.3)
    groups, inside = halves(scene)
    mapper = scene.mapper()
    for i in (1, 6, 2, 7, 3, 8, 4, 9, 5, 10):
        scene.feed(mapper, i, inside[i])
        mapper.grow()
    mapper.grow(patient=False)
    assert sorted(sorted(m.registered) for m in mapper.submaps) == [sorted(g) for g in groups]
    for i in groups[1]:
        mapper.add_pairs(i, scene.matches(i, groups[0]))
        mapper.add_pairs(i, scene.matches(i, groups[0]))  # said twice
    mapper.grow()
    (model,) = mapper.submaps
    assert len(model) == 10
    mapper.adjust()
    assert misfit(model.reconstruction, scene.truth) < 5e-3


def test_waiting_images_are_placed_when_points_appear(tmp_path):
    """An image that comes before anything it overlaps with waits, and is placed without being added again."""
    scene = Scene(tmp_path / "d.db")
    mapper = scene.mapper()
    scene.feed(mapper, 1)
    mapper.grow()
    assert mapper.waiting == {1}
    for i in (2, 3):
        scene.feed(mapper, i)
        mapper.grow()
    assert mapper.waiting == set()


def test_cancelling_leaves_a_valid_model_that_goes_on(tmp_path):
    scene = Scene(tmp_path / "d.db", noise=0.3)
    mapper = scene.mapper()
    for i in scene.truth.images:
        scene.feed(mapper, i)
    calls = []

    def checkpoint():
        calls.append(1)
        if len(calls) == 4:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        mapper.grow(checkpoint)
    before = len(mapper.registered)
    assert before < 10
    mapper.grow()
    assert len(mapper.registered) == 10
    assert misfit(mapper.submaps[0].reconstruction, scene.truth) < 5e-3


def test_scarce_evidence_relaxes_the_thresholds(tmp_path):
    """With 60 points no pair is plentiful: all pairs count, and all images are placed."""
    scene = Scene(tmp_path / "d.db", points=60, noise=0.3)
    mapper = grown(scene, list(scene.truth.images))
    assert not mapper.plenty
    assert len(mapper.submaps[0]) == 10
    rich = grown(Scene(tmp_path / "e.db", noise=0.3), list(scene.truth.images))
    assert rich.plenty
    assert rich.thresholds.pose > mapper.thresholds.pose


def test_the_msac_score_counts_matches_that_fit_the_poses(tmp_path):
    scene = Scene(tmp_path / "d.db")
    pairs = list(scene.geometries)
    total = sum(len(g.inlier_matches) for g in scene.geometries.values())
    args = (pairs, lambda a, b: scene.geometries[(a, b)].inlier_matches, lambda i: scene.keypoints[i])
    assert msac_score(scene.truth, *args) == pytest.approx(total, rel=1e-6)
    frame = scene.truth.frame(scene.truth.image(3).frame_id)
    turn = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.0, 0.1, 0.0])), np.zeros(3))
    frame.rig_from_world = turn * frame.rig_from_world
    own = sum(len(g.inlier_matches) for (a, b), g in scene.geometries.items() if 3 in (a, b))
    assert total - own <= msac_score(scene.truth, *args) < total - 0.7 * own


def test_sampson_error_is_the_distance_to_the_epipolar_line():
    """Pure sideways motion: lines are rows, and an offset of d across them is d / sqrt(2) in both images together."""
    rays = np.array([[0.1, 0.2, 1.0], [-0.3, 0.0, 1.0]])
    moved = rays + [0.05, 0.01, 0.0]
    pose = Pose(np.eye(3), np.array([1.0, 0.0, 0.0]))
    np.testing.assert_allclose(sampson_error(rays, moved, pose), 0.01 / np.sqrt(2), rtol=1e-9)


def test_a_global_solution_must_lose_no_image_and_contradict_nothing():
    mine = Standing(30, 1000.0)
    assert prefer_global(Standing(30, 990.0), mine)
    assert not prefer_global(Standing(29, 1100.0), mine)
    assert not prefer_global(Standing(31, 900.0), mine)
    assert not prefer_global(Standing(30, 1010.0, gps=2.0), Standing(30, 1000.0, gps=1.0))
    assert prefer_global(Standing(30, 960.0, gps=1.0), Standing(30, 1000.0, gps=2.0))
    assert prefer_global(Standing(30, 990.0, gps=1.0), Standing(30, 1000.0, gps=0.95))


def test_another_solution_is_carried_into_the_former_frame(tmp_path):
    scene = Scene(tmp_path / "d.db", noise=0.3)
    first = grown(scene, list(scene.truth.images)).submaps[0].reconstruction
    second = grown(scene, sorted(scene.truth.images, reverse=True)).submaps[0].reconstruction
    second.transform(pycolmap.Sim3d(3.0, pycolmap.Rotation3d(np.array([0.3, -0.2, 1.0])), np.array([5.0, 1.0, -2.0])))
    source, target = common_points(second, first)
    assert len(source) > 250
    source[::7] += 10.0
    similarity = fit_points(source, target)
    centers = [np.array([m.image(i).projection_center() for i in sorted(m.reg_image_ids())]) for m in (second, first)]
    size = np.ptp(centers[1], axis=0).max()
    assert np.linalg.norm(similarity.apply(centers[0]) - centers[1], axis=1).max() < 0.01 * size
    assert fit_points(source[:5], target[:5]) is None


def test_positions_pull_a_model_to_where_its_images_were_taken(tmp_path):
    """Two cameras off by 5 % of the scene come back to 1 %; a wild position does not matter; the input is left alone."""
    scene = Scene(tmp_path / "d.db", noise=0.3)
    mapper = grown(scene, list(scene.truth.images))
    model = mapper.submaps[0].reconstruction
    source = np.array([model.image(i).projection_center() for i in range(1, 11)])
    target = np.array([scene.truth.image(i).projection_center() for i in range(1, 11)])
    similarity = fit_points(source, target)
    model.transform(pycolmap.Sim3d(similarity.scale, pycolmap.Rotation3d(similarity.rotation), similarity.translation))
    size = np.linalg.norm(target - target.mean(0), axis=1).max()
    for i in (3, 7):
        frame = model.frame(model.image(i).frame_id)
        frame.rig_from_world = frame.rig_from_world * pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([0.05 * size, 0, 0]))
    sigma = 0.002 * size
    rng = np.random.default_rng(0)
    positions = {i: target[i - 1] + sigma * rng.normal(size=3) for i in range(1, 11)}
    positions[5] = positions[5] + size
    options = mapper.options(mapper.thresholds, 10).global_adjustment
    before = model.image(3).projection_center()
    adjusted = adjust_with_positions(model, positions, dict.fromkeys(positions, sigma), options, {1})
    np.testing.assert_array_equal(model.image(3).projection_center(), before)
    centers = np.array([adjusted.image(i).projection_center() for i in range(1, 11)])
    assert np.linalg.norm(centers - target, axis=1).max() < 0.01 * size
    assert adjust_with_positions(model, {1: target[0]}, {1: sigma}, options, {1}) is None
