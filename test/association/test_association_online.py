"""A live map: what an update may touch, what it must not, and that it comes to the same as the whole solution."""

from __future__ import annotations

import dataclasses
from unittest import mock

import numpy as np
import pytest
from helpers_association import partition
from helpers_street import reveal, street
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seg2d3d_ros.association.consensus import consensus_tracks
from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.association.online import online_association as module
from seg2d3d_ros.association.online.identity import Identity
from seg2d3d_ros.association.online.neighbourhood import Known, solve_part
from seg2d3d_ros.association.online.online_association import OnlineAssociation
from seg2d3d_ros.association.online_incidence import OnlineIncidence
from seg2d3d_ros.association.segment_lookup import SegmentLookup
from seg2d3d_ros.association.solve import associate
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Segments

CONFIG = AssociationConfig()
SEEDS = st.integers(0, 2**32 - 1)


def assert_equal_incidence(first, second):
    assert first.names == second.names
    for name in ("matrix", "visibility"):
        assert (getattr(first, name) != getattr(second, name)).nnz == 0
    for name in ("segment_keyframe", "segment_ids", "classes", "scores", "point_ids"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    for name in ("observed", "projected"):
        a, b = getattr(first, name), getattr(second, name)
        orders = [np.lexsort((x.xy[:, 1], x.xy[:, 0], x.point, x.keyframe)) for x in (a, b)]
        for column in ("keyframe", "segment", "point", "xy"):
            np.testing.assert_array_equal(getattr(a, column)[orders[0]], getattr(b, column)[orders[1]])


def revisions(model, segments, order, online):
    """Feed the views one by one; yields each revision's models and update."""
    shown, there = np.zeros(len(order), bool), {}
    for k in order:
        shown[k] = True
        name = model.names[k]
        there[name] = segments[name]
        models = [reveal(model, shown)]
        yield models, online.update(models, there, {name})


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 12), st.integers(1, 12))
def test_runs_look_up_what_the_image_holds(seed, height, width):
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 0, 4, 9, 65535], (height, width)).astype(np.uint16)
    ids = np.array([4, 65535], np.uint16)  # 9 is no segment
    item = Segments("a", labels, ids, np.ones(2, np.int32), np.ones(2, np.float32))
    v, u = np.mgrid[:height, :width]
    found = SegmentLookup(item)(np.stack([u.ravel() + 0.5, v.ravel() + 0.5], axis=1))
    np.testing.assert_array_equal(found, np.select([labels.ravel() == 4, labels.ravel() == 65535], [0, 1], -1))


def test_a_label_image_of_another_size_is_refused():
    item = Segments("a", np.ones((4, 6), np.uint16), np.array([1], np.uint16), np.ones(1, np.int32), np.ones(1, np.float32))
    lookup = SegmentLookup(item)
    assert lookup(np.array([[6.0, 4.0]])).tolist() == [0], "a keypoint on the border"
    with pytest.raises(DataError, match="6×4"):
        lookup(np.array([[8.0, 1.0]]))


@settings(max_examples=8, deadline=None)
@given(SEEDS)
def test_the_online_incidence_is_the_one_built_at_once(seed):
    rng = np.random.default_rng(seed)
    model, segments = street(seed)
    online, shown, there = OnlineIncidence(project=True), np.zeros(len(model.names), bool), {}
    for k in rng.permutation(len(model.names))[:6].tolist():
        shown[k] = True
        # Masks come late, or not at all; views vanish and come back.
        if rng.random() < 0.8:
            there[model.names[k]] = segments[model.names[k]]
        fresh = {name for name in there if rng.random() < 0.3} | ({model.names[k]} & there.keys())
        if shown.sum() > 3 and rng.random() < 0.2:
            shown[rng.choice(np.flatnonzero(shown))] = False
        part = reveal(model, shown)
        order = rng.permutation(len(part.obs_point))
        part = dataclasses.replace(
            part, obs_keyframe=part.obs_keyframe[order], obs_point=part.obs_point[order], obs_xy=part.obs_xy[order]
        )
        online.update([part], there, fresh)
    online.project()
    assert_equal_incidence(online.whole(), build_incidence([part], there, project=True))


