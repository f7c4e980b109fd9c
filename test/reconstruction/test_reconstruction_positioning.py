"""Places by rays and positions, tracks, moments, and mounts that rotations show."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.vertical.camera_up import UNTOLD
from seg2d3d_ros.geometry.vertical.verticals import verticals
from seg2d3d_ros.reconstruction.anchored.anchor import Anchor
from seg2d3d_ros.reconstruction.anchored.positioning import Positioning
from seg2d3d_ros.reconstruction.anchored.relative_poses import RelativePose
from seg2d3d_ros.reconstruction.anchored.rotations import turn_to_positions
from seg2d3d_ros.reconstruction.anchored.stations import Stations
from seg2d3d_ros.reconstruction.anchored.tracks import KeypointTracks, find_tracks
from seg2d3d_ros.reconstruction.database import ImageRow
from seg2d3d_ros.reconstruction.rigs.found_mounts import find_mounts
from seg2d3d_ros.reconstruction.rigs.moments import find_moments
from seg2d3d_ros.reconstruction.rigs.rig_frames import Rig

SECOND = 10**9


def row(image_id, camera, stamp=0, file_name=""):
    return ImageRow(image_id, 1, f"{camera}_{image_id}", file_name or f"{camera}/{image_id}.jpg", camera, stamp, 100, None)


def scene(places, seed=0, points=80):
    """Exact rays from every place to every point."""
    rng = np.random.default_rng(seed)
    xyz = np.column_stack([rng.uniform(-5, 25, points), rng.choice([-8.0, 8.0], points), rng.uniform(0, 6, points)])
    images, tracks = np.tile(np.arange(len(places)), points), np.repeat(np.arange(points), len(places))
    rays = xyz[tracks] - places[images]
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return KeypointTracks(images, tracks, tracks, rays), xyz


def positioned(tracks, stations, measured, metres, sigma):
    """The problem, its unknowns and its points."""
    weights = np.full((len(measured), 3), 1 / sigma**2)
    problem = Positioning(tracks, stations, tracks.images, np.array(measured), metres, weights)
    return problem, *problem.solve(stations.start(np.array(measured), metres, tracks.images, tracks.tracks))


def single(count):
    """Stations of cameras of their own, whose axes are those of the world."""
    return Stations.of(range(count), {k: np.eye(3) for k in range(count)}, None)


class TestPositioning:
    @settings(max_examples=15, deadline=None)
    @given(st.integers(0, 1000))
    def test_rays_bring_wrong_positions_right(self, seed):
        """One of eight positions is 10 m off: the rays and the others say where its image stands."""
        rng = np.random.default_rng(seed)
        places = np.column_stack([2.5 * np.arange(8), rng.uniform(-1, 1, 8), np.full(8, 1.5)])
        tracks, xyz = scene(places, seed)
        given_places = places + rng.normal(0, 0.05, places.shape)
        given_places[rng.integers(8)] += [0.0, 7.0, 7.0]
        problem, found, points = positioned(tracks, single(8), range(8), given_places, 0.05)
        assert np.abs(found - places).max() < 0.3
        assert np.median(np.linalg.norm(points - xyz, axis=1)) < 0.3
        assert np.median(problem.angles(found, points)) < 0.01

    def test_a_place_without_a_position_is_found_by_its_rays(self):
        places = np.column_stack([2.5 * np.arange(6), np.zeros(6), np.full(6, 1.5)])
        tracks, _ = scene(places)
        _, found, _ = positioned(tracks, single(6), range(5), places[:5], 0.1)
        assert np.abs(found - places).max() < 0.01

    @pytest.mark.parametrize("known", [True, False], ids=["known mounts", "mounts of unknown length"])
    def test_two_cameras_at_one_place(self, known):
        """They look to opposite sides, a metre apart; positions are of the left one only."""
        places = np.column_stack([3.0 * np.arange(5), np.zeros(5), np.full(5, 1.5)])
        arm = np.array([0.0, -1.0, 0.0])
        tracks, _ = scene(np.vstack([places, places + arm]))
        mounts = {"left": Pose.identity(), "right": Pose(np.eye(3), arm if known else np.zeros(3))}
        frames = [[row(k, "left"), row(5 + k, "right")] for k in range(5)]
        rig = Rig(mounts, frames, refine=not known)
        stations = Stations.of(range(10), {k: np.eye(3) for k in range(10)}, rig)
        _, found, _ = positioned(tracks, stations, range(5), places, 0.05)
        assert np.abs(stations.origins(found) - np.vstack([places, places + arm])).max() < 0.02


class TestTracks:
    def found(self, pairs):
        relative = {pair: RelativePose(Pose.identity(), np.array(matches, np.int64)) for pair, matches in pairs.items()}
        tracks = find_tracks(relative, {i: np.tile([0.0, 0.0, 1.0], (4, 1)) for i in (3, 5, 9)})
        return {
            frozenset(zip(tracks.images[rows].tolist(), tracks.keypoints[rows].tolist(), strict=True))
            for rows in (tracks.tracks == k for k in range(len(tracks)))
        }

    def test_matches_join(self):
        joined = {frozenset({(3, 0), (5, 1), (9, 3)}), frozenset({(3, 1), (5, 2)})}
        assert self.found({(3, 5): [[0, 1], [1, 2]], (5, 9): [[1, 3]]}) == joined

    def test_two_keypoints_of_one_image_are_no_track(self):
        assert self.found({(3, 5): [[0, 1], [2, 2]], (5, 9): [[1, 3]], (3, 9): [[1, 3]]}) == {frozenset({(3, 2), (5, 2)})}

    def test_the_longest_suffice(self):
        images = np.array([1, 2, 3, 1, 2, 1, 2])
        tracks = KeypointTracks(images, np.arange(7), np.array([0, 0, 0, 1, 1, 2, 2]), np.zeros((7, 3)))
        assert len(tracks.longest(1)) == 1
        assert len(tracks.longest(2)) == 2
        assert tracks.longest(9).images.tolist() == images.tolist()


class TestMoments:
    def names(self, moments):
        return sorted(sorted(r.file_name for r in moment) for moment in moments)

    def test_by_time_within_the_tolerance(self):
        rows = [row(1, "left", SECOND), row(2, "right", SECOND + 4_000_000), row(3, "right", 2 * SECOND), row(4, "left")]
        assert [len(m) for m in find_moments(rows, 0.005, "time")] == [1, 2, 1]

    def test_by_name_where_there_is_no_time(self):
        rows = [row(1, "left", 0, "left/0001.jpg"), row(2, "right", 0, "right/0001.jpg"), row(3, "left", 0, "left/0002.jpg")]
        assert self.names(find_moments(rows, 0.005)) == [["left/0001.jpg", "right/0001.jpg"], ["left/0002.jpg"]]

    def test_the_cameras_own_name_in_a_file_name_does_not_count(self):
        rows = [row(1, "left", 0, "left_0001.jpg"), row(2, "right", 0, "0001-right.jpg")]
        assert [len(m) for m in find_moments(rows, 0.005, "stem")] == [2]

    def test_a_camera_is_in_a_moment_once(self):
        rows = [row(1, "left", 0, "a/left/1.jpg"), row(2, "left", 0, "b/left/1.jpg"), row(3, "right", 0, "right/1.jpg")]
        assert sorted(len(m) for m in find_moments(rows, 0.005)) == [1, 2]

    def test_by_order(self):
        rows = [
            row(k, camera, 0, f"{camera}/{name}.jpg") for k, (camera, name) in enumerate([("l", "a"), ("l", "b"), ("r", "x")])
        ]
        assert self.names(find_moments(rows, 0.005, "order")) == [["l/a.jpg", "r/x.jpg"], ["l/b.jpg"]]


class TestFoundMounts:
    TURN = Rotation.from_euler("y", 90, degrees=True).as_matrix()

    def rotations(self, seed, loose):
        """Of two cameras at five moments; ``loose``: they turn on their own."""
        rng, found, moments = np.random.default_rng(seed), {}, []
        for k in range(5):
            left = Rotation.random(random_state=rng).as_matrix()
            turn = Rotation.random(random_state=rng).as_matrix() if loose else self.TURN
            found |= {2 * k: left, 2 * k + 1: turn @ left}
            moments.append([row(2 * k, "left", k + 1), row(2 * k + 1, "right", k + 1)])
        return found, moments

    def test_cameras_that_turn_together(self):
        rotations, moments = self.rotations(0, loose=False)
        rig = find_mounts(rotations, moments, {}, {})
        np.testing.assert_allclose(rig.mounts["right"].inverse().rotation @ rig.mounts["left"].rotation, self.TURN, atol=1e-9)
        assert rig.refine

    def test_cameras_that_do_not(self):
        rotations, moments = self.rotations(0, loose=True)
        assert find_mounts(rotations, moments, {}, {}) is None

    def test_cameras_of_two_vehicles(self):
        rotations, moments = self.rotations(0, loose=False)
        positions = {i: np.array([0.0, 20.0 * (i % 2), 0.0]) for i in rotations}
        assert find_mounts(rotations, moments, positions, dict.fromkeys(positions, 0.1)) is None
        assert find_mounts(rotations, moments, positions, dict.fromkeys(positions, 10.0)) is not None

    def test_too_few_moments(self):
        rotations, moments = self.rotations(0, loose=False)
        assert find_mounts(rotations, moments[:2], {}, {}) is None


class TestTurn:
    """Rotations of cameras along a street, in a frame that is turned by anything."""

    @pytest.mark.parametrize(("bend", "upside_down"), [(0.0, False), (0.05, False), (0.05, True)])
    def test_baselines_and_the_vertical_decide_together(self, bend, upside_down):
        """On a straight street nothing would tell cameras that are upside down."""
        rng = np.random.default_rng(0)
        roll = np.diag([-1.0, -1.0, 1.0]) if upside_down else np.eye(3)
        truth, positions = {}, {}
        for k in range(20):
            ahead = Rotation.from_euler("z", bend * k).as_matrix() @ np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]) @ roll
            truth[k] = ahead.T
            positions[k] = 3.0 * np.array([np.cos(bend * k), np.sin(bend * k), 0.0]) * k
        gauge = Rotation.random(random_state=rng).as_matrix()
        rotations = {k: r @ gauge for k, r in truth.items()}
        relative = {}
        for a in range(18):
            baseline = truth[a + 2] @ (positions[a] - positions[a + 2])
            relative[a, a + 2] = RelativePose(Pose(truth[a + 2] @ truth[a].T, baseline), np.zeros((9, 2)))

        def up(ids, poses):
            return verticals(poses, [UNTOLD] * len(ids))

        anchor = Anchor(positions, dict.fromkeys(positions, 0.05), set(positions), None, [], up)
        turned = turn_to_positions(rotations, relative, anchor)
        errors = [np.degrees(Rotation.from_matrix(turned[k] @ truth[k].T).magnitude()) for k in truth]
        assert max(errors) < 2.0
