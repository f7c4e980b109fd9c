"""The tree of objects from masks of random levels: right groups, right parents, cuts, and one granularity in all images."""

from collections import Counter

import numpy as np
import pytest
from helpers_levels import NAMES, cut_at_random, street_front, things, truth_image

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.granularity.cut import check_granularity, choose
from seg2d3d_ros.granularity.mask_points import mask_points
from seg2d3d_ros.granularity.object_tree import build_tree
from seg2d3d_ros.granularity.solving import solve_granularity

SEEDS = (1, 2)


@pytest.fixture(scope="module", params=SEEDS)
def solved(request):
    model, (masks, shown) = street_front(request.param), cut_at_random(request.param)
    return model, masks, shown, solve_granularity([model], masks, "auto")


def owners(found, shown) -> np.ndarray:
    return np.array([shown[key] for key in found.points.keys])


def test_a_node_holds_masks_of_one_thing_and_most_of_them(solved):
    _, _, shown, found = solved
    owner, node = owners(found, shown), found.tree.of_mask
    pure = sum(max(Counter(owner[node == k].tolist()).values()) for k in range(len(found.tree)))
    assert pure >= 0.95 * (node >= 0).sum()
    complete = [max(Counter(node[owner == i].tolist()).values()) / (owner == i).sum() for i in np.unique(owner)]
    assert np.mean(complete) >= 0.9


def test_parts_lie_in_their_wholes(solved):
    _, _, shown, found = solved
    owner, tree = owners(found, shown), found.tree
    seen = {i: len(set(found.points.view[owner == i].tolist())) for i in set(owner.tolist())}
    right, total = 0, 0
    for thing in things():
        if seen.get(thing.id, 0) < 2 or seen.get(thing.parent, 0) < 2:
            continue
        node, whole = (Counter(tree.of_mask[owner == i].tolist()).most_common(1)[0][0] for i in (thing.id, thing.parent))
        total += 1
        right += node >= 0 and tree.parent[node] == whole
    assert right >= 0.9 * total > 5


def test_parents_come_first_and_levels_count_from_the_roots(solved):
    tree = solved[3].tree
    assert all(parent < k for k, parent in enumerate(tree.parent.tolist()))
    for k, parent in enumerate(tree.parent.tolist()):
        assert tree.level[k] == (0 if parent < 0 else tree.level[parent] + 1)
        assert parent < 0 or tree.sizes[parent] > tree.sizes[k]
    assert ((tree.stability >= 0) & (tree.stability <= 1)).all()


@pytest.mark.parametrize("granularity", ["coarse", "fine", "auto", "0", "1", "2", "7"])
def test_a_cut_takes_one_node_of_each_path_from_a_root_to_a_leaf(solved, granularity):
    tree = solved[3].tree
    chosen = choose(tree, granularity)
    for leaf in (k for k in range(len(tree)) if len(tree.children[k]) == 0):
        path, at = [], leaf
        while at >= 0:
            path.append(bool(chosen[at]))
            at = int(tree.parent[at])
        assert sum(path) == 1
    if granularity in ("coarse", "0"):
        assert (tree.level[chosen] == 0).all()


@pytest.mark.parametrize("level", [0, 1])
def test_auto_takes_what_more_views_show_whole(level):
    level_of = {thing.id: thing.level for thing in things()}
    often = [[1, level, level, level, 0, level][k % 6] for k in range(len(NAMES))]
    masks, shown = cut_at_random(6, miss=0.0, level_of_view=often)
    points = mask_points([street_front(5)], masks)
    tree, _ = build_tree(points)
    assert set(tree.level.tolist()) == {0, 1}
    owner = np.array([shown[key] for key in points.keys])
    of_nodes = [Counter(owner[tree.of_mask == k].tolist()).most_common(1)[0][0] for k in np.flatnonzero(choose(tree, "auto"))]
    assert {level_of[i] for i in of_nodes} == {level}


@pytest.mark.parametrize(("granularity", "level", "least"), [("coarse", 0, 0.9), ("1", 1, 0.75)])
def test_every_image_shows_the_chosen_level_whatever_its_masks_are(solved, granularity, level, least):
    model, masks, _, found = solved
    flat = solve_granularity([model], masks, granularity, found.stored).flat
    matched: dict[int, Counter] = {}
    images: Counter = Counter()
    for k, name in enumerate(NAMES):
        truth, labels = truth_image(level, k), flat.segments[name].labels.copy()
        for item in flat.carried.get(name, ()):
            window = labels[item.region.window]
            window[item.region.pixels & (window == 0)] = item.instance
        for i in np.setdiff1d(truth, [0]).tolist():
            if (truth == i).sum() < 300:
                continue
            images[i] += 1
            ids, counts = np.unique(labels[truth == i], return_counts=True)
            for label, count in zip(ids.tolist(), counts.tolist(), strict=True):
                if label and count >= 0.5 * ((truth == i) | (labels == label)).sum():
                    matched.setdefault(i, Counter())[label] += 1
    coverage = [max(matched.get(i, {0: 0}).values()) / n for i, n in images.items()]
    assert np.mean(coverage) >= least


