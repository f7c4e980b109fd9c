"""The second opinion: its own copy of the geometry, when it is due, and that a bent model gives way to it."""

import time

import numpy as np
import pycolmap
import pytest
from test_reconstruction_streaming import Scene, misfit

from seg2d3d_ros.reconstruction.crosscheck import TABLES, CrossCheck, copy_geometry
from seg2d3d_ros.reconstruction.database import PAIR_BASE
from seg2d3d_ros.reconstruction.mapping import MapperTask


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
    assert sum(sizes) < 2 * sizes[-1]
