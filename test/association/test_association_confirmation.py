"""In a live map, instances are shown once they have been seen in some images."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_street import reveal, street
from scipy import sparse

from seg2d3d_ros.association.masks.repair import Repair
from seg2d3d_ros.association.online.confirmation import Confirmation
from seg2d3d_ros.association.online.identity import Identity, Merge, inherit
from seg2d3d_ros.association.online.online_association import OnlineAssociation
from seg2d3d_ros.geometry.oriented_boxes import OrientedBoxes
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Cuts, Incidence, Instances, Segments


def three_instances() -> Instances:
    """Segments 0…4: instance 7 has a mask in keyframes 0 and 1 and two in 2, instance 8 one in 1 and a part of segment 0."""
    return Instances(
        np.array([7, 7, 8, 7, 7], np.int32),
        np.array([7, 8, 0], np.int32),
        np.array([0.9, 0.8, 0.0], np.float32),
        np.array([7, 8], np.int32),
        np.array([1, 2], np.int32),
        np.array([0.5, 0.6], np.float32),
        OrientedBoxes(np.array([[7.0] * 3, [8.0] * 3]), np.ones((2, 3)), np.tile(np.eye(3), (2, 1, 1))),
        Cuts(np.array([0, 0], np.int32), np.array([7, 8], np.int32), np.array([[1, 2], [6, 2]], np.float32)),
    )


KEYFRAME = np.array([0, 1, 1, 2, 2], np.int32)


@pytest.mark.parametrize(("least", "shown"), [(1, {7, 8}), (2, {7}), (3, {7}), (4, set())])
def test_images_are_counted_by_masks_of_its_own(least, shown):
    confirmation = Confirmation(least)
    appeared = confirmation.confirm(three_instances(), KEYFRAME)
    assert confirmation.shown == shown
    assert appeared.tolist() == ([0, 1, 2] if shown else [])
    assert confirmation.confirm(three_instances(), KEYFRAME).tolist() == []
    rest = confirmation.confirm(three_instances(), KEYFRAME, everything=True).tolist()
    assert rest == {2: [], 1: [0, 1], 0: [0, 1, 2]}[len(shown)]


def test_what_is_not_shown_is_nowhere():
    confirmation = Confirmation(3)
    confirmation.confirm(three_instances(), KEYFRAME)
    found = confirmation.hide(three_instances())
    assert found.segment_instance.tolist() == [7, 7, 0, 7, 7]
    assert found.point_instance.tolist() == [7, 0, 0]
    np.testing.assert_allclose(found.point_confidence, [0.9, 0, 0])
    assert (found.ids.tolist(), found.classes.tolist(), found.scores.tolist()) == ([7], [1], [0.5])
    assert found.boxes.center.tolist() == [[7.0] * 3]
    assert found.cuts.instance.tolist() == [7, 0]
    assert Confirmation(1, shown=(7, 8)).hide(three_instances()).ids.tolist() == [7, 8]


def test_the_part_of_a_hidden_instance_is_drawn_as_none():
    confirmation = Confirmation(3)
    confirmation.confirm(three_instances(), KEYFRAME)
    points = (sparse.csr_matrix((n, 0)) for n in (5, 3))
    ids = np.array([1, 1, 2, 1, 2], np.uint16)
    incidence = Incidence(*points, ("a", "b", "c"), KEYFRAME, ids, ids, ids, np.zeros(0, np.int64))
    labels = np.zeros((5, 8), np.uint16)
    labels[1:4, :] = 1
    item = Segments("a", labels, np.array([1], np.uint16), np.ones(1, np.int32), np.ones(1, np.float32))
    repaired = Repair(incidence, confirmation.hide(three_instances()))(item)
    assert set(repaired.instance_of.values()) == {7}
    drawn = np.isin(repaired.segments.labels, list(repaired.instance_of))
    assert drawn[2, :3].all()
    assert not drawn[2, 5:].any()


def test_merges_are_announced_of_what_was_shown():
    confirmation = Confirmation(3, shown=(2, 5))
    assert confirmation.announced([Merge(2, (4, 5)), Merge(2, (6,))]) == (Merge(2, (5,)),)


@pytest.mark.parametrize(
    ("clusters", "old", "shown", "names", "merges"),
    [
        ([0, 0, 0, 0, 0], [3, 3, 7, 7, 7], {7}, [7], [Merge(7, (3,))]),  # not the older one, if that was never shown
        ([0, 0, 0, 0, 0], [3, 3, 7, 7, 7], {3, 7}, [3], [Merge(3, (7,))]),
        ([0, 0, 0], [3, 3, 7], {7}, [7], [Merge(7, (3,))]),
        ([0, 0, 0, 1, 1], [3, 3, 7, 7, 7], {7}, [3, 7], []),  # each is given once: where most of it went
        ([0, 0, 1, 1], [3, 7, 3, 7], set(), [3, 7], []),
    ],
)
def test_ids_that_were_shown_go_first(clusters, old, shown, names, merges):
    heirs = inherit(max(clusters) + 1, np.array([clusters, old]), 8, shown=shown)
    assert heirs.names.tolist() == names
    assert heirs.merges == merges


@pytest.mark.parametrize("seed", [3, 4, 8])
def test_only_what_is_shown_differs(seed):
    model, segments = street(seed)
    order = np.random.default_rng(seed).permutation(len(model.names))
    at_once, later = (OnlineAssociation(AssociationConfig(confirm_images=n), Identity()) for n in (1, 3))
    shown, there, images, hidden = np.zeros(len(order), bool), {}, {}, 0
    drawn = set()
    for k in order:
        shown[k] = True
        name = model.names[k]
        there[name] = segments[name]
        models = [reveal(model, shown)]
        every, some = (online.update(models, there, {name}) for online in (at_once, later))
        a, b = every.instances.segment_instance, some.instances.segment_instance
        assert ((a > 0) | (b == 0)).all()
        pairs = set(zip(a[b > 0].tolist(), b[b > 0].tolist(), strict=True))
        assert len(pairs) == len({i for i, _ in pairs}) == len({i for _, i in pairs}), "grouped alike"
        for i in np.unique(b[b > 0]).tolist():
            images[i] = max(images.get(i, 0), len(np.unique(later.incidence.row_keyframe[b == i])))
        assert min(images.values(), default=3) >= 3
        hidden += int(((a > 0) & (b == 0)).sum())
        now = {
            (later.incidence.names[k], s): i
            for k, s, i in zip(later.incidence.row_keyframe, later.incidence.row_id, b, strict=True)
        }
        differ = {key[0] for key, i in now.items() if i and (*key, i) not in drawn}
        assert differ <= set(some.changed)
        drawn = {(*key, i) for key, i in now.items() if i}
        assert set(later.identity.of_segment.values()) <= set(images), "only what was shown is remembered"
    assert hidden, "nothing was ever held back"
    every, some = (online.update(models, there, set(), full=True) for online in (at_once, later))
    assert ((every.instances.segment_instance > 0) == (some.instances.segment_instance > 0)).all()
    assert len(every.instances.ids) == len(some.instances.ids)
