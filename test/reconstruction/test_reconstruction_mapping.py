"""Mapping against COLMAP's own synthetic scenes, whose matches and poses are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from helpers_reconstruction import misfit

from seg2d3d_ros.reconstruction import model_io
from seg2d3d_ros.reconstruction.batch import components as components_module
from seg2d3d_ros.reconstruction.batch import mappers
from seg2d3d_ros.reconstruction.batch.components import solve_component, solve_components
from seg2d3d_ros.reconstruction.batch.mappers import MapperTask, solve_global, solve_incremental
from seg2d3d_ros.reconstruction.database import ImageRow
from seg2d3d_ros.reconstruction.point_ids import name_new_points, renumber
from seg2d3d_ros.reconstruction.thresholds import Thresholds, evidence
from seg2d3d_ros.reconstruction.unregistered import unregistered_reasons
from seg2d3d_ros.reconstruction.viewgraph import components, rigid_parts
from seg2d3d_ros.types import WorldFrame


def synthetic(path: Path, frames=8, points=200, seed=0):
    """A database with exact keypoints of one camera, and the true reconstruction."""
    pycolmap.set_random_seed(seed)
    options = pycolmap.SyntheticDatasetOptions(
        num_rigs=1, num_cameras_per_rig=1, num_frames_per_rig=frames, num_points3D=points, camera_has_prior_focal_length=True
    )
    with pycolmap.Database.open(path) as database:
        return pycolmap.synthesize_dataset(options, database)


def task(path, truth, *, fixed=True, threads=1):
    names = {i: image.name for i, image in truth.images.items()}
    known = {i: tuple(camera.params) for i, camera in truth.cameras.items()} if fixed else {}
    return MapperTask(path, names, {i: image.camera_id for i, image in truth.images.items()}, known, 15, 0, threads)


def pair_table(path):
    with pycolmap.Database.open(path) as database:
        ids, geometries = database.read_two_view_geometries()
    base = 2147483647
    return np.array([[i // base, i % base, len(g.inlier_matches)] for i, g in zip(ids, geometries, strict=True)], np.int64)


@pytest.mark.parametrize("mapper", ["global", "incremental", "auto"])
@pytest.mark.parametrize("fixed", [True, False])
def test_exact_matches_give_the_true_poses(tmp_path, mapper, fixed):
    truth = synthetic(tmp_path / "d.db")
    (model,) = solve_component(
        task(tmp_path / "d.db", truth, fixed=fixed), list(truth.images), pair_table(tmp_path / "d.db"), mapper
    )
    assert model.num_reg_images() == 8
    assert misfit(model, truth) < 1e-3
    if fixed:
        np.testing.assert_array_equal(model.camera(1).params, truth.camera(1).params)


def test_calibrated_camera_beside_a_free_one(tmp_path):
    """Where one camera is calibrated and one is not, the former keeps its parameters to the bit, the latter is refined."""
    pycolmap.set_random_seed(1)
    options = pycolmap.SyntheticDatasetOptions(num_rigs=2, num_cameras_per_rig=1, num_frames_per_rig=5, num_points3D=200)
    with pycolmap.Database.open(tmp_path / "d.db") as database:
        truth = pycolmap.synthesize_dataset(options, database)
        free = database.read_camera(2)
        free.params = np.array(free.params) * [1.05, 1, 1, 0]
        database.update_camera(free)
    names = {i: image.name for i, image in truth.images.items()}
    cameras = {i: image.camera_id for i, image in truth.images.items()}
    mixed = MapperTask(tmp_path / "d.db", names, cameras, {1: tuple(truth.camera(1).params)}, 15, 0, 1)
    (model,) = solve_component(mixed, list(names), pair_table(tmp_path / "d.db"), "global")
    np.testing.assert_array_equal(model.camera(1).params, truth.camera(1).params)
    np.testing.assert_allclose(model.camera(2).params[0], truth.camera(2).params[0], rtol=1e-3)
    assert misfit(model, truth) < 1e-3


@pytest.mark.parametrize(("factor", "believed"), [(1.1, False), (1 / 1.1, False), (1.3, True), (1 / 1.3, True)])
def test_a_focal_length_far_from_the_known_one_is_not_believed(tmp_path, factor, believed):
    """Exact matches refine to the true focal length; where the image's own says something else, that counts."""
    truth = synthetic(tmp_path / "d.db")
    true = np.array(truth.camera(1).params)
    known = true * [factor, 1, 1, 0]
    free = replace(task(tmp_path / "d.db", truth, fixed=False), known_focals={1: tuple(known)})
    (model,) = solve_component(free, list(truth.images), pair_table(tmp_path / "d.db"), "incremental")
    if believed:
        np.testing.assert_array_equal(model.camera(1).params, known)
        assert model.compute_mean_reprojection_error() > 0.01
    else:
        np.testing.assert_allclose(model.camera(1).params[0], true[0], rtol=1e-3)