def test_a_revision_says_what_changed():
    model, segments = street(3, errors=False)
    online, shown = OnlineIncidence(project=False), np.arange(len(model.names)) != 4
    first = online.update([reveal(model, shown)], segments, set())
    assert first.fresh.all()
    assert set(first.views) == {name for name in model.names if name != "view0_4"}
    again = online.update([reveal(model, shown)], segments, set())
    assert len(again.row) == 0
    assert not again.fresh.any()
    before = build_incidence([reveal(model, shown)], segments).matrix.nnz
    whole = reveal(model, np.ones(len(shown), bool))
    last = online.update([whole], segments, set())
    assert last.views == ("view0_4",)
    assert {online.names[k] for k in online.row_keyframe[last.fresh]} == {"view0_4"}
    # Every entry that the matrix gained is named once, in the new view and in the old ones that see its new points.
    assert len(last.row) == online.whole().matrix.nnz - before
    assert (online.row_keyframe[last.row] != 4).any()
    moved = dataclasses.replace(whole, xyz=whole.xyz + 0.01)
    assert len(online.update([moved], segments, set()).row) == 0, "points that moved a little change nothing"


@settings(max_examples=12, deadline=None)
@given(SEEDS)
@example(912918507)  # an object that is no mask's largest
def test_a_neighbourhood_that_is_everything_gives_the_whole_solution(seed):
    model, segments = street(seed)
    incidence = build_incidence([model], segments, project=True)
    rows, points = incidence.matrix.shape
    rng = np.random.default_rng(seed)
    before = rng.integers(0, 4, points)
    known = Known(rng.integers(0, 4, rows), before, np.zeros(rows, bool), np.array([1, 2, 3]))
    solved = solve_part(incidence, CONFIG, known, afresh=True)
    assert len(solved.fixed) == 0
    expected = consensus_tracks(incidence, CONFIG, before)
    assert partition(solved.tracks.segment) == partition(expected.segment)
    assert partition(solved.tracks.point) == partition(expected.point)
    np.testing.assert_array_equal(solved.tracks.cuts.xy, expected.cuts.xy)


@settings(max_examples=8, deadline=None)
@given(SEEDS)
def test_asked_for_everything_it_is_the_offline_solution(seed):
    model, segments = street(seed)
    online = OnlineAssociation(CONFIG, Identity())
    order = np.random.default_rng(seed).permutation(len(model.names))
    *_, (models, _) = revisions(model, segments, order.tolist(), online)
    final = online.update(models, segments, set(), full=True).instances
    expected = associate(build_incidence(models, segments, project=True), models[0].xyz, CONFIG)
    assert partition(final.segment_instance) == partition(expected.segment_instance)
    assert partition(final.point_instance) == partition(expected.point_instance)
    np.testing.assert_array_equal(final.point_confidence, expected.point_confidence)


@settings(max_examples=12, deadline=None)
@given(SEEDS, st.sampled_from([{}, {"consensus_min_images": 3}, {"repair": False}, {"project": False}, {"confirm_images": 3}]))
def test_every_state_is_consistent_and_changes_are_named(seed, options):
    model, segments = street(seed)
    config = AssociationConfig(**{"confirm_images": 1, **options})
    online = OnlineAssociation(config, Identity())
    before: dict[str, tuple] = {}
    given_before: set[int] = set()
    order = np.random.default_rng(seed + 1).permutation(len(model.names))
    for models, update in revisions(model, segments, order.tolist(), online):
        found = update.instances
        ids = set(found.ids.tolist())
        assert len(ids) == len(found.ids) == len(found.boxes) == len(found.classes) == len(found.scores)
        assert {*found.segment_instance.tolist(), *found.point_instance.tolist(), *found.cuts.instance.tolist()} - {0} <= ids
        assert ids == {*found.segment_instance.tolist(), *found.cuts.instance.tolist()} - {0}
        assert (found.point_confidence[found.point_instance > 0] > 0).all()
        assert len(found.point_instance) == len(models[0].xyz)
        assert config.repair or len(found.cuts.segment) == 0
        # Ids are given in their order, if not shown in it, and never twice; absorbed ones are gone.
        assert all(i < online.identity.next_id for i in ids)
        if config.confirm_images == 1:
            assert min(ids - given_before, default=online.identity.next_id) > max(given_before, default=0)
        given_before |= ids
        for merge in update.merges:
            assert not ids & set(merge.absorbed)
        now = {}
        first = online.incidence.first_row
        for k, name in enumerate(models[0].names):
            cut = (found.cuts.segment >= first[k]) & (found.cuts.segment < first[k + 1])
            now[name] = (found.segment_instance[first[k] : first[k + 1]].tolist(), found.cuts.instance[cut].tolist())
        assert {name for name in now if before.get(name) != now[name]} <= set(update.changed)
        before = now


