"""Which pairs are chosen, that all of what is known reaches that choice, and what is remembered of those that were tried."""

import itertools

import numpy as np
import pytest

from seg2d3d_ros.progress import Stopwatch
from seg2d3d_ros.reconstruction.database import FeatureDatabase, ImageRow
from seg2d3d_ros.reconstruction.features import matching
from seg2d3d_ros.reconstruction.features.matching import PairMatcher, PairTable
from seg2d3d_ros.reconstruction.features.pairs import RICH_MATCHES, candidate_pairs, partners_of, poor_images
from seg2d3d_ros.reconstruction.features.place_recognition import PlaceRecognition
from seg2d3d_ros.reconstruction.features.sift import Sift
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig

CONFIG = ReconstructionConfig(max_pairs=8)


def rows(count, **changes):
    defaults = {"features": 500, "geo": None, "stamp_ns": 0, "camera_name": "c"}
    return [
        ImageRow(image_id=i, camera_id=1, name=f"{i}", file_name=f"{i}.jpg", **(defaults | changes))
        for i in range(1, count + 1)
    ]


def timed(stamps, cameras):
    return [
        ImageRow(image_id=i, camera_id=1, name=f"{i}", file_name="", camera_name=camera, stamp_ns=stamp, features=9, geo=None)
        for i, (stamp, camera) in enumerate(zip(stamps, cameras, strict=True), 1)
    ]


def strangers():
    """No two images look alike."""
    return PlaceRecognition(lambda i, n: np.random.default_rng(i).integers(0, 255, (100, 128)).astype(np.uint8), 0)


