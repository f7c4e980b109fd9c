"""Upright boxes: they turn with the world, stray points do not move their faces, and any point set has one."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_maps import two_houses
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from seg2d3d_ros.geometry.oriented_boxes import OrientedBoxes, oriented_box, without_strays
from seg2d3d_ros.geometry.up import level_frame

Z = np.array([0.0, 0.0, 1.0])
SIZE = np.array([12.0, 6.0, 9.0])
"""Of the house below: length, depth, height in metres."""


def house(seed: int, count: int = 1200, side: float = 0.3, noise: float = 0.02) -> np.ndarray:
    """(count, 3) points on a front and one side wall, an L from above, as a drive past sees them."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-0.5, 0.5, (2, count))
    front = rng.random(count) >= side
    walls = np.where(front[:, None], np.stack([a, -0.5 + 0 * a, b], 1), np.stack([0.5 + 0 * a, a, b], 1))
    return walls * SIZE + rng.normal(0, noise, (count, 3))


def box_of(xyz: np.ndarray, up: np.ndarray = Z) -> OrientedBoxes:
    center, size, rotation = oriented_box(xyz, up)
    return OrientedBoxes(center[None], size[None], rotation[None])


def same_corners(first: OrientedBoxes, second: OrientedBoxes, tolerance: float) -> None:
    """OrientedBoxes are equal as sets: a box is its own image under a half turn."""
    gap = np.linalg.norm(first.corners[0][:, None] - second.corners[0][None], axis=2)
    assert gap.min(axis=1).max() < tolerance
    assert gap.min(axis=0).max() < tolerance


def test_an_l_shaped_facade_gets_its_own_directions_and_size():
    turn = Rotation.from_euler("z", 37, degrees=True).as_matrix()
    box = box_of(house(1) @ turn.T + [100, 200, 4.5])
    np.testing.assert_allclose(box.size[0], SIZE, atol=0.5)  # the trimmed 2 % per side
    np.testing.assert_allclose(box.center[0], [100, 200, 4.5], atol=0.4)
    assert abs(box.rotation[0, :, 0] @ turn[:, 0]) > np.cos(np.radians(1.0))
    np.testing.assert_allclose(box.rotation[0] @ box.rotation[0].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(box.rotation[0]) == pytest.approx(1)
    # The axis-aligned box around it is what a turned box needs: far larger.
    assert np.prod(box.bounds[0, 1] - box.bounds[0, 0]) > 1.5 * np.prod(box.size[0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(-180, 180), st.floats(-50, 50))
def test_turning_the_world_about_up_turns_the_box(seed: int, degrees: float, shift: float):
    xyz = house(seed, 300)
    turn = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    box, turned = box_of(xyz), box_of(xyz @ turn.T + shift)
    moved = OrientedBoxes(box.center @ turn.T + shift, box.size, turn @ box.rotation)
    same_corners(turned, moved, 0.3)  # walls of 12 m with 2 cm of noise tell a degree


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 1000))
def test_any_up_gives_the_same_box_of_the_turned_world(seed: int, other: int):
    xyz, turn = house(seed, 300), Rotation.random(random_state=other).as_matrix()
    box, turned = box_of(xyz), box_of(xyz @ turn.T, turn[:, 2])
    same_corners(turned, OrientedBoxes(box.center @ turn.T, box.size, turn @ box.rotation), 0.3)
    np.testing.assert_allclose(turned.rotation[0, :, 2], turn[:, 2], atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(["cloud", "clump", "behind", "above"]), st.floats(3, 60))
def test_five_per_cent_of_strays_move_no_face_by_more_than_a_thirtieth(seed: int, kind: str, far: float):
    """Scattered all around, in one clump, on a parallel wall behind, or in a row in the sky: at least 3 m away."""
    rng = np.random.default_rng(seed)
    xyz = house(seed, 800)
    count = 42  # 5 % of the whole
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    strays = {
        "cloud": direction * (rng.uniform(10, 20 + far, (count, 1))),
        "clump": np.array([6 + far, 3 + far, 0]) + rng.normal(0, 0.5, (count, 3)),
        "behind": np.stack([rng.uniform(-6, 6, count), np.full(count, 3 + far), rng.uniform(-4, 4, count)], 1),
        "above": np.stack([rng.uniform(-6, 6, count), np.full(count, -3.0), np.full(count, 4.5 + far)], 1),
    }[kind]
    clean, dirty = box_of(xyz), box_of(np.concatenate([xyz, strays]))
    same_corners(dirty, clean, 0.03 * np.linalg.norm(SIZE))


