"""In which order points, observations, masks and images come must not show in what the association's steps find."""

from __future__ import annotations

import dataclasses

import numpy as np
from helpers_boards import Board, boards_world
from helpers_doppelgangers import masks
from helpers_doppelgangers import street as street_behind
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from seg2d3d_ros.association.connectivity import split_disconnected
from seg2d3d_ros.association.evidence import Groups
from seg2d3d_ros.association.extents import Extents
from seg2d3d_ros.association.points.off_surface import LiveSurfaces, off_surface
from seg2d3d_ros.association.reliability import reliability_by_objects, same_view_pairs
from seg2d3d_ros.association.surfaces import surface_normals
from seg2d3d_ros.types import SparseModel

SEEDS = st.integers(0, 2**32 - 1)


def mixed(model: SparseModel, rng: np.random.Generator) -> tuple[SparseModel, np.ndarray]:
    """The model with everything in another order, and which point of it each new one is."""
    views, points = rng.permutation(len(model.names)), rng.permutation(len(model.xyz))
    observations = rng.permutation(len(model.obs_point))
    other = dataclasses.replace(
        model,
        names=tuple(model.names[k] for k in views),
        cameras=tuple(model.cameras[k] for k in views),
        camera_from_world=model.camera_from_world[views],
        xyz=model.xyz[points],
        point_ids=model.point_ids[points],
        obs_keyframe=np.argsort(views)[model.obs_keyframe[observations]].astype(np.int32),
        obs_point=np.argsort(points)[model.obs_point[observations]].astype(np.int32),
        obs_xy=model.obs_xy[observations],
    )
    return other, points


def with_scattered_depths(seed: int) -> SparseModel:
    """A street where every tenth point lies somewhere along its rays' direction, many of them behind the façade."""
    model, rng = street_behind(seed), np.random.default_rng(seed)
    some = rng.random(len(model.xyz)) < 0.1
    factor = np.where(some, rng.uniform(1.0, 8.0, len(some)), 1.0)[:, None]
    return dataclasses.replace(model, xyz=model.xyz * factor)


@settings(max_examples=8, deadline=None)
@given(SEEDS)
def test_points_off_the_surface(seed):
    model = with_scattered_depths(seed)
    other, points = mixed(model, np.random.default_rng(seed))
    found = off_surface(model, masks())
    assert found.any()
    np.testing.assert_array_equal(off_surface(other, masks()), found[points])


@settings(max_examples=6, deadline=None)
@given(SEEDS)
def test_a_live_map_finds_the_same_whatever_it_saw_before(seed):
    """Keyframes that are as before are not looked at again; changed ones, and fresh masks, are."""
    model, live = with_scattered_depths(seed), LiveSurfaces()
    live.off_surface(street_behind(seed), masks())
    np.testing.assert_array_equal(live.off_surface(model, masks()), off_surface(model, masks()))
    name = model.names[1]
    without = {key: item for key, item in masks().items() if key != name}
    item = masks()[name]
    none = dataclasses.replace(item, ids=item.ids[:0], classes=item.classes[:0], scores=item.scores[:0])
    emptied = {**without, name: none}
    (left,) = live.without_off_surface([model], emptied, {name})
    wanted = model.without_observations(off_surface(model, without))
    np.testing.assert_array_equal(left.obs_point, wanted.obs_point)
    np.testing.assert_array_equal(left.obs_keyframe, wanted.obs_keyframe)


def random_groups(seed: int) -> tuple[Groups, sparse.csr_matrix, np.ndarray]:
    """Objects with points in masks of several views, the points that they hold, and where these are."""
    rng = np.random.default_rng(seed)
    objects, views, per_view, points = 6, 5, 3, 80
    mask_view = np.repeat(np.arange(views), per_view)
    owner, seen = rng.integers(0, objects, points), rng.random((points, views)) < 0.6
    mask = owner[:, None] % per_view + per_view * np.arange(views)
    mask = np.where(rng.random(mask.shape) < 0.2, per_view * np.arange(views) + rng.integers(0, per_view, mask.shape), mask)
    point, view = np.nonzero(seen)
    inside = sparse.csr_matrix((np.ones(len(point)), (owner[point], mask[point, view])), (objects, len(mask_view)))
    visible = sparse.csr_matrix((np.ones(len(point)), (owner[point], view)), (objects, views))
    member = sparse.csr_matrix((np.ones(points), (owner, np.arange(points))), (objects, points))
    return Groups(inside, visible, mask_view), member, rng.normal(size=(points, 3)) * [20, 3, 8]


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_reliability_where_objects_are_known(seed):
    groups, _, _ = random_groups(seed)
    rng = np.random.default_rng(seed + 1)
    objects, order = rng.permutation(len(groups)), rng.permutation(len(groups.mask_view))
    views = rng.permutation(groups.visible.shape[1])
    other = Groups(
        groups.inside[objects][:, order].tocsr(),
        groups.visible[objects][:, views].tocsr(),
        np.argsort(views)[groups.mask_view[order]],
    )
    results = []
    for item in (groups, other):
        pairs = same_view_pairs(item.mask_view)
        reliability, cannot_link = reliability_by_objects(item, pairs)
        results.append((reliability, sparse.csr_matrix((cannot_link, pairs), (len(order),) * 2).toarray()))
    np.testing.assert_allclose(results[1][0], results[0][0][order], atol=1e-9)
    np.testing.assert_allclose(results[1][1], results[0][1][np.ix_(order, order)], atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_extents_and_their_medians(seed):
    _, member, xyz = random_groups(seed)
    rng = np.random.default_rng(seed + 2)
    rows, points = rng.permutation(member.shape[0]), rng.permutation(len(xyz))
    here, there = Extents.of(member, xyz), Extents.of(member[rows][:, points].tocsr(), xyz[points])
    np.testing.assert_array_equal(there.center, here.center[rows])
    np.testing.assert_array_equal(there.square, here.square[rows])
    for row in range(member.shape[0]):
        mine = xyz[member[row].indices]
        np.testing.assert_array_equal(here.center[row], np.median(mine, axis=0))
    owner = rng.integers(0, 3, len(rows))
    united, again = here.contract(owner, 3), there.contract(owner[rows], 3)
    np.testing.assert_allclose(again.center, united.center)
    np.testing.assert_allclose(again.square, united.square)


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_parts_that_share_no_point(seed):
    rng = np.random.default_rng(seed)
    held = sparse.csr_matrix((rng.random((12, 40)) < 0.06).astype(float))
    object_of, main = rng.integers(-1, 3, 40), rng.integers(-1, 3, 12)
    rows, points = rng.permutation(12), rng.permutation(40)
    here = split_disconnected(object_of, held, main)
    there = split_disconnected(object_of[points], held[rows][:, points].tocsr(), main[rows])
    shared = (held > 0).toarray() & (main[:, None] == object_of[None]) & (object_of >= 0)
    tied = np.flatnonzero(shared.any(axis=0))
    place = np.argsort(points)

    def together(found: np.ndarray, at: np.ndarray) -> np.ndarray:
        return found[at][:, None] == found[at][None]

    np.testing.assert_array_equal(together(there, place[tied]), together(here, tied))


def test_normals_of_surfaces():
    world = boards_world((Board(-16, -2, 10), Board(2, 16, 10)), (-9.0, 9.0))
    xyz, toward = world.model.xyz, np.tile([0.0, 0.0, 1.0], (len(world.model.xyz), 1))
    order = np.random.default_rng(5).permutation(len(xyz))
    np.testing.assert_allclose(surface_normals(xyz[order], toward), surface_normals(xyz, toward)[order], atol=1e-6)