def test_ids_stay_when_masks_and_images_are_added():
    model, (masks, _) = street_front(2), cut_at_random(2)
    few = {name: masks[name] for name in NAMES[:7]}
    before = solve_granularity([model], few, "auto")
    after = solve_granularity([model], masks, "coarse", before.stored)
    old = {key: node.id for node in before.stored.nodes for key in pairs(node)}
    new = {key: node.id for node in after.stored.nodes for key in pairs(node)}
    same = [old[key] == new[key] for key in old.keys() & new.keys()]
    assert len(same) > 20
    assert np.mean(same) >= 0.9
    assert after.stored.next_id >= before.stored.next_id
    assert len({node.id for node in after.stored.nodes}) == len(after.stored.nodes)


def pairs(node):
    return [(name, place) for name, places in node.masks.items() for place in places]


def test_the_order_of_images_and_masks_plays_no_part():
    model, (masks, _) = street_front(3), cut_at_random(3)
    rng = np.random.default_rng(0)
    order = {name: rng.permutation(len(item)) for name, item in masks.items()}
    turned = {name: masks[name].take(order[name]) for name in reversed(NAMES)}

    def partition(found, place):
        return {frozenset((n, int(place[n][k])) for n, k in pairs(node)) for node in found.stored.nodes}

    first = solve_granularity([model], masks, "auto")
    second = solve_granularity([model], turned, "auto")
    assert partition(first, {name: np.arange(len(masks[name])) for name in NAMES}) == partition(second, order)


def test_each_round_unites_more():
    points = mask_points([street_front(1)], cut_at_random(1)[0])
    tree, rounds = build_tree(points)
    groups = [len(np.unique(group[group >= 0])) for group in (rounds.single, rounds.views, rounds.scene)]
    assert groups[0] == len(points) > groups[1] >= groups[2] == len(tree)


def test_points_of_no_node_seed_one_from_a_single_view():
    model, (masks, shown) = street_front(1), cut_at_random(1)
    second = {thing.id for thing in things()} - {thing.id for thing in things()[:10]}
    kept = {}
    for name, item in masks.items():
        # The second house is cut out in one view alone.
        rows = [k for k in range(len(item)) if shown[name, k] not in second or (name == "view05" and shown[name, k] == 11)]
        kept[name] = item.take(np.array(rows, np.intp))
    house = np.flatnonzero(model.xyz[:, 0] > 8.2)
    if not any(shown[key] == 11 for key in shown if key[0] == "view05"):
        pytest.skip("this view does not show it whole")
    tree, _ = build_tree(mask_points([model], kept))
    assert any(np.isin(tree.member[k].indices, house).mean() > 0.9 for k in range(len(tree)))


def test_no_mask_makes_an_empty_tree():
    found = solve_granularity([street_front(1)], {}, "auto")
    assert len(found.tree) == 0
    assert not found.flat.segments
    assert found.places == {}


@pytest.mark.parametrize("text", ["", "finest", "-1", "1.5", "½", "100"])
def test_other_granularities_are_refused(text):
    with pytest.raises(UsageError, match="coarse, fine, auto"):
        check_granularity(text)
    assert check_granularity(" Coarse ") == "coarse"


def test_ids_end_where_label_images_have_no_numbers_left(monkeypatch):
    model, (masks, _) = street_front(2), cut_at_random(2)
    found = solve_granularity([model], masks, "auto")
    count = len(found.tree)
    last = solve_granularity([model], masks, "auto", next_id=65536 - count)
    assert last.tree.ids.max() == 65535
    assert max(int(item.labels.max()) for item in last.flat.segments.values()) > 65535 - count
    with pytest.raises(DataError, match=r"65535 ids .* 65537 were given already.*make the map anew"):
        solve_granularity([model], masks, "auto", next_id=65538)
    again = solve_granularity([model], masks, "coarse", last.stored)
    assert set(again.tree.ids.tolist()) == set(last.tree.ids.tolist()), "what has an id keeps it"
    monkeypatch.setattr("seg2d3d_ros.granularity.solving.MAX_ID", count - 1)
    with pytest.raises(DataError, match=rf"{count} objects.*cuts too finely"):
        solve_granularity([model], masks, "auto")
