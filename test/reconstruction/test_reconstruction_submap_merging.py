"""Two submaps become one as a whole: exact where they fit, refused where they do not, and no id that was published lost."""

import random
import sys
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from helpers_reconstruction import misfit
from test_reconstruction_online_mapper import Scene, halves

from seg2d3d_ros.geometry.similarity import Similarity, weighted_similarity
from seg2d3d_ros.reconstruction.online import submap_merging
from seg2d3d_ros.reconstruction.online.submap import Submap
from seg2d3d_ros.reconstruction.online.submap_links import find_links, fit_links
from seg2d3d_ros.reconstruction.online.submap_merging import merge
from seg2d3d_ros.reconstruction.point_ids import renumber, reserve
from seg2d3d_ros.types import WorldFrame

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from street import Street


def two_submaps(tmp_path, noise=0.3, points=300):
    """A mapper with two models of five images each, all pairs between them in the graph but not looked at yet."""
    scene = Scene(tmp_path / "d.db", noise=noise, points=points)
    groups, inside = halves(scene)
    mapper = scene.mapper()
    for i in (1, 6, 2, 7, 3, 8, 4, 9, 5, 10):
        scene.feed(mapper, i, inside[i])
        mapper.grow()
    mapper.grow(patient=False)
    assert len(mapper.submaps) == 2
    for i in groups[1]:
        mapper.add_pairs(i, scene.matches(i, groups[0]))
    for model in mapper.submaps:
        model.rebuild()
    return scene, mapper, mapper.submaps[0], mapper.submaps[1]


def tracks(model):
    return {
        p: {(e.image_id, e.point2D_idx) for e in point.track.elements} for p, point in model.reconstruction.points3D.items()
    }


def consistent(reconstruction):
    """Tracks and keypoints say the same, and no keypoint belongs to two points."""
    said = {
        (i, k): p.point3D_id
        for i in reconstruction.reg_image_ids()
        for k, p in zip(
            reconstruction.image(i).get_observation_point2D_idxs(),
            reconstruction.image(i).get_observation_points2D(),
            strict=True,
        )
    }
    told = {(e.image_id, e.point2D_idx): p for p, point in reconstruction.points3D.items() for e in point.track.elements}
    return said == told and sum(p.track.length() for p in reconstruction.points3D.values()) == len(told)


def test_links_find_the_similarity(tmp_path):
    """A model that was moved, turned and scaled is brought back to 0.1 % of the scene, though a fifth of the links is wrong."""
    _scene, mapper, target, source = two_submaps(tmp_path)
    known = Similarity(2.5, pycolmap.Rotation3d(np.array([0.2, -0.5, 1.0])).matrix(), np.array([3.0, -7.0, 1.0]))
    links = find_links(mapper.graph, source.reconstruction, target.reconstruction)
    assert len(np.unique(links.source_points)) > 200
    first, agree = fit_links(links, source.reconstruction, target.reconstruction, 30, 0)
    assert agree.mean() > 0.95
    before = np.array([p.xyz for _, p in sorted(source.reconstruction.points3D.items())])
    source.transform(known)
    links.target_points[::5] = np.roll(links.target_points[::5], 1)
    second, agree = fit_links(links, source.reconstruction, target.reconstruction, 30, 0)
    assert 0.7 < agree.mean() < 0.85
    size = np.ptp(first.apply(before), axis=0).max()
    assert np.abs(second.apply(known.apply(before)) - first.apply(before)).max() < 1e-3 * size
    np.testing.assert_allclose(known.inverse().apply(known.apply(before)), before, atol=1e-9)


def test_a_merge_keeps_everything_and_merges_what_is_the_same(tmp_path):
    scene, mapper, target, source = two_submaps(tmp_path)
    for model, first in ((target, 1000), (source, 5000)):
        reserve(model.reconstruction, first)
        model.numbered = True
    before, moved = tracks(target), tracks(source)
    assert merge(source, target, mapper.options(mapper.thresholds, 5), 30, 0)
    after = tracks(target)
    assert target.registered == set(range(1, 11))
    assert consistent(target.reconstruction)
    assert len(set(before) - set(after)) < 0.02 * len(before)
    assert len(after) < 0.7 * (len(before) + len(moved))  # most points were seen from both sides
    observations = sum(map(len, after.values()))
    assert observations > 0.97 * (sum(map(len, before.values())) + sum(map(len, moved.values())))
    alone = [p for p in moved if p in after and p not in before]
    assert all(len(after[p] & moved[p]) >= 2 for p in alone)  # an id that stayed means the point that it meant
    assert misfit(target.reconstruction, scene.truth) < 5e-3
    mapper.submaps.remove(source)
    mapper.adjust()
    mapper.grow()
    assert misfit(target.reconstruction, scene.truth) < 3e-3


