"""Points in views that did not match them: seen from the other end of a façade, and not through what stands before them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.association.projection import project_unobserved
from seg2d3d_ros.association.solve import associate
from seg2d3d_ros.association.surfaces import surface_normals
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Segments, SparseModel, WorldFrame

CAMERA = Camera("PINHOLE", 200, 120, (100.0, 100.0, 100.0, 60.0))
SIDE = 5.0
AHEAD = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
BACK = np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]])
"""camera_from_world of cameras that look along a street, its x axis, and back; z is up."""


def seen_by(xyz: np.ndarray, looks: list[np.ndarray], places: list[tuple[float, float]], rows: list[np.ndarray]) -> SparseModel:
    """Cameras at these places (x, y) that look so; each matches the points ``rows`` that lie in its picture."""
    poses = np.stack([np.column_stack([look, -look @ [*place, 0.0]]) for look, place in zip(looks, places, strict=True)])
    keyframe, point, pixels = [], [], []
    for k, mine in enumerate(rows):
        local = xyz[mine] @ poses[k, :, :3].T + poses[k, :, 3]
        xy = local[:, :2] / np.maximum(local[:, 2:], 1e-9) * 100.0 + [100.0, 60.0]
        inside = (local[:, 2] > 0.5) & CAMERA.inside(xy)
        keyframe += [k] * int(inside.sum())
        point += mine[inside].tolist()
        pixels += xy[inside].tolist()
    return SparseModel(
        names=tuple(f"v{k}" for k in range(len(rows))),
        cameras=(CAMERA,) * len(rows),
        camera_from_world=poses,
        xyz=xyz,
        rgb=np.zeros((len(xyz), 3), np.uint8),
        error=np.zeros(len(xyz), np.float32),
        point_ids=np.arange(len(xyz)),
        obs_keyframe=np.array(keyframe, np.int32),
        obs_point=np.array(point, np.int32),
        obs_xy=np.array(pixels, np.float32),
        frame=WorldFrame(),
    )


def facade(count: int, seed: int, x: tuple[float, float] = (8.0, 18.0)) -> np.ndarray:
    """Points on a house front beside the street."""
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform(*x, count), np.full(count, SIDE), rng.uniform(-2.0, 2.0, count)])


def both_ways(seed: int = 1) -> SparseModel:
    """Two cameras approach a house and match one half of its points, two look back at it and match the other half."""
    xyz = facade(120, seed)
    first, second = np.arange(60), np.arange(60, 120)
    looks = [AHEAD, AHEAD, BACK, BACK]
    return seen_by(xyz, looks, [(0, 0), (2, 0), (24, 0), (26, 0)], [first, first, second, second])


def one_mask(model: SparseModel) -> dict[str, Segments]:
    """Each view holds everything in one mask."""
    labels, one = np.full((CAMERA.height, CAMERA.width), 7, np.uint16), np.ones(1, np.int32)
    return {name: Segments(name, labels, np.array([7], np.uint16), one, one.astype(np.float32)) for name in model.names}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_views_from_both_ends_of_a_facade_see_one_house(seed):
    """They share no point, and their directions differ by a right angle and more."""
    model = both_ways(seed)
    incidence = build_incidence([model], one_mask(model), project=True)
    assert len(np.unique(associate(incidence, model.xyz, AssociationConfig()).segment_instance)) == 1
    alone = build_incidence([model], one_mask(model), project=False)
    assert len(np.unique(associate(alone, model.xyz, AssociationConfig()).segment_instance)) == 2, "so it is for the projection"


def test_points_are_not_seen_from_behind_their_surface():
    model = both_ways()
    looks = [AHEAD, AHEAD, BACK, AHEAD]
    behind = seen_by(
        model.xyz, looks, [(0, 0), (2, 0), (26, 2 * SIDE), (1, 0.5)], [np.arange(120), np.arange(120), *[np.arange(0)] * 2]
    )
    assert set(project_unobserved([behind], {"v2", "v3"}).keyframe) == {3}


def test_without_a_surface_only_views_of_the_same_side_see_a_point():
    """A hedge: its points lie in no plane."""
    model = both_ways()
    thick = model.xyz + np.random.default_rng(4).uniform(-2.0, 2.0, model.xyz.shape) * [0, 1, 0]
    scattered = dataclasses.replace(model, xyz=thick)
    flat, hedge = (len(project_unobserved([m], {"v2", "v3"}).point) for m in (model, scattered))
    assert flat > 100 > 2 * hedge


def test_what_stands_before_a_point_hides_it():
    """A near wall that the view itself did not match: other views did."""
    far = facade(60, 1, (40.0, 50.0)) + [0, 4.0, 0]
    near = np.column_stack([np.full(600, 12.0), np.random.default_rng(2).uniform(0.5, 4.5, 600), np.tile(far[:, 2], 10) / 3])
    xyz = np.concatenate([far, near])
    everything = np.arange(len(xyz))
    free = seen_by(
        xyz,
        [AHEAD] * 4,
        [(0, 0), (1, 0), (30, 3), (2, 0.2)],
        [everything[60:], everything[60:], everything[:60], everything[:0]],
    )
    hidden = project_unobserved([free], {"v3"})
    open_street = seen_by(
        far, [AHEAD] * 4, [(0, 0), (1, 0), (30, 3), (2, 0.2)], [everything[:0]] * 2 + [everything[:60], everything[:0]]
    )
    assert (hidden.point < 60).sum() < 0.2 * (project_unobserved([open_street], {"v3"}).point < 60).sum()


def test_nothing_lies_behind_what_a_mask_shows():
    """The far house's points fall into the near house's mask, where the view has no keypoint around."""
    near = facade(30, 3, (8.0, 12.0))
    far = facade(60, 4, (40.0, 60.0))
    xyz = np.concatenate([near, far])
    model = seen_by(xyz, [AHEAD] * 3, [(0, 0), (1, 0), (2, 0)], [np.arange(30), np.arange(90), np.arange(30, 90)])
    without = project_unobserved([model], {"v0"})
    within = project_unobserved([model], {"v0"}, lambda name, xy: np.zeros(len(xy), np.int32))
    beside = project_unobserved([model], {"v0"}, lambda name, xy: np.where(xy[:, 0] < 70, 0, 1).astype(np.int32))
    assert (without.point >= 30).sum() > 20
    assert (within.point >= 30).sum() == 0
    assert (beside.point >= 30).sum() > 20, "a mask of its own, which no near point lies in"
    assert set(beside.segment[beside.point >= 30]) == {1}


def test_normals_point_to_where_the_surface_is_seen_from():
    xyz = facade(200, 5)
    normal = surface_normals(xyz, np.tile([0.6, 0.8, 0.0], (200, 1)))
    np.testing.assert_allclose(normal, np.tile([0.0, -1.0, 0.0], (200, 1)), atol=1e-6)
    cloud = np.random.default_rng(6).normal(size=(200, 3))
    assert (surface_normals(cloud, cloud) != 0).any(axis=1).mean() < 0.1
    unknown = np.concatenate([xyz, np.full((3, 3), np.nan)])
    np.testing.assert_array_equal(surface_normals(unknown, np.ones((203, 3)))[200:], 0.0)
    np.testing.assert_array_equal(surface_normals(xyz[:5], np.ones((5, 3))), 0.0)
