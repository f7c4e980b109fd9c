"""Wrong matches between façades that look alike: found by the nearer points around them, and nothing else is touched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers_doppelgangers import FOCAL, HEIGHT, MASK, STEP, VIEWS, WIDTH, masks, street, with_doppelgangers, with_points
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from seg2d3d_ros.association.points.doppelgangers import doppelganger_points, without_doppelgangers
from seg2d3d_ros.types import Segments


@settings(max_examples=10, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.integers(0, 2**32 - 1))
def test_a_street_without_doppelgangers_is_left_alone(seed):
    model = street(seed)
    assert not doppelganger_points(model, masks()).any()
    (same,) = without_doppelgangers([model], masks())
    np.testing.assert_array_equal(same.obs_point, model.obs_point)


@settings(max_examples=10, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.integers(0, 2**32 - 1))
def test_matches_between_masks_of_different_houses_are_found(seed):
    model = with_doppelgangers(with_doppelgangers(street(seed), 1, 5, 10, seed), 1, 5, 5, seed, u=(400, 500))
    wrong = doppelganger_points(model, masks())
    assert wrong[-15:-5].all(), "those with nearer points around them"
    assert wrong[-5:].all(), "and those without, which link the same two masks"
    assert not wrong[:-15].any()
    (left,) = without_doppelgangers([model], masks())
    assert left.obs_point.max() < len(model.xyz) - 15
    assert len(left.xyz) == len(model.xyz), "points stay in the cloud"


def test_single_wrong_matches_of_the_same_house_are_kept():
    """Windows repeat along a façade that both masks do show: the masks belong together all the same."""
    model = with_doppelgangers(street(3), 2, 3, 4, 3)
    assert not doppelganger_points(model, masks()).any()


def test_nor_where_no_other_view_confirms_the_right_ones():
    model = street(3)
    kept = np.isin(model.obs_keyframe, [2, 3])
    kept &= np.bincount(model.obs_point[kept], minlength=len(model.xyz))[model.obs_point] == 2
    model = replace(model, obs_keyframe=model.obs_keyframe[kept], obs_point=model.obs_point[kept], obs_xy=model.obs_xy[kept])
    assert not doppelganger_points(with_doppelgangers(model, 2, 3, 4, 3), masks()).any()


def test_what_shows_beside_the_edge_of_a_facade_is_not_hidden():
    """The row ends left of them."""
    model = street(5, per_meter=40.0)
    kept = model.xyz[model.obs_point, 2] < 21.7  # at 140 pixels in the first of the two views, behind the second
    model = replace(model, obs_keyframe=model.obs_keyframe[kept], obs_point=model.obs_point[kept], obs_xy=model.obs_xy[kept])
    assert doppelganger_points(with_doppelgangers(model, 1, 5, 15, 5, u=(95, 125)), masks()).any(), "within the façade"
    assert not doppelganger_points(with_doppelgangers(model, 1, 5, 15, 5, u=(147, 165)), masks()).any()


def test_points_of_long_tracks_are_not_hidden_by_those_of_short_ones():
    """Seen by six views, behind what two to four see: rather the nearer ones are wrong, or one looks through them."""
    model = street(7)
    rng = np.random.default_rng(7)
    views = list(range(6))
    xy = np.column_stack([rng.uniform(60, 180, 15), rng.uniform(200, 280, 15)])
    far = np.column_stack([(xy - [WIDTH / 2, HEIGHT / 2]) / FOCAL * 150.0, np.full(15, 150.0)])
    depth = 150.0 - STEP * np.array(views)
    seen = FOCAL * far[None, :, :2] / depth[:, None, None] + [WIDTH / 2, HEIGHT / 2]
    assert not doppelganger_points(with_points(model, far, views, seen), masks()).any()


def test_a_point_that_many_views_see_is_believed():
    """As through a gateway: seen by all views, it is no matter of two masks."""
    model = with_doppelgangers(street(7), 1, 5, 15, 7)
    far = np.array([[-40.0, 0.0, 200.0]])
    views = list(range(VIEWS))
    depth = far[0, 2] - STEP * np.arange(VIEWS)
    xy = FOCAL * far[0, :2] / depth[:, None] + [WIDTH / 2, HEIGHT / 2]
    model = with_points(model, far, views, xy[:, None, :])
    wrong = doppelganger_points(model, masks())
    assert wrong[-16:-1].all()
    assert not wrong[-1]


def test_points_in_different_masks_do_not_hide_each_other():
    model = with_doppelgangers(street(9), 1, 5, 15, 9)
    divided = masks()
    for k in (1, 5):
        labels = np.full((HEIGHT, WIDTH), MASK, np.uint16)
        mine = (model.obs_keyframe == k) & (model.obs_point >= len(model.xyz) - 15)
        for x, y in model.obs_xy[mine].astype(int):
            labels[y, x] = 9
        for x, y in model.obs_xy[(model.obs_keyframe == k) & (model.obs_point < len(model.xyz) - 15)].astype(int):
            labels[min(y, HEIGHT - 1), min(x, WIDTH - 1)] = MASK
        ids, two = np.array([MASK, 9], np.uint16), np.ones(2, np.int32)
        divided[f"v{k}"] = Segments(f"v{k}", labels, ids, two, two.astype(np.float32))
    assert not doppelganger_points(model, divided).any()


@pytest.mark.parametrize("case", ["no points", "no masks", "no poses"])
def test_without_evidence_nothing_is_hidden(case):
    model = with_doppelgangers(street(1), 1, 5, 15, 1)
    segments = {} if case == "no masks" else masks()
    if case == "no points":
        nothing = np.empty(0, np.int32)
        model = replace(model, obs_keyframe=nothing, obs_point=nothing, obs_xy=np.empty((0, 2), np.float32))
    if case == "no poses":
        model = replace(model, camera_from_world=np.full_like(model.camera_from_world, np.nan))
    assert not doppelganger_points(model, segments).any()