@settings(max_examples=8, deadline=None)
@given(SEEDS)
def test_instances_out_of_reach_never_change(seed):
    model, segments = street(seed)
    other, others = street(seed + 1, far=1000.0)
    online = OnlineAssociation(CONFIG, Identity())
    there = {**segments, **others}
    shown = np.arange(len(model.names)) < 6
    online.update([reveal(model, shown), other], there, set())
    before = online.update([reveal(model, shown), other], there, set()).instances
    rows, points = sum(len(item.ids) for item in others.values()), len(other.xyz)
    far = np.unique(before.segment_instance[-rows:])
    for k in range(6, len(model.names)):
        shown[k] = True
        with mock.patch.object(module, "MOSTLY", 1.0):  # or else everything is solved, and other promises hold
            update = online.update([reveal(model, shown), other], there, {model.names[k]})
        after = update.instances
        assert len(after.segment_instance) >= len(before.segment_instance)  # a view may have no mask
        np.testing.assert_array_equal(after.segment_instance[-rows:], before.segment_instance[-rows:])
        np.testing.assert_array_equal(after.point_instance[-points:], before.point_instance[-points:])
        np.testing.assert_array_equal(after.point_confidence[-points:], before.point_confidence[-points:])
        there_before, there_after = np.isin(before.ids, far), np.isin(after.ids, far)
        for name in ("classes", "scores"):
            np.testing.assert_array_equal(getattr(after, name)[there_after], getattr(before, name)[there_before])
        np.testing.assert_array_equal(after.boxes.center[there_after], before.boxes.center[there_before])
        assert not set(update.changed) & others.keys()
        before = after


def test_clean_masks_become_their_houses_in_any_order():
    for seed in range(4):
        model, segments = street(seed, errors=False)
        online = OnlineAssociation(CONFIG, Identity())
        order = np.random.default_rng(seed).permutation(len(model.names))
        *_, (_, update) = revisions(model, segments, order.tolist(), online)
        house = online.incidence.row_id
        found = update.instances.segment_instance
        assert partition(found) == partition(house.astype(int))


def test_a_merge_is_announced_and_keeps_the_older_id():
    """Two halves of a house, each seen by views of its own, until one view shows the whole."""
    model, segments = street(1, houses=1, views=6, errors=False)
    left = model.xyz[:, 0] < 4
    keep = np.where(model.obs_keyframe < 3, left[model.obs_point], ~left[model.obs_point])
    apart = dataclasses.replace(
        model, obs_keyframe=model.obs_keyframe[keep], obs_point=model.obs_point[keep], obs_xy=model.obs_xy[keep]
    )
    online = OnlineAssociation(AssociationConfig(project=False), Identity())
    first = online.update([apart], segments, set())
    assert first.instances.ids.tolist() == [1, 2]
    second = online.update([model], segments, set())
    assert [(m.kept, m.absorbed) for m in second.merges] == [(1, (2,))]
    assert second.instances.ids.tolist() == [1]
    assert set(second.changed) == {name for name in model.names if name.endswith(("3", "4", "5"))}


def test_boxes_follow_a_map_that_moves(monkeypatch):
    model, segments = street(5, errors=False)
    online = OnlineAssociation(CONFIG, Identity())
    first = online.update([model], segments, set()).instances
    still = online.update([dataclasses.replace(model, xyz=model.xyz + 1e-3)], segments, set()).instances
    np.testing.assert_array_equal(still.boxes.center, first.boxes.center)
    monkeypatch.setattr(OnlineAssociation, "_solve_all", None)
    turned = dataclasses.replace(model, xyz=model.xyz * 2.0)
    moved = online.update([turned], segments, set())
    np.testing.assert_allclose(moved.instances.boxes.center, 2 * first.boxes.center, atol=1e-6)
    assert moved.changed == ()


def test_keyframes_that_leave_take_their_segments_along():
    model, segments = street(2, errors=False)
    online = OnlineAssociation(CONFIG, Identity())
    online.update([model], segments, set())
    shown = np.arange(len(model.names)) < len(model.names) - 1
    update = online.update([reveal(model, shown)], segments, set())
    assert model.names[-1] in update.changed
    rows = sum(len(segments[name].ids) for name in model.names[:-1])
    assert len(update.instances.segment_instance) == rows
    back = online.update([model], segments, set())
    assert model.names[-1] in back.changed
    assert partition(back.instances.segment_instance) == partition(online.incidence.row_id.astype(int))