def test_strays_are_what_does_not_hang_together():
    xyz = np.concatenate([house(3, 500), [[40.0, 0, 0], [0, 0, 60]]])
    kept = without_strays(xyz)
    assert not kept[500:].any()
    assert kept[:500].mean() > 0.99
    two = np.concatenate([house(3, 300), house(4, 100) + [60, 0, 0]])
    assert without_strays(two).mean() > 0.99, "a part with a third of the points is no stray"


def test_few_points_have_boxes():
    for up in (Z, np.array([0.6, 0.0, 0.8]), -Z):
        one = box_of(np.array([[1.0, 2, 3]]), up)
        np.testing.assert_allclose(one.center[0], [1, 2, 3])
        np.testing.assert_array_equal(one.size[0], 0)
        assert np.isfinite(one.quaternions).all()
    two = box_of(np.array([[0.0, 0, 0], [3, 4, 2]]))
    np.testing.assert_allclose(two.size[0], [5, 0, 2], rtol=0.05, atol=1e-9)
    np.testing.assert_allclose(np.abs(two.rotation[0, :, 0]), [0.6, 0.8, 0], atol=1e-9)
    line = box_of(np.linspace(0, 1, 50)[:, None] * [3.0, -4, 0])
    np.testing.assert_allclose(line.size[0], [5, 0, 0], rtol=0.05, atol=1e-9)
    upright = box_of(np.linspace(0, 7, 50)[:, None] * Z)
    np.testing.assert_allclose(upright.size[0], [0, 0, 7], rtol=0.05, atol=1e-9)
    same = box_of(np.tile([5.0, 5, 5], (30, 1)))
    np.testing.assert_array_equal(same.size[0], 0)
    assert not box_of(np.empty((0, 3))).known[0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-1e3, 1e3)] * 3), min_size=1, max_size=30))
def test_any_points_give_a_finite_upright_box(points: list[tuple[float, float, float]]):
    box = box_of(np.array(points))
    assert box.known[0]
    assert (box.size >= 0).all()
    assert box.size[0, 0] >= box.size[0, 1] - 1e-9
    np.testing.assert_allclose(box.rotation[0] @ Z, Z, atol=1e-12)
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    assert (box.center[0] >= low - 1e-6 - 0.5 * np.ptp(points, axis=0).max()).all()
    assert (box.center[0] <= high + 1e-6 + 0.5 * np.ptp(points, axis=0).max()).all()


@given(st.integers(0, 10_000))
def test_level_frame_is_a_rotation_to_up(seed: int):
    up = Rotation.random(random_state=seed).as_matrix()[:, 2]
    frame = level_frame(up)
    np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(frame @ Z, up, atol=1e-9)


def test_boxes_stand_on_the_models_own_vertical():
    """The same two houses in a world that lies on its side."""
    from dataclasses import replace

    from seg2d3d_ros.association.incidence import build_incidence
    from seg2d3d_ros.association.solve import associate
    from seg2d3d_ros.sections.association_config import AssociationConfig

    model, segments = two_houses()
    incidence = build_incidence([model], segments)
    upright = associate(incidence, model.xyz, AssociationConfig(), np.tile([0.0, -1.0, 0.0], (len(model.xyz), 1)))
    np.testing.assert_allclose(upright.boxes.rotation[:, :, 2], [[0, -1, 0]] * len(upright.ids), atol=1e-9)
    taken = replace(upright, boxes=upright.boxes[np.array([1, 0])])
    np.testing.assert_array_equal(taken.boxes.center[0], upright.boxes.center[1])
