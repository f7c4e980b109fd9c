"""The second opinion: its own copy of the geometry, when it is due, and that a bent model gives way to it."""

import copy
import threading
import time

import numpy as np
import pycolmap
import pytest
from helpers_reconstruction import misfit
from test_reconstruction_online_mapper import Scene

from seg2d3d_ros.findings import Finding
from seg2d3d_ros.progress import Stopwatch
from seg2d3d_ros.reconstruction.batch.components import MappedModel
from seg2d3d_ros.reconstruction.batch.mappers import MapperTask
from seg2d3d_ros.reconstruction.calibration.self_calibration import CALIBRATION_DOUBTED
from seg2d3d_ros.reconstruction.database import PAIR_BASE, FeatureDatabase
from seg2d3d_ros.reconstruction.features.matching import PairTable
from seg2d3d_ros.reconstruction.online import background_solver
from seg2d3d_ros.reconstruction.online.background_solver import TABLES, BackgroundSolver, copy_geometry
from seg2d3d_ros.reconstruction.online.global_check import GlobalCheck
from seg2d3d_ros.reconstruction.online.online_mapper import Cancelled, nothing
from seg2d3d_ros.reconstruction.world.locator import Locator
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig


def task(path, truth):
    names = {i: image.name for i, image in truth.images.items()}
    return MapperTask(path, names, dict.fromkeys(names, 1), {1: tuple(truth.camera(1).params)}, 15, 0, 1)


def pairs(scene):
    return np.array([[a, b, len(g.inlier_matches)] for (a, b), g in scene.geometries.items()], np.int64)


def test_the_copy_holds_geometry_and_no_descriptors(tmp_path):
    scene = Scene(tmp_path / "d.db", frames=5)
    copy_geometry(tmp_path / "d.db", tmp_path / "copy.db")
    with pycolmap.Database.open(tmp_path / "copy.db") as copy:
        assert copy.num_images() == 5
        assert copy.num_descriptors() == 0
        assert copy.num_verified_image_pairs() == len(scene.geometries)
        np.testing.assert_array_equal(copy.read_keypoints(1)[:, :2], scene.database.read_keypoints(1)[:, :2])
        first, second = next(iter(scene.geometries))
        np.testing.assert_array_equal(
            copy.read_two_view_geometry(first, second).inlier_matches, scene.geometries[(first, second)].inlier_matches
        )
    assert PAIR_BASE == 2147483647
    assert "descriptors" not in TABLES


@pytest.mark.parametrize("threads", [1, 2])
def test_a_solution_is_found_beside_its_owner_or_at_once(tmp_path, threads):
    """With one thread the answer is there when ``start`` returns; with two it comes while the owner goes on."""
    scene = Scene(tmp_path / "d.db", frames=6)
    solver = BackgroundSolver(threads)
    assert solver.take() is None
    solver.start(task(tmp_path / "d.db", scene.truth), list(scene.truth.images), pairs(scene))
    assert solver.started
    if threads == 1:
        assert not solver.running
    waits = []
    end = time.monotonic() + 60

    def wait():
        waits.append(1)
        assert time.monotonic() < end

    (model,) = solver.take(wait=wait)
    assert misfit(model, scene.truth) < 1e-3
    assert solver.take() is None  # only once
    assert not solver.started


def test_what_a_solution_doubts_stays_to_be_told(tmp_path, monkeypatch):
    doubt = Finding(CALIBRATION_DOUBTED, 1, 3, (), {"change": "left: focal length +80 %"})
    monkeypatch.setattr(background_solver, "solve_images", lambda *_: [MappedModel("model", anchored=True, findings=[doubt])])
    scene = Scene(tmp_path / "d.db", frames=2)
    checked = Checked(tmp_path, scene)
    checked.check._solver.start(task(tmp_path / "d.db", scene.truth), [1, 2], pairs(scene))
    assert checked.check.findings == [doubt]
    assert checked.check._solver.take() == ["model"]