def test_strict_thresholds_come_first_where_evidence_is_plentiful(tmp_path, monkeypatch):
    """Both mappers' thresholds are of one set: strict, and lenient where those leave images out; else lenient alone."""
    truth = synthetic(tmp_path / "d.db")
    asked = []
    monkeypatch.setattr(components_module, "solve_incremental", lambda task, members, t, **_: asked.append(t) or [])
    members = list(truth.images)
    pairs = np.array([[a, b, 200] for a in members for b in members if a < b])
    solve_component(task(tmp_path / "d.db", truth), members, pairs, "incremental")
    assert asked == [Thresholds.strict(15), Thresholds.lenient(15)]
    pairs[:, 2] = 99
    solve_component(task(tmp_path / "d.db", truth), members, pairs, "incremental")
    assert asked[2:] == [Thresholds.lenient(15)]


def test_evidence_is_the_third_best_partner_of_the_median_image():
    assert evidence([[200, 150, 100, 20], [90, 80, 70], [300, 10]]) == 70
    assert evidence([[200, 150, 100, 20], [90, 80, 70], []]) == 70
    assert evidence([]) == 0.0


def test_only_the_cameras_of_a_component_decide_what_is_refined(tmp_path, monkeypatch):
    """A component of calibrated cameras is not adjusted again because another one has a camera to refine."""
    truth = synthetic(tmp_path / "d.db")
    held = []
    monkeypatch.setattr(mappers, "hold_cameras", lambda *args: held.append(args))
    own = task(tmp_path / "d.db", truth)
    mixed = replace(own, cameras={**own.cameras, 99: 2})
    (model,) = solve_global(mixed, list(truth.images))
    assert held == []
    np.testing.assert_array_equal(model.camera(1).params, truth.camera(1).params)


def test_components_are_solved_each_and_the_largest_comes_first(tmp_path, monkeypatch):
    truth = synthetic(tmp_path / "d.db")
    monkeypatch.setattr(components_module, "solve_component", lambda task, part, *_: [Sized(10 - len(part))])
    pairs = np.array([[1, 2, 20], [3, 4, 20], [4, 5, 20], [6, 7, 3]])
    stages = []
    models = solve_components(task(tmp_path / "d.db", truth), range(1, 9), pairs, "auto", lambda *what: stages.append(what))
    assert [model.num_reg_images() for model in models] == [8, 7]
    assert stages == [("mapping", 0, 5), ("mapping", 3, 5), ("mapping", 5, 5)]


def test_the_incremental_mapper_tells_of_each_image_and_never_goes_back(tmp_path):
    truth, stages = synthetic(tmp_path / "d.db"), []
    solve_components(
        task(tmp_path / "d.db", truth),
        list(truth.images),
        pair_table(tmp_path / "d.db"),
        "incremental",
        lambda *what: stages.append(what),
    )
    done = [number for _, number, _ in stages]
    assert done == sorted(done)
    assert done[0] == 0
    assert done[-1] == len(truth.images)
    assert len(set(done)) > len(truth.images) // 2, "image by image"
    assert {total for _, _, total in stages} == {len(truth.images)}


class Sized:
    def __init__(self, images):
        self.images = images

    def num_reg_images(self):
        return self.images

    def num_points3D(self):
        return 10


def test_one_thread_is_deterministic(tmp_path):
    truth = synthetic(tmp_path / "d.db")
    runs = [solve_global(task(tmp_path / "d.db", truth), list(truth.images))[0] for _ in range(2)]
    first, second = (np.array([m.image(i).projection_center() for i in sorted(m.reg_image_ids())]) for m in runs)
    np.testing.assert_array_equal(first, second)


def test_two_images_make_a_model(tmp_path):
    truth = synthetic(tmp_path / "d.db", frames=2)
    models = solve_component(task(tmp_path / "d.db", truth), list(truth.images), pair_table(tmp_path / "d.db"), "auto")
    assert [m.num_reg_images() for m in models] == [2]


def test_components_by_verified_matches():
    pairs = np.array([[1, 2, 50], [2, 3, 20], [4, 5, 30], [3, 4, 14], [6, 7, 0]])
    assert components(pairs, range(1, 8), 15) == [[1, 2, 3], [4, 5], [6], [7]]
    assert components(pairs, range(1, 8), 14)[0] == [1, 2, 3, 4, 5]
    assert components(np.zeros((0, 3), int), [3, 1], 15) == [[1], [3]]


