"""Borders that views show on a flat grey wall: where most of them are drawn, by the views that can tell."""

from __future__ import annotations

import numpy as np
import pytest

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.sections.superpoint_config import SuperpointConfig
from seg2d3d_ros.superpoints.borders import border_shares, majority_labels
from seg2d3d_ros.superpoints.completion import completed_labels, voted_labels
from seg2d3d_ros.superpoints.graph import neighbour_graph
from seg2d3d_ros.superpoints.partition import partition
from seg2d3d_ros.superpoints.shown_labels import LabelledView, ShownLabels, shown_labels

CAMERA = Camera("PINHOLE", 400, 200, (200.0, 200.0, 200.0, 100.0))
CONFIG = SuperpointConfig(scale=5.0)


def wall(seed: int = 0, count: int = 3000) -> np.ndarray:
    """(N, 3) points of a flat wall, 4 m by 2 m, 4 m in front of the cameras."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.uniform(-2, 2, count), rng.uniform(-1, 1, count), np.full(count, 4.0)], axis=1)


def look(xyz: np.ndarray, border: float, left: int = 1, right: int = 2, depth: float = 4.0, seen=None) -> ShownLabels:
    """What a view straight ahead shows that draws the border between two objects at x = ``border``."""
    view = View(CAMERA, Pose(np.eye(3), np.array([0.0, 0.0, depth - 4.0])))
    point = np.arange(len(xyz), dtype=np.int32) if seen is None else np.flatnonzero(seen).astype(np.int32)
    label = np.where(xyz[point, 0] < border, left, right).astype(np.int32)
    pixels, far = view.project(xyz[point])
    return ShownLabels(view, point, label, pixels.astype(np.float32), far.astype(np.float32))


def test_superpoints_end_where_the_middle_border_is_drawn():
    xyz = wall()
    shown = [look(xyz, x) for x in (-0.3, -0.02, 0.0, 0.02, 0.3)]
    assert partition(xyz, CONFIG).max() == 0, "nothing else tells the two houses apart"
    superpoint = partition(xyz, CONFIG, shown=shown)
    left, right = xyz[:, 0] < -0.02, xyz[:, 0] > 0.02
    assert not set(superpoint[left]) & set(superpoint[right])
    label, share = completed_labels(shown, superpoint)
    assert (label[left] == 1).all()
    assert (label[right] == 2).all()
    assert share.min() > 0.5


def test_shares_of_views_that_draw_a_border_between_two_points():
    xyz = np.array([[-1.0, 0, 4], [0.0, 0, 4], [1.0, 0, 4]])
    edges = np.array([[0, 1], [1, 2]], np.int32)
    shown = [look(xyz, x) for x in (-0.5, -0.4, 0.5)]
    np.testing.assert_allclose(border_shares(3, edges, shown), [2 / 3, 1 / 3], atol=1e-6)
    np.testing.assert_array_equal(majority_labels(shown, 3), [1, 2, 2])
    np.testing.assert_array_equal(majority_labels(shown[1:], 3), [1, -1, 2])  # no majority in the middle
    # A view at half the distance has twice the pixels between the points, and twice the weight.
    shown[2] = look(xyz, 0.5, depth=2.0)
    np.testing.assert_allclose(border_shares(3, edges, shown), [2 / 4, 2 / 4], atol=1e-6)
    assert not border_shares(3, edges, []).any()
    assert (majority_labels([], 3) == -1).all()


def test_a_view_speaks_of_an_edge_only_if_it_sees_both_ends():
    xyz = np.array([[-1.0, 0, 4], [0.0, 0, 4], [1.0, 0, 4]])
    edges = np.array([[0, 1], [1, 2]], np.int32)
    one, other = look(xyz, 9.0, seen=[True, True, False]), look(xyz, -9.0, seen=[False, True, True])
    assert not border_shares(3, edges, [one, other]).any(), "what different views show is not compared"
    both = look(xyz, 0.5, seen=[False, True, True])
    np.testing.assert_allclose(border_shares(3, edges, [one, both]), [0, 1])


def test_a_view_that_missed_the_object_knows_no_border():
    xyz = np.array([[-1.0, 0, 4], [0.0, 0, 4], [1.0, 0, 4]])
    edges = np.array([[0, 1], [1, 2]], np.int32)
    found, missed = look(xyz, 0.5, 5, 0), look(xyz, 9.0, 0, 0)
    np.testing.assert_allclose(border_shares(3, edges, [found, missed, missed]), [0, 1])
    np.testing.assert_array_equal(majority_labels([found, missed, missed], 3), [5, 5, 0])
    # One that shows the object elsewhere says that it ends before.
    narrow = look(xyz, -0.5, 5, 0)
    np.testing.assert_allclose(border_shares(3, edges, [found, narrow]), [0.5, 0.5])
    np.testing.assert_array_equal(majority_labels([found, narrow, narrow], 3), [5, 0, 0])


def test_no_superpoint_holds_points_of_two_objects_even_around_a_hole():
    """Nobody sees the middle of the border; the graph goes on there, the superpoints do not."""
    xyz = wall(1)
    seen = np.abs(xyz[:, 1]) > 0.3
    shown = [look(xyz, 0.0, seen=seen) for _ in range(3)]
    superpoint = partition(xyz, CONFIG, shown=shown)
    assert not set(superpoint[seen & (xyz[:, 0] < 0)]) & set(superpoint[seen & (xyz[:, 0] > 0)])
    graph = neighbour_graph(xyz, CONFIG.neighbours)
    share = border_shares(len(xyz), graph.edges, shown)
    cut = graph.edges[share > 0.5]
    assert len(cut) > 50
    assert (superpoint[cut[:, 0]] != superpoint[cut[:, 1]]).all()


def test_labels_reach_what_no_view_sees_and_end_with_the_superpoint():
    xyz = np.concatenate([wall(2), wall(3) + [0, 0, 30]])
    seen = (xyz[:, 2] < 10) & (xyz[:, 0] < 0.5)
    shown = [look(xyz, 9.0, left=6, seen=seen)]
    superpoint = partition(xyz, CONFIG, shown=shown)
    label, share = completed_labels(shown, superpoint)
    front = xyz[:, 2] < 10
    assert (label[front] == 6).all()
    assert not label[~front].any()
    assert not share[~front].any()
    plain, _ = voted_labels(shown, len(xyz))
    np.testing.assert_array_equal(plain > 0, seen)


@pytest.mark.parametrize("empty", [True, False])
def test_without_labels_there_is_nothing_to_complete(empty: bool):
    xyz = np.empty((0, 3)) if empty else wall(4, 50)
    superpoint = partition(xyz, CONFIG)
    label, share = completed_labels([], superpoint)
    assert len(label) == len(share) == len(xyz)
    assert not label.any()


def test_views_are_asked_for_points_in_reach_that_nothing_hides():
    near, far = wall(5), wall(6) + [0, 0, 4]
    labels = np.where(np.arange(400) < 200, 3, 4).astype(np.uint16)[None].repeat(200, axis=0)
    view = View(CAMERA, Pose.identity())
    views = [LabelledView(view, lambda: labels), LabelledView(view, lambda: None)]
    ((_, item),) = shown_labels(np.concatenate([near, far]), views, 50.0)
    assert item.point.max() < len(near)
    np.testing.assert_array_equal(item.label, np.where(near[item.point, 0] < 0, 3, 4))
    assert list(shown_labels(near, views, 2.0)) == []


def test_edges_that_most_views_cut_are_none_and_those_that_few_cut_weigh_more(monkeypatch):
    """Whatever is known of single points."""
    monkeypatch.setattr("seg2d3d_ros.superpoints.partition.majority_labels", lambda shown, count: np.full(count, -1))
    xyz = wall(7)
    clear = partition(xyz, SuperpointConfig(scale=5.0, by_border=0.0), shown=[look(xyz, 0.0)] * 3)
    assert not set(clear[xyz[:, 0] < 0]) & set(clear[xyz[:, 0] > 0])
    faint = [look(xyz, 0.0)] * 2 + [look(xyz, 9.0)] * 3
    assert partition(xyz, SuperpointConfig(scale=5.0, by_border=0.0), shown=faint).max() == 0
    superpoint = partition(xyz, SuperpointConfig(scale=5.0, by_border=9.0), shown=faint)
    assert not set(superpoint[xyz[:, 0] < 0]) & set(superpoint[xyz[:, 0] > 0])


def test_points_that_are_left_out_are_shown_no_more():
    xyz = np.array([[-1.0, 0, 4], [0.0, 0, 4], [1.0, 0, 4]])
    item = look(xyz, 0.5).moved(np.array([4, -1, 2], np.int32))
    np.testing.assert_array_equal(item.point, [4, 2])
    np.testing.assert_array_equal(item.label, [1, 2])
    np.testing.assert_array_equal(item.pixels[:, 0], [150, 250])
