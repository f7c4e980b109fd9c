"""Wrong matches between façades that look alike: found by the nearer points around them, and nothing else is touched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from seg2d3d_ros.association.points.doppelgangers import doppelganger_points, without_doppelgangers
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.types import Segments, SparseModel, WorldFrame

WIDTH, HEIGHT, FOCAL = 640, 480, 600.0
CAMERA = Camera("PINHOLE", WIDTH, HEIGHT, (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2))
STEP, VIEWS, SIDE = 5.0, 8, -5.0
MASK = 7


def street(seed: int, per_meter: float = 8.0) -> SparseModel:
    """A walk along a façade on the left; each point is seen by the two to four views in front of it."""
    rng = np.random.default_rng(seed)
    length = STEP * VIEWS + 30.0
    count = int(length * per_meter)
    xyz = np.column_stack([np.full(count, SIDE), rng.uniform(-3.0, 2.0, count), rng.uniform(5.0, length, count)])
    pose = np.tile(np.eye(4)[:3], (VIEWS, 1, 1))
    pose[:, 2, 3] = -STEP * np.arange(VIEWS)
    keyframe, point, pixels = [], [], []
    for p, position in enumerate(xyz):
        depth = position[2] - STEP * np.arange(VIEWS)
        xy = FOCAL * position[None, :2] / np.maximum(depth, 1e-9)[:, None] + [WIDTH / 2, HEIGHT / 2]
        inside = (depth > 1) & (xy > 0).all(axis=1) & (xy < [WIDTH, HEIGHT]).all(axis=1)
        seen = np.flatnonzero(inside)[-int(rng.integers(2, 5)) :]
        if len(seen) >= 2:
            keyframe += seen.tolist()
            point += [p] * len(seen)
            pixels += xy[seen].tolist()
    return SparseModel(
        names=tuple(f"v{k}" for k in range(VIEWS)),
        cameras=(CAMERA,) * VIEWS,
        camera_from_world=pose,
        xyz=xyz,
        rgb=np.zeros((count, 3), np.uint8),
        error=np.ones(count, np.float32),
        point_ids=np.arange(count),
        obs_keyframe=np.array(keyframe, np.int32),
        obs_point=np.array(point, np.int32),
        obs_xy=np.array(pixels, np.float32),
        frame=WorldFrame(),
    )


def masks() -> dict[str, Segments]:
    """The whole image is one mask, in each view."""
    labels = np.full((HEIGHT, WIDTH), MASK, np.uint16)
    one = np.ones(1, np.int32)
    return {f"v{k}": Segments(f"v{k}", labels, np.array([MASK], np.uint16), one, one.astype(np.float32)) for k in range(VIEWS)}


def mistaken(model: SparseModel, first: int, second: int, count: int, seed: int, u: tuple[float, float] = (60, 180)):
    """The model with matches between two views at nearly the same pixel: points far behind the row."""
    rng = np.random.default_rng(seed)
    gap = STEP * (second - first)
    xy = np.column_stack([rng.uniform(*u, count), rng.uniform(200, 280, count)])
    depth = gap * rng.uniform(5.0, 7.0, count)
    xyz = np.column_stack([(xy - [WIDTH / 2, HEIGHT / 2]) / FOCAL * depth[:, None], depth]) + [0, 0, STEP * first]
    there = FOCAL * xyz[:, :2] / (xyz[:, 2:] - STEP * second) + [WIDTH / 2, HEIGHT / 2]
    return with_points(model, xyz, [first, second], np.stack([xy, there]))


def with_points(model: SparseModel, xyz: np.ndarray, views: list[int], xy: np.ndarray) -> SparseModel:
    """The model with points (n, 3) that these views see at (views, n, 2)."""
    count, before = len(xyz), len(model.xyz)
    return replace(
        model,
        xyz=np.concatenate([model.xyz, xyz]),
        rgb=np.concatenate([model.rgb, np.zeros((count, 3), np.uint8)]),
        error=np.concatenate([model.error, np.ones(count, np.float32)]),
        point_ids=np.arange(before + count),
        obs_keyframe=np.concatenate([model.obs_keyframe, np.repeat(np.array(views, np.int32), count)]),
        obs_point=np.concatenate([model.obs_point, np.tile(np.arange(before, before + count, dtype=np.int32), len(views))]),
        obs_xy=np.concatenate([model.obs_xy, xy.reshape(-1, 2).astype(np.float32)]),
    )


@settings(max_examples=10, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.integers(0, 2**32 - 1))
def test_a_street_without_mistakes_is_left_alone(seed):
    model = street(seed)
    assert not doppelganger_points(model, masks()).any()
    (same,) = without_doppelgangers([model], masks())
    np.testing.assert_array_equal(same.obs_point, model.obs_point)


@settings(max_examples=10, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.integers(0, 2**32 - 1))
def test_masks_mistaken_for_one_another_are_told_apart(seed):
    model = mistaken(mistaken(street(seed), 1, 5, 10, seed), 1, 5, 5, seed, u=(400, 500))
    hidden = doppelganger_points(model, masks())
    assert hidden[-15:-5].all(), "those with nearer points around them"
    assert hidden[-5:].all(), "and those without, which come from the same mistake"
    assert not hidden[:-15].any()
    (left,) = without_doppelgangers([model], masks())
    assert left.obs_point.max() < len(model.xyz) - 15
    assert len(left.xyz) == len(model.xyz), "points stay in the cloud"


def test_single_wrong_matches_of_the_same_house_are_no_mistake():
    """Windows repeat along a façade that both masks do show: the masks belong together all the same."""
    model = mistaken(street(3), 2, 3, 4, 3)
    assert not doppelganger_points(model, masks()).any()


def test_nor_where_no_other_view_confirms_the_right_ones():
    model = street(3)
    kept = np.isin(model.obs_keyframe, [2, 3])
    kept &= np.bincount(model.obs_point[kept], minlength=len(model.xyz))[model.obs_point] == 2
    model = replace(model, obs_keyframe=model.obs_keyframe[kept], obs_point=model.obs_point[kept], obs_xy=model.obs_xy[kept])
    assert not doppelganger_points(mistaken(model, 2, 3, 4, 3), masks()).any()


def test_what_shows_beside_the_edge_of_a_facade_is_not_hidden():
    """The row ends left of them."""
    model = street(5, per_meter=40.0)
    kept = model.xyz[model.obs_point, 2] < 21.7  # at 140 pixels in the first of the two views, behind the second
    model = replace(model, obs_keyframe=model.obs_keyframe[kept], obs_point=model.obs_point[kept], obs_xy=model.obs_xy[kept])
    assert doppelganger_points(mistaken(model, 1, 5, 15, 5, u=(95, 125)), masks()).any(), "within the façade"
    assert not doppelganger_points(mistaken(model, 1, 5, 15, 5, u=(147, 165)), masks()).any()


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
    model = mistaken(street(7), 1, 5, 15, 7)
    far = np.array([[-40.0, 0.0, 200.0]])
    views = list(range(VIEWS))
    depth = far[0, 2] - STEP * np.arange(VIEWS)
    xy = FOCAL * far[0, :2] / depth[:, None] + [WIDTH / 2, HEIGHT / 2]
    model = with_points(model, far, views, xy[:, None, :])
    hidden = doppelganger_points(model, masks())
    assert hidden[-16:-1].all()
    assert not hidden[-1]


def test_points_in_different_masks_do_not_hide_each_other():
    model = mistaken(street(9), 1, 5, 15, 9)
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
    model = mistaken(street(1), 1, 5, 15, 1)
    segments = {} if case == "no masks" else masks()
    if case == "no points":
        nothing = np.empty(0, np.int32)
        model = replace(model, obs_keyframe=nothing, obs_point=nothing, obs_xy=np.empty((0, 2), np.float32))
    if case == "no poses":
        model = replace(model, camera_from_world=np.full_like(model.camera_from_world, np.nan))
    assert not doppelganger_points(model, segments).any()
