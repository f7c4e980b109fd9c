"""Superpoints of clouds: every point in one, the same ones however the cloud is given, and parted where surfaces differ."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from seg2d3d_ros.sections.superpoint_config import SuperpointConfig
from seg2d3d_ros.superpoints.graph import edge_weights, neighbour_graph
from seg2d3d_ros.superpoints.graph_segmentation import numbered
from seg2d3d_ros.superpoints.partition import partition

CONFIG = SuperpointConfig(scale=0.5, by_gap=0.01)


def corner(seed: int, count: int = 900) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) points on two walls at right angles and one 3 m away, with a little noise, and (N,) which wall."""
    rng = np.random.default_rng(seed)
    wall = rng.integers(0, 3, count)
    along, up, off = rng.uniform(0.1, 2, count), rng.uniform(0, 2, count), rng.normal(0, 0.002, count)
    xyz = np.select(
        [(wall == 0)[:, None], (wall == 1)[:, None]],
        [np.stack([along, off, up], axis=1), np.stack([off, along, up], axis=1)],
        np.stack([along, off + 5, up], axis=1),
    )
    return xyz, wall


def test_walls_are_parted_at_their_corner_and_over_a_gap():
    xyz, wall = corner(0)
    label = partition(xyz, CONFIG)
    for k in range(3):
        assert np.bincount(label[wall == k]).max() > 0.9 * np.count_nonzero(wall == k)
    most = [np.bincount(label[wall == k]).argmax() for k in range(3)]
    assert len(set(most)) == 3


def test_colours_part_a_flat_wall_where_they_count():
    rng = np.random.default_rng(1)
    xyz = np.stack([rng.uniform(0, 4, 1500), np.zeros(1500), rng.uniform(0, 2, 1500)], axis=1)
    rgb = np.where((xyz[:, 0] < 2)[:, None], [200, 60, 60], [60, 200, 60]).astype(np.uint8)
    assert partition(xyz, CONFIG).max() == 0
    label = partition(xyz, CONFIG, rgb=rgb)
    assert len(np.unique(label[xyz[:, 0] < 2])) == len(np.unique(label[xyz[:, 0] >= 2])) == 1
    assert label.max() == 1
    assert partition(xyz, SuperpointConfig(scale=0.5, by_gap=0.01, by_color=0.0), rgb=rgb).max() == 0


@pytest.mark.parametrize("seed", range(4))
def test_the_same_whatever_the_order_the_place_and_the_scale(seed: int):
    xyz, _ = corner(seed)
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 256, (len(xyz), 3)).astype(np.uint8)
    label = partition(xyz, CONFIG, rgb=rgb)
    assert label.dtype == np.int32
    np.testing.assert_array_equal(np.unique(label), np.arange(label.max() + 1))
    np.testing.assert_array_equal(numbered(label), label)
    order = rng.permutation(len(xyz))
    np.testing.assert_array_equal(partition(xyz[order], CONFIG, rgb=rgb[order]), numbered(label[order]))
    moved = 7.3 * Rotation.from_rotvec(rng.normal(size=3)).apply(xyz) + [5e3, -2e3, 40.0]
    # Sums of rounded numbers may break a tie the other way, so that a few points change sides.
    again = partition(moved, CONFIG, rgb=rgb)
    table = np.zeros((label.max() + 1, again.max() + 1))
    np.add.at(table, (label, again), 1)
    assert table.max(axis=1).sum() > 0.98 * len(xyz)


def test_points_in_one_place_share_a_superpoint_and_what_is_not_finite_is_alone():
    xyz, _ = corner(2, 300)
    twice = np.concatenate([xyz, xyz[:100], np.full((2, 3), np.nan), [[np.inf, 0, 0]]])
    label = partition(twice, CONFIG)
    np.testing.assert_array_equal(label[300:400], label[:100])
    np.testing.assert_array_equal(label[:300], partition(xyz, CONFIG))
    assert all(np.count_nonzero(label == k) == 1 for k in label[400:])
    assert partition(np.zeros((50, 3)), CONFIG).max() == 0


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_few_points(count: int):
    xyz = np.arange(3.0 * count).reshape(count, 3)
    label = partition(xyz, CONFIG, rgb=np.zeros((count, 3), np.uint8))
    np.testing.assert_array_equal(label, np.zeros(count))


def test_given_normals_are_used_and_their_sign_means_nothing():
    xyz, _ = corner(3)
    rng = np.random.default_rng(3)
    flat = np.tile([0.0, 0.0, 1.0], (len(xyz), 1)) * rng.choice([-1.0, 1.0], len(xyz))[:, None]
    near = xyz[:, 1] < 3
    assert len(np.unique(partition(xyz, CONFIG, normals=flat)[near])) == 1
    assert len(np.unique(partition(xyz, CONFIG)[near])) > 1


def test_weights_are_angles_colours_and_gaps():
    xyz = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [6, 0, 0]])
    normals = np.array([[0, 0, 1.0], [0, 0, -1.0], [0, np.sqrt(0.5), np.sqrt(0.5)], [0, 1.0, 0]])
    graph = neighbour_graph(xyz, 1, normals)
    np.testing.assert_array_equal(graph.edges, [[0, 1], [1, 2], [2, 3]])
    np.testing.assert_allclose(graph.gap, [1, 1, 4 / 2], rtol=1e-6)
    rgb = np.array([[0, 0, 0], [0, 0, 0], [255, 255, 255], [255, 255, 255]], np.uint8)
    by_angle = [0, 1 - np.sqrt(0.5), 1 - np.sqrt(0.5)]
    np.testing.assert_allclose(edge_weights(graph, None, by_color=9.0, by_gap=0.0), by_angle, atol=1e-6)
    np.testing.assert_allclose(edge_weights(graph, rgb, by_color=0.5, by_gap=0.1), np.add(by_angle, [0, 0.5, 0.1]), atol=1e-6)


def test_what_stands_far_off_joins_nothing_however_small_it_is():
    xyz = np.concatenate([corner(4)[0], [[40.0, 1, 1], [40.1, 1, 1], [40, 1.1, 1]]])
    label = partition(xyz, CONFIG)
    assert len(set(label[-3:])) == 1
    assert label[-1] not in label[:-3]