def glued(common):
    """Two groups of three cameras with 40 points each, and ``common`` points that both see."""
    model = pycolmap.Reconstruction()
    camera = pycolmap.Camera.create_from_model_name(1, "PINHOLE", 100.0, 100, 100)
    model.add_camera_with_trivial_rig(camera)
    for i in range(1, 7):
        image = pycolmap.Image(name=f"{i}.jpg", keypoints=np.zeros((200, 2)), camera_id=1, image_id=i)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
    slot = 0
    for members, count in (((1, 2, 3), 40), ((4, 5, 6), 40), ((3, 4, 5), common)):
        for _ in range(count):
            track = pycolmap.Track()
            for i in members:
                track.add_element(i, slot)
            model.add_point3D(np.ones(3), track)
            slot += 1
    return model


def test_weakly_glued_halves_come_apart():
    assert rigid_parts(glued(11)) == [[1, 2, 3], [4, 5, 6]]
    assert rigid_parts(glued(12)) == [[1, 2, 3, 4, 5, 6]]


def test_point_ids_and_colours(tmp_path):
    truth = synthetic(tmp_path / "d.db")
    model = solve_incremental(task(tmp_path / "d.db", truth), list(truth.images), Thresholds.lenient(15))[0]
    colors = {i: np.full((len(image.points2D), 3), 10 * i, np.uint8) for i, image in model.images.items()}
    renumber([model], colors.__getitem__, {})
    ids = sorted(model.point3D_ids())
    assert ids == list(range(1, len(ids) + 1))
    point = model.point3D(1)
    np.testing.assert_array_equal(point.color, np.rint(np.mean([[10 * e.image_id] * 3 for e in point.track.elements], axis=0)))
    model.write_binary(tmp_path)
    former = {i: np.where(v >= 0, v + 1000, -1) for i, v in model_io.keypoint_ids(tmp_path).items()}
    before = {i: p.xyz.copy() for i, p in model.points3D.items()}
    renumber([model], colors.__getitem__, former)
    for i, xyz in before.items():
        np.testing.assert_array_equal(model.point3D(i + 1000).xyz, xyz)
    sparse = model_io.sparse_model(model, {}, frame=WorldFrame("enu", (1.0, 2.0, 3.0)))
    assert len(sparse.obs_point) == model.compute_num_observations()
    for k, name in enumerate(sparse.names):
        image = model.find_image_with_name(f"{name}.png") or next(v for v in model.images.values() if Path(v.name).stem == name)
        rows = sparse.obs_keyframe == k
        points = sparse.xyz[sparse.obs_point[rows]]
        projected = np.array([image.project_point(p) for p in points])
        np.testing.assert_allclose(projected, sparse.obs_xy[rows], atol=0.05)


def test_new_points_inherit_dead_ids_and_get_colours():
    """1007 is gone and 1008 lives: only 1007 is inherited, by the new point with most of its keypoints."""
    model = glued(0)
    first, second, third, *_ = sorted(model.points3D)
    former = {i: np.full(200, -1) for i in range(1, 7)}
    slots = {p: {e.image_id: e.point2D_idx for e in model.point3D(p).track.elements} for p in (first, second, third)}
    for image, point, old in [(1, first, 1007), (2, first, 1007), (1, second, 1007), (3, second, 1008), (2, third, 1008)]:
        former[image][slots[point][image]] = old
    alive = np.array(sorted(set(model.points3D) - {first, second, third}))
    xyz = model.point3D(first).xyz.copy()
    taken = {1008}
    inherited = name_new_points(model, former, alive, lambda i: np.full((200, 3), 10 * i, np.uint8), taken)
    assert inherited == 1
    assert not model.exists_point3D(first)
    np.testing.assert_array_equal(model.point3D(1007).xyz, xyz)
    np.testing.assert_array_equal(model.point3D(second).color, [20, 20, 20])
    assert {1007, 1008, second, third} <= taken


def test_keypoint_ids_say_none(tmp_path):
    model = glued(12)
    model.write_binary(tmp_path)
    ids = model_io.keypoint_ids(tmp_path)
    assert (ids[1] >= 0).sum() == 40
    assert ids[1].min() == -1


def rows(count, **changes):
    defaults = {"features": 500, "geo": None, "stamp_ns": 0, "camera_name": "c"}
    return [
        ImageRow(image_id=i, camera_id=1, name=f"{i}", file_name=f"{i}.jpg", **(defaults | changes))
        for i in range(1, count + 1)
    ]


def test_reasons_in_words():
    images = rows(4)
    images[3] = rows(4, features=0)[3]
    pairs = np.array([[1, 2, 80], [1, 3, 9], [2, 3, 0]])
    reasons = unregistered_reasons(images, pairs, [], 15)
    assert "none of which could be placed" in reasons["1"]
    assert "the best of 2 tried has 9" in reasons["3"]
    assert "no features" in reasons["4"]
    assert "far from its position" in unregistered_reasons(images, pairs, [], 15, refused={images[0].image_id})[images[0].name]
    assert "only image" in unregistered_reasons(images[:1], pairs[:0], [], 15)["1"]