class TestChoice:
    def test_few_images_are_all_paired_and_many_are_not(self):
        assert len(candidate_pairs(rows(6), {}, None, 5)) == 15
        rng = np.random.default_rng(0)
        places = rng.integers(0, 255, (5, 300, 128)).astype(np.uint8)  # ten images of each of five places
        recognition = PlaceRecognition(lambda i, n: places[i % 5][rng.permutation(300)[:200]], 0)
        pairs = candidate_pairs(rows(50), {}, recognition, 8)
        assert all(a < b for a, b in pairs)
        assert np.mean([a % 5 == b % 5 for a, b in pairs]) > 0.95
        more = candidate_pairs(rows(50), {}, recognition, 8, poor=set(range(1, 51)))
        assert pairs < more

    def test_time_and_position_neighbours_are_paired(self):
        street = timed(range(1, 41), ["c"] * 40)
        pairs = candidate_pairs(street, {}, strangers(), 8)
        assert {(i, i + 1) for i in range(1, 40)} <= pairs
        positions = {i: np.array([float((i * 7) % 41), 0, 0]) for i in range(1, 41)}
        near = candidate_pairs(rows(40), positions, strangers(), 8)
        by_position = sorted(positions, key=lambda i: positions[i][0])
        assert {tuple(sorted(p)) for p in itertools.pairwise(by_position)} <= near

    def test_a_new_image_gets_its_neighbours_in_time_and_position(self):
        """Both although it looks like none of them; in position the three nearest at eight partners."""
        street = timed([10 * i for i in range(1, 41)], ["c"] * 40)
        new = timed([205], ["c"])[0]
        new = ImageRow(**{**new.__dict__, "image_id": 99})
        assert {19, 20, 21, 22} <= set(partners_of(new, street, {}, strangers(), 8))
        positions = {i: np.array([float((i * 7) % 41), 0, 0]) for i in range(1, 41)} | {99: np.array([20.2, 0, 0])}
        nearest = sorted(range(1, 41), key=lambda i: abs(positions[i][0] - 20.2))[:3]
        unstamped = ImageRow(**{**new.__dict__, "stamp_ns": 0})
        chosen = partners_of(unstamped, rows(40), positions, strangers(), 8)
        assert chosen[:3] == nearest
        assert len(chosen) == 8
        assert 99 not in chosen

    def test_other_cameras_of_one_moment_are_paired(self):
        stamps, cameras = zip(*[(10 * (i // 2 + 1), "ab"[i % 2]) for i in range(60)], strict=True)
        street = timed(stamps, cameras)
        assert {(i, i + 1) for i in range(1, 60, 2)} <= candidate_pairs(street, {}, strangers(), 12)
        assert 29 in partners_of(street[29], street[:29], {}, strangers(), 6)

    def test_poor_images_have_few_good_partners(self):
        pairs = np.array([[1, j, 60] for j in range(2, 7)] + [[7, j, 59] for j in range(2, 7)])
        assert poor_images(rows(7), pairs) == {2, 3, 4, 5, 6, 7}


class TestTable:
    def test_what_was_tried_is_known_from_both_sides(self):
        table = PairTable(np.array([[1, 2, 40], [1, 3, 0], [2, 5, 15]]), 15)
        assert dict(table.of(2)) == {1: 40, 5: 15}
        assert dict(table.of(4)) == {}
        assert table.verified(2, [1, 3, 5]) == {1: 40, 5: 15}
        assert table.verified(1, [2, 3]) == {2: 40}
        table.note(np.array([[1, 3, 20], [3, 4, 7]]))
        np.testing.assert_array_equal(table.rows(), [[1, 2, 40], [1, 3, 20], [2, 5, 15], [3, 4, 7]])
        np.testing.assert_array_equal(table.rows(at_least=16), [[1, 2, 40], [1, 3, 20]])

    def test_an_empty_one(self):
        assert PairTable(np.zeros((0, 3), np.int64), 15).rows().shape == (0, 3)


@pytest.fixture
def matcher(tmp_path, monkeypatch):
    """A matcher over an empty database whose ``match`` notes what it was asked for."""
    matcher = PairMatcher(FeatureDatabase(tmp_path / "d.db"), Sift(CONFIG), CONFIG, Stopwatch())
    matcher.asked = []
    monkeypatch.setattr(matcher, "match", lambda pairs, rows, progress=None: matcher.asked.append(list(pairs)))
    return matcher


POSITIONS = {1: np.zeros(3)}


class TestMatcher:
    def test_positions_and_poor_images_reach_the_choice_among_all(self, matcher, monkeypatch):
        seen = []
        monkeypatch.setattr(matching, "candidate_pairs", lambda *args: seen.append(args) or {(1, 2), (1, 3)})
        matcher.tried.note(np.array([[1, 2, 30]]))
        assert matcher.match_all(rows(3), POSITIONS, more=False) == [(1, 3)]
        assert matcher.asked == [[(1, 3)]]
        matcher.match_all(rows(3), POSITIONS, more=True)
        assert [(args[1], args[3], args[4]) for args in seen] == [(POSITIONS, 8, set()), (POSITIONS, 8, {1, 2, 3})]

    def test_a_new_image_asks_for_more_partners_until_enough_are_good(self, matcher, monkeypatch):
        seen, calls = [], []
        monkeypatch.setattr(matching, "partners_of", lambda *args: seen.append(args) or [1, 2, 3][: args[-1] - 2])
        *there, new = rows(4)
        matcher.match_image(new, there, POSITIONS, lambda: calls.append(1))
        assert [(args[2], args[4]) for args in seen] == [(POSITIONS, 4), (POSITIONS, 8)]
        assert matcher.asked == [[(1, 4), (2, 4)], [(1, 4), (2, 4), (3, 4)]]
        assert len(calls) == 2
        matcher.tried.note(np.array([[4, other, RICH_MATCHES] for other in range(5, 10)]))
        matcher.match_image(new, there, POSITIONS, lambda: None)
        assert len(seen) == 2

    def test_what_was_matched_is_noted(self, tmp_path):
        matcher = PairMatcher(FeatureDatabase(tmp_path / "d.db"), Sift(CONFIG), CONFIG, Stopwatch())
        matcher._database.verified = lambda pairs: np.array([[1, 2, 33]])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pycolmap.match_image_pairs", lambda *_: None)
            matcher.match([(1, 2)], rows(2))
        assert matcher.tried.verified(1, [2]) == {2: 33}
