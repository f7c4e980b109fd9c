"""The order in which a map was made must not show in its instances."""

from __future__ import annotations

import dataclasses

import numpy as np
from helpers_association import partition
from helpers_street import street
from hypothesis import given, settings
from hypothesis import strategies as st

from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.association.solve import associate
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Segments

SEEDS = st.integers(0, 2**32 - 1)


def solve(model, segments):
    """Per mask (view, true house) its instance, and per point id."""
    incidence = build_incidence([model], segments, project=True)
    found = associate(incidence, model.xyz, AssociationConfig())
    masks = [(incidence.names[k], int(i)) for k, i in zip(incidence.segment_keyframe, incidence.segment_ids, strict=True)]
    return masks, found, incidence


def groups(keys, labels):
    return {frozenset(keys[i] for i in group) for group in partition(labels)}


@settings(max_examples=15, deadline=None)
@given(SEEDS, SEEDS)
def test_images_points_observations_and_their_ids_in_any_order(seed, shuffle):
    model, segments = street(seed)
    rng = np.random.default_rng(shuffle)
    views, points = rng.permutation(len(model.names)), rng.permutation(len(model.xyz))
    observations = rng.permutation(len(model.obs_point))
    new_id = rng.choice(10**9, len(model.xyz), replace=False)
    shuffled = dataclasses.replace(
        model,
        names=tuple(model.names[k] for k in views),
        camera_from_world=model.camera_from_world[views],
        xyz=model.xyz[points],
        point_ids=new_id[points],
        obs_keyframe=np.argsort(views)[model.obs_keyframe[observations]].astype(np.int32),
        obs_point=np.argsort(points)[model.obs_point[observations]].astype(np.int32),
        obs_xy=model.obs_xy[observations],
    )
    # Local segment ids mean nothing either: other numbers, in another order.
    renumbered, name_of = {}, {}
    for name, item in segments.items():
        other = rng.choice(np.arange(1, 60000), len(item.ids), replace=False).astype(np.uint16)
        table = np.zeros(int(item.ids.max(initial=0)) + 1, np.uint16)
        table[item.ids] = other
        renumbered[name] = Segments(name, table[item.labels], np.sort(other), item.classes, item.scores)
        name_of.update({(name, int(new)): (name, int(old)) for new, old in zip(other, item.ids, strict=True)})
    masks, found, incidence = solve(model, segments)
    other_masks, other_found, other_incidence = solve(shuffled, renumbered)
    assert groups([name_of[mask] for mask in other_masks], other_found.segment_instance) == groups(
        masks, found.segment_instance
    )
    old_id = dict(zip(new_id.tolist(), model.point_ids.tolist(), strict=True))
    of_point = {
        old_id[i]: x for i, x in zip(other_incidence.point_ids.tolist(), other_found.point_instance.tolist(), strict=True)
    }
    renamed = {}
    for mask, instance in zip(other_masks, other_found.segment_instance.tolist(), strict=True):
        renamed[instance] = found.segment_instance[masks.index(name_of[mask])]
    # A point whose masks are equally divided between objects of equal size may go either way; few are.
    same = [
        renamed.get(of_point[i], 0) == x
        for i, x in zip(incidence.point_ids.tolist(), found.point_instance.tolist(), strict=True)
    ]
    assert np.mean(same) > 0.95


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_a_component_far_away_changes_nothing(seed):
    model, segments = street(seed)
    other, others = street(seed + 1, far=1000.0)
    masks, found, _ = solve(model, segments)
    incidence = build_incidence([model, other], {**segments, **others}, project=True)
    both = associate(incidence, np.concatenate([model.xyz, other.xyz]), AssociationConfig())
    assert partition(both.segment_instance[: len(masks)]) == partition(found.segment_instance)
    assert not set(both.segment_instance[: len(masks)]) & set(both.segment_instance[len(masks) :]) - {0}


def test_a_point_seen_twice_in_one_image_counts_once():
    model, segments = street(3)
    again = dataclasses.replace(
        model,
        obs_keyframe=np.tile(model.obs_keyframe, 2),
        obs_point=np.tile(model.obs_point, 2),
        obs_xy=np.tile(model.obs_xy, (2, 1)),
    )
    _, found, incidence = solve(model, segments)
    _, twice, doubled = solve(again, segments)
    assert (incidence.matrix != doubled.matrix).nnz == 0
    np.testing.assert_array_equal(twice.segment_instance, found.segment_instance)
    np.testing.assert_array_equal(twice.point_confidence, found.point_confidence)