def test_classes_are_kept_apart_and_the_published_method_is_solved_whole():
    model, segments = street(4, errors=False)
    segments = {name: dataclasses.replace(item, classes=1 + (item.ids % 2).astype(np.int32)) for name, item in segments.items()}
    online = OnlineAssociation(CONFIG, Identity())
    for _, update in revisions(model, segments, list(range(len(model.names))), online):
        classes = dict(zip(update.instances.ids.tolist(), update.instances.classes.tolist(), strict=True))
        rows = np.flatnonzero(update.instances.segment_instance)
        own = online.incidence.row_class[rows].tolist()
        assert own == [classes[i] for i in update.instances.segment_instance[rows].tolist()]
    published = OnlineAssociation(AssociationConfig(method="published", min_images=2, min_points=3), Identity())
    for _, update in revisions(model, segments, list(range(len(model.names))), published):
        assert update.solved == len(update.instances.segment_instance)


def test_nothing_comes_of_nothing():
    online = OnlineAssociation(CONFIG, Identity())
    assert len(online.update([], {}, set()).instances.ids) == 0
    model, segments = street(0)
    assert len(online.update([model], {}, set()).instances.ids) == 0
    assert len(online.update([model], segments, set(segments)).instances.ids) > 0
    gone = online.update([], segments, set())
    assert len(gone.instances.ids) == 0
    assert set(gone.changed) == set(segments)


def test_ids_of_an_earlier_map_come_back():
    model, segments = street(6, errors=False)
    online = OnlineAssociation(CONFIG, Identity())
    first = online.update([model], segments, set()).instances
    memory = Identity({key: i + 40 for key, i in online.identity.of_segment.items()}, 90)
    again = OnlineAssociation(CONFIG, memory).update([model], segments, set()).instances
    np.testing.assert_array_equal(again.segment_instance, first.segment_instance + 40)


def two_houses(views, glued):
    """Two houses in each view, one mask for both in the first ``glued`` of them."""
    model, segments = street(8, errors=False, houses=2, views=views)
    for name in model.names[:glued]:
        labels = np.where(segments[name].labels > 0, 10, 0).astype(np.uint16)
        ids = np.array([10], np.uint16)
        segments[name] = Segments(name, labels, ids, np.ones(1, np.int32), np.full(1, 0.8, np.float32))
    return model, segments


@pytest.mark.parametrize(
    ("views", "glued", "alone", "after_one", "after_two"),
    [
        (12, 4, 2, 1, 2),  # the views are divided: what was found before stays
        (11, 4, 1, 1, 2),
        (18, 4, 2, 2, 2),  # the evidence is clear
        (12, 9, 1, 1, 1),
    ],
)
def test_only_clear_evidence_unites_or_divides_what_is_known(views, glued, alone, after_one, after_two):
    model, segments = two_houses(views, glued)
    incidence = build_incidence([model], segments, project=True)
    house = np.zeros(incidence.matrix.shape[1], int)  # of each point, from a view that shows them apart
    rows = np.flatnonzero(incidence.segment_keyframe == views - 1)
    for number, row in enumerate(rows.tolist(), 1):
        house[incidence.matrix[row].indices] = number
    assert set(house.tolist()) >= {1, 2}
    for before, expected in ((None, alone), (house > 0, after_one), (house, after_two)):
        found = consensus_tracks(incidence, CONFIG, None if before is None else before.astype(int))
        assert len(np.unique(found.segment[found.segment > 0])) == expected


def test_changes_add_up_to_a_fresh_solution(monkeypatch):
    """Attaching alone never divides; without the fresh solutions a glued beginning would stay glued."""
    model, glued = two_houses(views=18, glued=4)

    def last(settle):
        monkeypatch.setattr(module, "SETTLE", settle)
        online = OnlineAssociation(CONFIG, Identity())
        shown = np.arange(18) < 4
        online.update([reveal(model, shown)], glued, set())
        for k in range(4, 18):
            shown[k] = True
            update = online.update([reveal(model, shown)], glued, {model.names[k]})
        return online, update.instances

    online, found = last(0.15)
    assert len(found.ids) == 2
    late = online.incidence.row_keyframe >= 4
    assert partition(np.where(late, found.segment_instance, 0)) == partition(
        np.where(late, online.incidence.row_id, 0).astype(int)
    )
