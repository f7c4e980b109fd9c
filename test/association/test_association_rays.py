"""Thin and small things: equal posts in a row are told apart by the rays of their masks, and placed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers_thin import HALF_WIDTH, HEIGHT, LID, POST, RADIUS, first_views, shuffled, thin_world

from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.association.judging.scores import score_instances
from seg2d3d_ros.association.online.identity import Identity
from seg2d3d_ros.association.online.online_association import OnlineAssociation
from seg2d3d_ros.association.rays.ray_things import GROUND_UNKNOWN, UNPLACED, at_thing, find_ray_things, join_things
from seg2d3d_ros.association.rays.thin_classes import metre_of, thin_classes
from seg2d3d_ros.association.solve import Assignment
from seg2d3d_ros.mapstore.files.tracks_file import tracks_document
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Cuts, Segments, WorldFrame


def solve(world, config=None):
    association = OnlineAssociation(config or AssociationConfig(), Identity())
    update = association.update([world.model], world.segments, set(world.segments), full=True)
    return association, update.instances


def true_things(world, association):
    online = association.incidence
    return world.thing_of(online.names, online.row_keyframe, online.row_id)


def errors(world, instances, kind):
    """Metres from each true thing of a class to the nearest instance of it, and the number of these instances."""
    feet = instances.boxes.foot[instances.boxes.located & (instances.classes == kind)]
    truth = world.places[world.classes == kind]
    return np.linalg.norm(truth[:, None] - feet[None, :, :2], axis=2).min(axis=1), len(feet)


@pytest.fixture(scope="module")
def street():
    return thin_world(lids=[(14.0, 1.5), (19.0, -1.5), (25.0, 1.5)])


@pytest.fixture(scope="module")
def solved(street):
    return solve(street)


def test_equal_posts_in_a_row_are_placed_one_by_one(street, solved):
    association, instances = solved
    off, count = errors(street, instances, POST)
    assert count == (street.classes == POST).sum()
    assert off.max() < 0.4  # 15 m ahead of the last camera
    assert np.median(off) < 0.05
    thing, segment = true_things(street, association), instances.segment_instance
    for i in instances.ids[instances.boxes.located].tolist():
        assert len(np.unique(thing[segment == i])) == 1
    assert (segment[association.incidence.row_class == POST] > 0).mean() > 0.95


def test_size_and_place_are_metric(street, solved):
    _, instances = solved
    posts = instances.boxes.located & (instances.classes == POST)
    assert np.median(instances.boxes.size[posts, 2]) == pytest.approx(HEIGHT, abs=0.15)
    assert np.median(instances.boxes.size[posts, 0]) == pytest.approx(2 * HALF_WIDTH, abs=0.08)
    assert np.abs(instances.boxes.foot[posts, 2]).max() < 0.15


def test_lids_lie_on_the_ground(street, solved):
    _, instances = solved
    off, count = errors(street, instances, LID)
    assert count == 3
    assert off.max() < 0.2
    lids = instances.boxes.located & (instances.classes == LID)
    assert np.median(instances.boxes.size[lids, 0]) == pytest.approx(2 * RADIUS, abs=0.15)
    assert (instances.boxes.size[lids, 2] < 0.1).all()


def test_the_order_of_the_images_changes_nothing(street, solved):
    association, instances = solved
    other, again = solve(shuffled(street, 3))

    def groups(found, labelled):
        online = found.incidence
        keys = [(online.names[k], int(i)) for k, i in zip(online.row_keyframe, online.row_id, strict=True)]
        located = set(labelled.ids[labelled.boxes.located].tolist())
        sets = {}
        for key, i in zip(keys, labelled.segment_instance.tolist(), strict=True):
            if i in located:
                sets.setdefault(i, set()).add(key)
        return {frozenset(item) for item in sets.values()}

    assert groups(association, instances) == groups(other, again)


def test_without_rays_nothing_is_placed(street):
    _, instances = solve(street, AssociationConfig(rays=False))
    assert not instances.boxes.located.any()


def test_posts_that_are_hidden_below_stand_where_they_are():
    def hide(name, thing, mask):
        rows = np.flatnonzero(mask.any(axis=1))
        if int(name[1:]) % 2 and len(rows):
            mask[rows[len(rows) // 2] :] = False
        return [mask]

    world = thin_world(edit=hide)
    off, count = errors(world, solve(world)[1], POST)
    assert count == len(world.places)
    assert off.max() < 0.4


def test_pieces_above_each_other_are_one_thing_and_side_by_side_are_two():
    def cut(name, thing, mask):
        rows = np.flatnonzero(mask.any(axis=1))
        if thing != 2 or len(rows) < 12 or int(name[1:]) % 3:
            return [mask]
        lower = mask.copy()
        mask[rows[len(rows) // 2 - 1] :], lower[: rows[len(rows) // 2 + 1]] = False, False
        return [mask, lower]

    world = thin_world(posts=[(10.0, 4.0), (16.0, 4.0), (22.0, 4.0), (22.0, 4.6)], edit=cut)
    association, instances = solve(world)
    off, count = errors(world, instances, POST)
    assert count == 4
    assert off.max() < 0.15
    mine = instances.segment_instance[true_things(world, association) == 2]
    assert (mine == np.bincount(mine).argmax()).mean() > 0.9
    online = association.incidence
    for i in instances.ids[instances.boxes.located].tolist():
        rows = np.flatnonzero(instances.segment_instance == i)
        whole = rows[online.row_id[rows] < 100]
        assert len(np.unique(online.row_keyframe[whole])) == len(whole)


def test_misses_and_false_masks_make_no_ghosts():
    rng = np.random.default_rng(4)

    def noisy(name, thing, mask):
        if rng.random() < 0.2:
            return []
        if rng.random() < 0.05:
            return [mask, np.roll(mask, int(rng.integers(60, 200)), axis=1)]
        return [mask]

    world = thin_world(edit=noisy, noise=(0.02, 0.05))
    off, count = errors(world, solve(world)[1], POST)
    assert (off < 0.5).mean() > 0.9
    assert count <= len(world.places) + 1


def test_the_covariance_is_that_of_the_errors():
    squared = []
    for seed in range(2):
        world = thin_world(noise=(0.02, 0.1), seed=seed)
        boxes = solve(world)[1].boxes
        for k in np.flatnonzero(boxes.located):
            off = boxes.foot[k, :2] - world.places
            off = off[np.argmin(np.linalg.norm(off, axis=1))]
            squared.append(off @ np.linalg.solve(boxes.covariance[k, :2, :2], off))
    assert 0.2 < np.median(squared) < 4.0  # of two degrees of freedom, 1.39
    assert np.mean(np.array(squared) < 9.2) > 0.9  # 99 %


def test_wide_classes_are_left_to_the_points(street):
    def with_wall(item):
        """What is left of the image is one mask of another class: it is as far as the road behind it."""
        labels = np.where(item.labels > 0, item.labels, 60).astype(np.uint16)
        ids, classes = np.append(item.ids, 60).astype(np.uint16), np.append(item.classes, 3).astype(np.int32)
        order = np.argsort(ids)
        return Segments(item.name, labels, ids[order], classes[order], np.full(len(ids), 0.5, np.float32))

    segments = {name: with_wall(item) for name, item in street.segments.items()}
    incidence = build_incidence([street.model], segments, project=False)
    assert thin_classes([street.model], segments, incidence) == [POST, LID]


def test_a_model_without_scale_is_measured_by_the_cameras_height(street):
    model = street.model
    matrix = model.camera_from_world.copy()
    matrix[:, :, 3] *= 7.0
    scaled = replace(model, camera_from_world=matrix, xyz=model.xyz * 7.0, frame=WorldFrame("arbitrary", up=(0.0, 0.0, 1.0)))
    assert metre_of(scaled) == pytest.approx(7.0, rel=0.2)
    assert metre_of(model) == 1.0
    world = replace(street, model=scaled)
    off, count = errors(replace(world, places=street.places * 7.0), solve(world)[1], POST)
    assert count == (street.classes == POST).sum()
    assert off.max() < 0.4 * 7.0


def test_what_is_not_placed_is_told():
    world = thin_world(
        posts=[(10.0, 4.0), (16.0, 4.0), (22.0, 4.0)], edit=lambda name, thing, mask: [mask] * (thing < 2 or name == "v03")
    )
    association, _ = solve(world)
    (finding,) = [f for f in association.findings if f.kind is UNPLACED]
    assert finding.count == 1
    bare = thin_world(road=2)
    association, instances = solve(bare)
    assert GROUND_UNKNOWN in [f.kind for f in association.findings]
    assert errors(bare, instances, POST)[1] >= len(bare.places) - 2


def test_a_mask_with_points_at_the_thing_keeps_its_instance_and_points_behind_are_nobodys(street):
    model = street.model
    post = np.column_stack([np.tile(street.places[1], (9, 1)), np.linspace(0.3, 2.7, 9)])
    behind = np.column_stack([np.tile(street.places[1] * [1.0, 2.5], (9, 1)), np.linspace(0.3, 2.7, 9)])
    incidence = build_incidence([model], street.segments, project=False)
    things = find_ray_things([model], street.segments, incidence, incidence.classes == POST)
    which = int(np.argmin(np.linalg.norm(things.boxes.foot[:, :2] - street.places[1], axis=1)))
    assert at_thing(things, which, post).all()
    assert not at_thing(things, which, behind).any()
    rows = things.rows[which]
    matrix = incidence.matrix.tolil()
    matrix[rows[0], :] = 0
    matrix[rows[0], :18] = 1
    xyz = incidence.xyz.copy()
    xyz[:9], xyz[9:18] = post, behind
    incidence = replace(incidence, matrix=matrix.tocsr().astype(np.float32), xyz=xyz)
    segment = np.zeros(len(incidence.segment_ids), np.int32)
    segment[rows[0]] = 5
    entry = np.repeat(segment, np.diff(incidence.matrix.indptr))
    joined, place_of = join_things(incidence, Assignment(segment, entry, Cuts.none(), {}), things)
    assert place_of[5] == which
    assert (joined.segment[rows] == 5).all()
    bounds = incidence.matrix.indptr
    mine = joined.entry[bounds[rows[0]] : bounds[rows[0] + 1]]
    assert (mine[:9] == 5).all()
    assert (mine[9:] == 0).all()


def test_a_live_map_places_things_as_views_come_and_keeps_their_ids(street):
    association = OnlineAssociation(AssociationConfig(), Identity())
    names, before = street.model.names, {}
    for count in (5, 8, 11, 14):
        fresh = set(names[:5] if count == 5 else names[count - 3 : count])
        instances = association.update([first_views(street, count)], street.segments, fresh).instances
        thing, located = true_things(street, association), instances.ids[instances.boxes.located]
        shown = np.isin(instances.segment_instance, located)
        now = {t: set(instances.segment_instance[shown & (thing == t)].tolist()) for t in set(thing[shown].tolist())}
        assert all(len(ids) == 1 for ids in now.values())
        assert all(now[t] == ids for t, ids in before.items())
        before = now
    off, _ = errors(street, instances, POST)
    assert (off < 0.5).mean() > 0.8
    whole = association.update([street.model], street.segments, set(), full=True).instances
    thing = true_things(street, association)
    after = {t: set(whole.segment_instance[thing == t].tolist()) - {0} for t in before}
    assert np.mean([after[t] == ids for t, ids in before.items()]) > 0.8  # an older id may take one over, which is announced


def test_tracks_say_where_things_stand_and_how_sure_that_is(street, solved):
    _, instances = solved
    document = tracks_document([street.model], [], instances, ("post", "lid"))
    placed = [item for item in document["instances"] if "position" in item]
    assert len(placed) == len(street.places)
    for item in placed:
        covariance = np.array(item["covariance"])
        assert covariance.shape == (3, 3)
        assert (np.linalg.eigvalsh(covariance) > 0).all()
        low = item["box3d"]["center"][2] - item["box3d"]["size"][2] / 2
        assert item["position"] == pytest.approx([*item["box3d"]["center"][:2], low], abs=1e-6)


def test_things_of_many_views_are_surer_than_those_of_few(street, solved):
    association, instances = solved
    scores = score_instances([street.model], association.incidence.whole(), instances)
    views = np.bincount(instances.segment_instance, minlength=int(instances.ids.max()) + 1)[instances.ids]
    located = instances.boxes.located
    order = np.argsort(views[located], kind="stable")
    assert (np.diff(scores[located][order]) >= -1e-6).all()
    assert scores[located].max() > 0.9