def test_a_merged_submap_counts_as_adjusted_as_far_as_its_parts_were(tmp_path):
    """Else every merge would be followed by a global adjustment of the whole."""
    _scene, mapper, target, source = two_submaps(tmp_path)
    for submap in (target, source):
        submap.adjust(mapper.options(mapper.thresholds, 5))
    adjusted = []
    target.adjust = lambda options: adjusted.append(len(target))
    assert merge(source, target, mapper.options(mapper.thresholds, 5), 30, 0)
    assert target.adjusted == 10
    target.grow(mapper.options(mapper.thresholds, 10), [], lambda: None)
    assert adjusted == []


def test_points_of_an_unpublished_model_get_ids_of_the_published_one(tmp_path):
    """Ids that the unpublished model happens to use may have been another point's once: they are not carried over."""
    _scene, mapper, target, source = two_submaps(tmp_path)
    for p in sorted(target.reconstruction.points3D)[::3]:
        target.reconstruction.delete_point3D(p)
    target.rebuild()
    reserve(target.reconstruction, 9000)
    target.numbered = True
    renumber([source.reconstruction], lambda i: np.zeros((400, 3), np.uint8), {}, first=3000)
    source.rebuild()
    before = set(target.reconstruction.points3D)
    assert merge(source, target, mapper.options(mapper.thresholds, 5), 30, 0)
    new = set(target.reconstruction.points3D) - before
    assert len(new) > 30
    assert min(new) >= 9000
    assert target.numbered


@pytest.mark.parametrize("frame", [WorldFrame("metric"), WorldFrame("enu", (1.0, 2.0, 3.0))])
def test_the_frame_that_says_more_wins(tmp_path, frame):
    _scene, mapper, target, source = two_submaps(tmp_path)
    source.frame = frame
    centers = {i: source.reconstruction.image(i).projection_center() for i in source.registered}
    assert merge(source, target, mapper.options(mapper.thresholds, 5), 30, 0)
    assert target.frame == frame
    size = np.ptp(list(centers.values()), axis=0).max()
    for i, center in centers.items():
        assert np.linalg.norm(target.reconstruction.image(i).projection_center() - center) < 0.02 * size


def test_a_bad_fit_is_refused_and_nothing_changes(tmp_path, monkeypatch):
    """Where half of the smaller model is bent away no similarity suits most links: both models stay as they are."""
    _scene, mapper, target, source = two_submaps(tmp_path)
    rng = np.random.default_rng(0)
    for point in source.reconstruction.points3D.values():
        if rng.random() < 0.6:
            point.xyz = point.xyz + rng.normal(size=3) * np.abs(point.xyz).max()
    before = tracks(target), tracks(source)
    assert not merge(source, target, mapper.options(mapper.thresholds, 5), 30, 0)
    assert (tracks(target), tracks(source)) == before
    assert target.registered == {1, 2, 3, 4, 5}

    def never(*_):
        raise AssertionError("tried again without new links")

    monkeypatch.setattr(submap_merging, "fit_links", never)
    assert not merge(source, target, mapper.options(mapper.thresholds, 5), 30, 0)


def test_refused_merges_fall_back_to_image_by_image(tmp_path, monkeypatch):
    _scene, mapper, _target, _source = two_submaps(tmp_path)
    monkeypatch.setattr("seg2d3d_ros.reconstruction.online.online_mapper.merge", lambda *_: False)
    mapper.grow()
    (model,) = mapper.submaps
    assert model.registered == set(range(1, 11))


def test_points_on_a_line_have_no_similarity():
    line = np.outer(np.arange(5.0), [1.0, 2.0, 3.0])
    assert weighted_similarity(line, 2 * line, np.ones(5)) is None
    assert weighted_similarity(line[:1].repeat(3, 0), line[:3], np.ones(3)) is None


def test_a_street_in_random_order_is_merged_not_registered_twice():
    """60 keyframes in random order: hardly a placement beyond one each (75 image by image), one model, straight to 2 cm."""
    seed = 1
    street = Street(60, seed=seed, points_per_metre=40)
    mapper, placed = street.mapper(), []
    place = Submap._fit_in
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Submap, "_fit_in", lambda self, i, options: (placed.append(i), place(self, i, options))[1])
        order = list(range(1, 61))
        random.Random(seed).shuffle(order)
        for i in order:
            street.feed(mapper, i)
            mapper.grow()
    mapper.grow(patient=False)
    (model,) = mapper.submaps
    assert len(model) == 60
    assert len(placed) <= 62
    assert consistent(model.reconstruction)
    mapper.adjust()
    assert street.error(model.reconstruction) < 0.02