class Checked:
    """A ``GlobalCheck`` of a scene's mapper, with the scene's pairs and the database of an empty map."""

    def __init__(self, tmp_path, scene=None, mapper=None):
        self.database = FeatureDatabase(tmp_path / "map/database.db")
        self.config = ReconstructionConfig(mode="online", threads=1)
        tried = PairTable(np.zeros((0, 3), np.int64) if scene is None else pairs(scene), 15)
        self.check = GlobalCheck(mapper, tried, self.database, self.config, lambda rows, locator: None, Stopwatch())
        if scene is not None:
            self.database.inlier_matches = lambda a, b: scene.geometries[(a, b)].inlier_matches
            self.database.keypoints = lambda i: scene.keypoints[i]
        self.locator = Locator(self.database, [], self.config)


def online(scene):
    mapper = scene.mapper()
    for i in scene.truth.images:
        scene.feed(mapper, i)
        mapper.grow()
    return mapper


def bend(model, images, share=0.2):
    """Push images aside by a share of the model's size."""
    size = np.ptp([model.image(i).projection_center() for i in model.reg_image_ids()], axis=0).max()
    for i in images:
        frame = model.frame(model.image(i).frame_id)
        aside = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([share * size, 0, 0]))
        frame.rig_from_world = frame.rig_from_world * aside


def test_checks_are_rare_enough_to_cost_little(tmp_path):
    """Sizes at which checks are due while a map grows to 400 images: their sum stays below the last size twice."""
    check, sizes = Checked(tmp_path).check, []
    for images in range(401):
        if check.due(images):
            sizes.append(images)
            check.checked = images
    assert sizes == [12, 36, 108, 324]
    assert sum(sizes) < 2 * sizes[-1]


def test_doubts_call_for_a_check_before_its_time(tmp_path):
    """Only images whose pairs the model contradicts are doubts, and three of them bring the next check forward."""
    scene = Scene(tmp_path / "d.db", frames=12, noise=0.3)
    mapper = online(scene)
    check = Checked(tmp_path, scene, mapper).check
    check.checked = 324
    for i in range(1, 13):
        check.doubt(i)
    assert not check.due(400)
    bend(mapper.submaps[0].reconstruction, (10, 11, 12))
    for i in (10, 11):
        check.doubt(i)
    assert not check.due(400)
    check.doubt(12)
    assert not check.due(388)
    assert check.due(389)


def test_a_bent_model_gives_way_and_the_world_stays(tmp_path):
    """Three of twelve poses are pushed aside: the global solution takes over in the frame and scale of the old model."""
    scene = Scene(tmp_path / "d.db", frames=12, noise=0.3)
    mapper = online(scene)
    checked = Checked(tmp_path, scene, mapper)
    solver = BackgroundSolver(1)
    solver.start(task(tmp_path / "d.db", scene.truth), list(scene.truth.images), pairs(scene))

    model = mapper.submaps[0].reconstruction
    straight = {i: model.image(i).projection_center() for i in model.reg_image_ids()}
    size = np.ptp(list(straight.values()), axis=0).max()
    bend(model, (10, 11, 12))
    assert checked.check.consider(solver.take(), checked.locator, nothing)
    taken = mapper.submaps[0].reconstruction
    assert taken is not model
    moved = [np.linalg.norm(taken.image(i).projection_center() - c) for i, c in straight.items()]
    assert max(moved) < 0.02 * size

    bent = copy.deepcopy(taken)  # and the other way round: what is bent is not taken
    bend(bent, (10, 11, 12))
    kept = mapper.submaps
    assert not checked.check.consider([bent], checked.locator, nothing)
    assert mapper.submaps is kept


def test_cancelling_leaves_the_solver_running_and_its_answer_is_not_lost(tmp_path):
    """Whoever waits is let go at the next tenth of a second; the thread cannot be stopped, so its answer comes later."""
    scene = Scene(tmp_path / "d.db", frames=8)
    solver, released = BackgroundSolver(2), threading.Event()
    solve = background_solver.solve_images

    def slow(*args):
        released.wait(30)
        return solve(*args)

    def stop():
        raise Cancelled("stop")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(background_solver, "solve_images", slow)
        solver.start(task(tmp_path / "d.db", scene.truth), list(scene.truth.images), pairs(scene))
        begin = time.monotonic()
        with pytest.raises(Cancelled):
            solver.take(wait=stop)
        assert time.monotonic() - begin < 1.0
        assert solver.running
        assert solver.started
        assert solver.take() is None
        released.set()
        (model,) = solver.take(wait=lambda: None)
    assert misfit(model, scene.truth) < 1e-3
