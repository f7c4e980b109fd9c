"""Covariances of objects' places: drawn cameras' errors against what is said, and what is not known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from helpers_certainty import CENTERS, FOCAL, HEIGHT, IMAGES, TURN, WIDTH
from scipy import sparse
from scipy.spatial.transform import Rotation

from seg2d3d_ros.association.judging.place_covariance import LEAST, with_place_covariances
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.oriented_boxes import OrientedBoxes, oriented_box
from seg2d3d_ros.geometry.up import Z
from seg2d3d_ros.mapstore.pose_covariance import PoseCovariance, PoseWindow, gauge_directions
from seg2d3d_ros.types import Incidence, Instances, SparseModel

CAMERA = Camera("PINHOLE", WIDTH, HEIGHT, (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2))
NAMES = tuple(f"k{k}" for k in range(IMAGES))


def houses(count=2, points=200, seed=0):
    """(count · points, 3) façades along the drive with a step in depth, and their instances."""
    rng = np.random.default_rng(seed)
    parts = []
    for k in range(count):
        left = 6.0 * k
        x = rng.uniform(left, left + 5, points)
        y = np.where(rng.random(points) < 0.2, rng.uniform(9, 11, points), 9.0)
        parts.append(np.column_stack([np.where(y > 9, left, x), y, rng.uniform(-2, 3, points)]))
    return np.concatenate(parts), np.repeat(np.arange(1, count + 1), points).astype(np.int32)


def model_of(xyz, centers=CENTERS):
    poses = np.concatenate([np.broadcast_to(TURN, (IMAGES, 3, 3)), (-centers @ TURN.T)[:, :, None]], axis=2)
    obs_keyframe, obs_point = (grid.ravel().astype(np.int32) for grid in np.indices((IMAGES, len(xyz))))
    count = len(xyz)
    return SparseModel(
        NAMES,
        (CAMERA,) * IMAGES,
        poses,
        xyz,
        np.zeros((count, 3), np.uint8),
        np.zeros(count, np.float32),
        np.arange(count),
        obs_keyframe,
        obs_point,
        np.zeros((len(obs_point), 2), np.float32),
    )


def instances_of(xyz, owner):
    ids = np.unique(owner[owner > 0])
    boxes = OrientedBoxes.none(len(ids))
    for k, i in enumerate(ids):
        boxes.center[k], boxes.size[k], boxes.rotation[k] = oriented_box(xyz[owner == i], Z)
    none, ones = np.empty(0, np.int32), np.ones(len(ids))
    return Instances(none, owner, np.ones(len(owner), np.float32), ids, ones.astype(np.int32), ones.astype(np.float32), boxes)


def covariance_of(matrix, names=NAMES):
    window = PoseWindow(np.arange(len(names), dtype=np.int32), matrix.astype(np.float32))
    return PoseCovariance(names, (window,), 0.5, absolute=True)


def retriangulated(xyz, off):
    """The points where the true rays meet after cameras moved by ``off`` (K, 6) as a map would place them."""
    centers = CENTERS + off[:, :3]
    turns = Rotation.from_rotvec(off[:, 3:]).as_matrix()
    rays = xyz[None] - CENTERS[:, None]
    distance = np.linalg.norm(rays, axis=2, keepdims=True)
    rays = np.einsum("kij,knj->kni", turns, rays / distance)
    across = (np.eye(3) - rays[..., :, None] * rays[..., None, :]) / distance[..., None] ** 2
    return np.linalg.solve(across.sum(0), np.einsum("knij,kj->ni", across, centers)[..., None])[..., 0]


def test_places_move_with_the_cameras_as_is_said():
    rng = np.random.default_rng(1)
    xyz, owner = houses()
    shape = rng.normal(size=(6 * IMAGES, 6 * IMAGES)) * np.tile([0.02, 0.02, 0.02, 0.002, 0.002, 0.002], IMAGES)[:, None]
    common = gauge_directions(CENTERS)[:, :3] * [0.3, 0.1, 0.2]
    matrix = shape @ shape.T / IMAGES + common @ common.T
    instances = instances_of(xyz, owner)
    said = with_place_covariances([model_of(xyz)], {0: covariance_of(matrix)}, instances).boxes
    still = with_place_covariances([model_of(xyz)], {0: covariance_of(0 * matrix)}, instances).boxes
    factor, moved = np.linalg.cholesky(matrix + 1e-15 * np.eye(len(matrix))), []
    for _ in range(60):
        moved_xyz = retriangulated(xyz, (factor @ rng.normal(size=len(matrix))).reshape(IMAGES, 6))
        moved.append(instances_of(moved_xyz, owner).boxes.foot - instances.boxes.foot)
    for k in range(2):
        seen = np.cov(np.array(moved)[:, k].T)
        by_cameras = said.covariance[k] - still.covariance[k]
        np.testing.assert_allclose(np.sqrt(np.diag(by_cameras)), np.sqrt(np.diag(seen)), rtol=0.3)


def test_a_shift_of_the_map_is_in_the_places_as_it_is():
    xyz, owner = houses()
    common = gauge_directions(CENTERS)[:, :3] * [1.0, 2.0, 3.0]
    instances, model = instances_of(xyz, owner), model_of(xyz)
    said = with_place_covariances([model], {0: covariance_of(common @ common.T)}, instances).boxes.covariance
    still = with_place_covariances([model], {0: covariance_of(0 * common @ common.T)}, instances).boxes.covariance
    np.testing.assert_allclose(said - still, np.broadcast_to(np.diag([1.0, 4.0, 9.0]), (2, 3, 3)), atol=1e-4)
    assert np.linalg.eigvalsh(still).min() > 0


def test_keypoints_add_their_noise():
    """Drawn keypoints of .5 pixels, points where their rays meet best; the cameras stand still."""
    rng, nothing = np.random.default_rng(2), np.zeros((6 * IMAGES, 6 * IMAGES))
    xyz, owner = houses(1, 60)
    instances = instances_of(xyz, owner)
    said = with_place_covariances([model_of(xyz)], {0: covariance_of(nothing)}, instances).boxes.covariance[0]
    offset = xyz[None] - CENTERS[:, None]
    distance = np.linalg.norm(offset, axis=2, keepdims=True)
    across = (np.eye(3) - (offset / distance)[..., :, None] * (offset / distance)[..., None, :]) / distance[..., None] ** 2
    moved = []
    for _ in range(100):
        off = 0.5 / FOCAL * distance * rng.normal(size=offset.shape)
        shift = np.linalg.solve(across.sum(0), np.einsum("knij,knj->ni", across, off)[..., None])[..., 0]
        moved.append(instances_of(xyz + shift, owner).boxes.foot[0] - instances.boxes.foot[0])
    seen = np.std(np.array(moved), axis=0)
    assert (np.sqrt(np.diag(said)) < 2.5 * seen).all()
    assert (np.sqrt(np.diag(said)) > seen / 2.5).all()
    noisier = replace(covariance_of(nothing), pixel_sigma=1.0)
    twice = with_place_covariances([model_of(xyz)], {0: noisier}, instances).boxes.covariance[0]
    np.testing.assert_allclose(twice, 4 * said)


def test_what_rays_placed_gets_the_errors_of_the_cameras_on_top():
    xyz, owner = houses(1)
    instances = instances_of(xyz, owner)
    own = np.diag([0.01, 0.02, 0.03])
    instances.boxes.covariance[0] = own
    common = gauge_directions(CENTERS)[:, :3]
    shown = np.ones(3, np.int32)
    instances = replace(instances, segment_instance=shown)
    none, points = sparse.csr_matrix((3, len(xyz)), dtype=np.float32), np.arange(len(xyz))
    seen = sparse.csr_matrix((IMAGES, len(xyz)), dtype=bool)
    incidence = Incidence(none, seen, NAMES, np.array([1, 4, 6], np.int32), shown.astype(np.uint16), shown, shown * 1.0, points)
    known = {0: covariance_of(common @ common.T)}
    found = with_place_covariances([model_of(xyz)], known, instances, incidence)
    assert not with_place_covariances([model_of(xyz)], known, instances).boxes.located.any()
    np.testing.assert_allclose(found.boxes.covariance[0], own + np.eye(3), atol=1e-4)
    np.testing.assert_array_equal(instances.boxes.covariance[0], own)  # the association's own stay as they are


def test_what_is_not_known_is_not_said():
    xyz, owner = houses()
    matrix = np.eye(6 * IMAGES) * 1e-4
    owner[np.flatnonzero(owner == 2)[LEAST - 1 :]] = 0
    instances, model = instances_of(xyz, owner), model_of(xyz)
    known = with_place_covariances([model], {0: covariance_of(matrix)}, instances).boxes
    assert known.located.tolist() == [True, False]  # too few points
    instances.boxes.covariance[0] = np.eye(3)
    assert not with_place_covariances([model], {}, instances).boxes.located.any()
    other = replace(model, component=1)
    assert not with_place_covariances([other], {0: covariance_of(matrix)}, instances).boxes.located.any()
    strangers = covariance_of(matrix, tuple(f"other {k}" for k in range(IMAGES)))
    assert not with_place_covariances([model], {0: strangers}, instances).boxes.located.any()
    nobody = instances_of(xyz, np.zeros(len(xyz), np.int32))
    assert len(with_place_covariances([model], {0: covariance_of(matrix)}, nobody).boxes) == 0
    assert len(with_place_covariances([], {}, instances_of(np.empty((0, 3)), np.empty(0, np.int32))).boxes) == 0
