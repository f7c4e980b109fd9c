"""The published method against a plain set-by-set version of the paper's algorithm, and its properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from seg2d3d_ros.association.published import published_tracks
from seg2d3d_ros.config import make_config
from seg2d3d_ros.sections.association_config import AssociationConfig


def config(**values) -> AssociationConfig:
    return make_config({f"association.{k}": v for k, v in values.items()}).association


def matrix(segments: list[set[int]], points: int = 40) -> sparse.csr_matrix:
    dense = np.zeros((len(segments), points), np.float32)
    for row, members in enumerate(segments):
        dense[row, list(members)] = 1
    return sparse.csr_matrix(dense)


def by_sets(segments: list[set[int]], keyframes: list[int], c: AssociationConfig) -> list[int]:
    """Algorithm 1 of the paper, literally; tracks numbered in the order of discovery."""

    def jaccard(a: set[int], b: set[int]) -> float:
        return len(a & b) / len(a | b) if a | b else 0.0

    unassigned = [i for i in range(len(segments)) if segments[i]]
    tracks: list[list[int]] = []
    while unassigned:
        reference = max(unassigned, key=lambda i: (len(segments[i]), -i))
        track = [i for i in unassigned if i == reference or jaccard(segments[reference], segments[i]) > c.similarity]
        unassigned = [i for i in unassigned if i not in track]
        tracks.append(track)
    tracks = [
        t
        for t in tracks
        if len(set.union(*(segments[i] for i in t))) >= c.min_points and len({keyframes[i] for i in t}) >= c.min_images
    ]
    merged = True
    while merged:
        merged = False
        unions = [set.union(*(segments[i] for i in t)) for t in tracks]
        for a in range(len(tracks)):
            for b in range(a + 1, len(tracks)):
                if not merged and jaccard(unions[a], unions[b]) >= c.merge_similarity:
                    tracks[a] += tracks.pop(b)
                    merged = True
    result = [0] * len(segments)
    for number, track in enumerate(tracks, 1):
        for i in track:
            result[i] = number
    return result


segment_sets = st.lists(st.sets(st.integers(0, 39), max_size=14), min_size=0, max_size=25)


@settings(max_examples=300, deadline=None)
@given(segment_sets, st.data(), st.sampled_from([0.05, 0.2, 0.5]), st.sampled_from([0.3, 0.8]))
def test_equals_the_paper_set_by_set(segments, data, tau, tau_merge):
    keyframes = data.draw(st.lists(st.integers(0, 6), min_size=len(segments), max_size=len(segments)))
    c = config(similarity=tau, merge_similarity=tau_merge, min_points=3, min_images=2)
    got = published_tracks(matrix(segments), np.array(keyframes, np.int32), c)
    assert got.tolist() == by_sets(segments, keyframes, c)


def test_the_threshold_is_strict_and_the_merge_threshold_inclusive():
    """J = 1/20 = tau exactly: the segment stays out; J of unions = 4/5 = tau_M exactly: the tracks merge."""
    reference, other = set(range(20)), {0}
    c = config(min_points=1, min_images=1, merge_similarity=1.0)
    assert published_tracks(matrix([reference, other]), np.array([0, 1]), c).tolist() == [1, 2]
    a, b = set(range(5)), set(range(4))
    strict = config(similarity=0.9, merge_similarity=0.8, min_points=1, min_images=1)
    assert published_tracks(matrix([a, b]), np.array([0, 1]), strict).tolist() == [1, 1]


def test_the_reference_stays_fixed():
    """A chain of views: each overlaps its neighbour, the last shares nothing with the reference and stays apart."""
    segments = [set(range(0, 20)), set(range(10, 25)), set(range(22, 32))]
    c = config(min_points=1, min_images=1)
    assert published_tracks(matrix(segments), np.array([0, 1, 2]), c).tolist() == [1, 1, 2]


@pytest.mark.parametrize(("points", "images", "kept"), [(10, 4, True), (9, 4, False), (10, 3, False)])
def test_tracks_need_points_and_images(points, images, kept):
    segments = [set(range(points))] * images
    track = published_tracks(matrix(segments), np.arange(images), config())
    assert bool(track.all()) is kept
    assert track.any() == kept


def test_two_segments_of_one_image_count_as_one_image():
    segments = [set(range(12))] * 4
    assert not published_tracks(matrix(segments), np.array([0, 0, 1, 2]), config()).any()


@settings(max_examples=60, deadline=None)
@given(segment_sets, st.integers(0, 2**31))
def test_points_may_come_in_any_order(segments, seed):
    order = np.random.default_rng(seed).permutation(40)
    keyframes = np.arange(len(segments))
    c = config(min_points=2, min_images=1)
    plain = published_tracks(matrix(segments), keyframes, c)
    assert plain.tolist() == published_tracks(matrix(segments)[:, order], keyframes, c).tolist()


def test_nothing_in_nothing_out():
    assert published_tracks(sparse.csr_matrix((0, 5), dtype=np.float32), np.empty(0, np.int32), config()).shape == (0,)
    assert published_tracks(sparse.csr_matrix((3, 0), dtype=np.float32), np.zeros(3, np.int32), config()).tolist() == [0, 0, 0]
