"""The second opinion: its own copy of the geometry, when it is due, and that a bent model gives way to it."""

import copy
import threading
import time

import numpy as np
import pycolmap
import pytest
from helpers_reconstruction import misfit
from test_reconstruction_online_mapper import Scene

from seg2d3d_ros.reconstruction.batch.mappers import MapperTask
from seg2d3d_ros.reconstruction.database import PAIR_BASE
from seg2d3d_ros.reconstruction.online import global_check as crosscheck
from seg2d3d_ros.reconstruction.online.global_check import TABLES, CrossCheck, copy_geometry
from seg2d3d_ros.reconstruction.online.online_mapper import Cancelled


def task(path, truth):
    names = {i: image.name for i, image in truth.images.items()}
    return MapperTask(path, names, {1: tuple(truth.camera(1).params)}, frozenset(), 15, 0, 1)


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
def test_a_check_solves_beside_its_owner_or_at_once(tmp_path, threads):
    """With one thread the answer is there when ``start`` returns; with two it comes while the owner goes on."""
    scene = Scene(tmp_path / "d.db", frames=6)
    check = CrossCheck(threads)
    assert check.take() is None
    check.start(task(tmp_path / "d.db", scene.truth), list(scene.truth.images), pairs(scene), 6)
    if threads == 1:
        assert not check.running
    waits = []
    end = time.monotonic() + 60

    def wait():
        waits.append(1)
        assert time.monotonic() < end

    (model,) = check.take(wait=wait)
    assert misfit(model, scene.truth) < 1e-3
    assert check.take() is None  # only once
    assert (check.checked, check.seen) == (6, 6)


def test_checks_are_rare_enough_to_cost_little():
    """Sizes at which checks are due while a map grows to 400 images: their sum stays below the last size twice."""
    check, sizes = CrossCheck(1), []
    for images in range(401):
        if check.due(images):
            sizes.append(images)
            check.checked = images
    assert sizes == [12, 36, 108, 324]
    assert not check.due(388, doubted=True)
    assert check.due(389, doubted=True)
    assert sum(sizes) < 2 * sizes[-1]


def test_a_bent_model_gives_way_and_the_world_stays(tmp_path):
    """Three of twelve poses are pushed aside: the global solution takes over in the frame and scale of the old model."""
    from seg2d3d_ros.config import ReconstructionConfig
    from seg2d3d_ros.reconstruction.online.online_reconstructor import OnlineReconstructor

    scene = Scene(tmp_path / "d.db", frames=12, noise=0.3)
    reconstructor = OnlineReconstructor(tmp_path / "map", ReconstructionConfig(mode="online", threads=1))
    mapper = scene.mapper()
    for i in scene.truth.images:
        scene.feed(mapper, i)
    mapper.grow()
    reconstructor._mapper = mapper
    reconstructor._tried = {a: {b: len(g.inlier_matches)} for (a, b), g in scene.geometries.items()}
    for (a, b), g in scene.geometries.items():
        reconstructor._note(a, {b: len(g.inlier_matches)})
    reconstructor._database.inlier_matches = lambda a, b: scene.geometries[(a, b)].inlier_matches
    reconstructor._database.keypoints = lambda i: scene.keypoints[i]
    check = CrossCheck(1)
    check.start(task(tmp_path / "d.db", scene.truth), list(scene.truth.images), pairs(scene), 12)
    answer = check.take()

    model = mapper.models[0].reconstruction
    straight = {i: model.image(i).projection_center() for i in model.reg_image_ids()}
    size = np.ptp(list(straight.values()), axis=0).max()
    for i in (10, 11, 12):
        frame = model.frame(model.image(i).frame_id)
        frame.rig_from_world = frame.rig_from_world * pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([0.2 * size, 0, 0]))
    reconstructor._consider(answer, [])
    taken = mapper.models[0].reconstruction
    assert taken is not model
    moved = [np.linalg.norm(taken.image(i).projection_center() - c) for i, c in straight.items()]
    assert max(moved) < 0.02 * size

    bent = copy.deepcopy(taken)
    for i in (10, 11, 12):  # and the other way round: what is bent is not taken
        frame = bent.frame(bent.image(i).frame_id)
        frame.rig_from_world = frame.rig_from_world * pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([0.2 * size, 0, 0]))
    kept = mapper.models
    reconstructor._consider([bent], [])
    assert mapper.models is kept
    reconstructor.close()


def test_cancelling_leaves_the_check_running_and_its_answer_is_not_lost(tmp_path):
    """Whoever waits is let go at the next tenth of a second; the thread cannot be stopped, so its answer comes later."""
    scene = Scene(tmp_path / "d.db", frames=8)
    check, released = CrossCheck(2), threading.Event()
    solve = crosscheck.solve_all

    def slow(*args):
        released.wait(30)
        return solve(*args)

    def stop():
        raise Cancelled("stop")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crosscheck, "solve_all", slow)
        check.start(task(tmp_path / "d.db", scene.truth), list(scene.truth.images), pairs(scene), 8)
        begin = time.monotonic()
        with pytest.raises(Cancelled):
            check.take(wait=stop)
        assert time.monotonic() - begin < 1.0
        assert check.running
        assert not check.due(1000)  # one at a time
        assert check.take() is None
        released.set()
        (model,) = check.take(wait=lambda: None)
    assert misfit(model, scene.truth) < 1e-3
