"""Images without a position: they begin between those that they share tracks with, and go where nobody tells their place."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers_outward_cameras import OutwardDrive

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.reconstruction.anchored import anchored_mapper
from seg2d3d_ros.reconstruction.anchored.loose_places import PLACES_LOOSE, loose_images, tell_loose
from seg2d3d_ros.reconstruction.anchored.stations import Stations
from seg2d3d_ros.reconstruction.viewgraph import COMMON_POINTS
from seg2d3d_ros.types import SparseModel, WorldFrame


def stations(count: int) -> Stations:
    """Single images, each a place of its own."""
    return Stations.of(list(range(count)), {k: np.eye(3) for k in range(count)}, None)


def test_a_place_without_a_position_begins_between_those_that_it_shares_tracks_with():
    """A street of 300 m: images 1 and 2 lie between 0 and 3, far from its middle; image 5 shares nothing."""
    metres = np.array([[0.0, 0, 0], [30, 0, 0], [300, 6, 0]])
    image, track = [], []
    for number, pair in enumerate([(0, 1)] * 8 + [(1, 2)] * 8 + [(2, 3)] * 8 + [(3, 4)]):
        image += pair
        track += [number, number]
    start = stations(6).start(np.array([0, 3, 4]), metres, np.array(image), np.array(track))
    np.testing.assert_allclose(start[[0, 3, 4]], metres)
    np.testing.assert_allclose(start[[1, 2], 0], [10.0, 20.0], atol=0.1)
    np.testing.assert_allclose(start[5], np.median(metres, axis=0), atol=1e-6)


def model_of(tracks: list[tuple[int, ...]], images: int) -> SimpleNamespace:
    """What ``visibility`` reads of a model: which images see each point."""
    points = [SimpleNamespace(track=SimpleNamespace(elements=[SimpleNamespace(image_id=i) for i in seen])) for seen in tracks]
    return SimpleNamespace(reg_image_ids=lambda: list(range(1, images + 1)), points3D=dict(enumerate(points)))


def test_points_that_one_other_place_sees_tell_no_distance():
    positioned = [1, 2]
    loosely = [(1, 3)] * 100 + [(2, 3)] * 100
    assert loose_images(model_of(loosely, 3), positioned) == {3}
    firmly = [(1, 2, 3)] * COMMON_POINTS
    assert loose_images(model_of([*loosely, *firmly], 3), positioned) == set()
    assert loose_images(model_of([*loosely, *firmly[1:]], 3), positioned) == {3}


def test_a_chain_is_told_link_by_link():
    chain = [(1, 2, 3)] * COMMON_POINTS + [(2, 3, 4)] * COMMON_POINTS + [(3, 4, 5)] * COMMON_POINTS
    assert loose_images(model_of(chain, 5), [1, 2]) == set()
    broken = [(1, 2, 3)] * COMMON_POINTS + [(3, 4)] * 50 + [(4, 5)] * 50
    assert loose_images(model_of(broken, 5), [1, 2]) == {4, 5}


def test_the_images_of_one_moment_are_one_place():
    """Points that two cameras of a moment see tell nothing of its distance; a position of one of them holds all."""
    tracks = [(1, 3, 4)] * 100 + [(1, 2)] * 20
    assert loose_images(model_of(tracks, 4), [1, 2], [[3, 4]]) == {3, 4}
    assert loose_images(model_of(tracks, 4), [1, 2, 4], [[3, 4]]) == set()


def sparse_model_of(tracks: list[tuple[int, ...]], images: int, kind: str = "enu") -> SparseModel:
    """A model of images "1", "2", … that see points like that."""
    seen = [(i - 1, k) for k, there in enumerate(tracks) for i in there]
    points = len(tracks)
    return SparseModel(
        tuple(str(i) for i in range(1, images + 1)),
        tuple(Camera.guess(64, 48) for _ in range(images)),
        np.tile(np.eye(4)[:3], (images, 1, 1)),
        np.zeros((points, 3)),
        np.zeros((points, 3), np.uint8),
        np.zeros(points, np.float32),
        np.arange(points),
        np.array([k for k, _ in seen], np.int32),
        np.array([p for _, p in seen], np.int32),
        np.zeros((len(seen), 2), np.float32),
        WorldFrame(kind, (55.7, 13.2, 40.0) if kind == "enu" else None),
    )


def told(*arguments) -> list[str]:
    findings = Findings()
    tell_loose(*arguments, findings)
    assert {finding.kind for finding in findings.list()} <= {PLACES_LOOSE}
    return [name for finding in findings.list() for name in finding.examples]


def test_a_place_that_hangs_by_far_fewer_points_than_the_others_is_told():
    """Images 1 to 4 have positions and share 200 points in threes; 5 shares 20 with two of them, 6 shares 100."""
    tracks = [(1, 2, 3, 4)] * 200 + [(3, 4, 5)] * 20 + [(3, 4, 6)] * 100
    assert told([sparse_model_of(tracks, 6)], list("1234"), []) == ["5"]
    assert told([sparse_model_of(tracks, 6)], list("12345"), []) == []
    assert told([sparse_model_of(tracks, 6)], list("1234"), [["4", "5"]]) == [], "one moment, one place"
    assert told([sparse_model_of(tracks, 6, "arbitrary")], list("1234"), []) == [], "nothing lies on the Earth there"
    assert told([sparse_model_of(tracks, 6)], [], []) == []


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return OutwardDrive(tmp_path_factory.mktemp("drive") / "database.db")


def test_moments_without_positions_are_placed_by_their_neighbours(drive):
    """All four cameras of every fifth moment have none."""
    moments = sorted({row.stamp_ns for row in drive.rows})[2::5]
    bare = {row.image_id for row in drive.rows if row.stamp_ns in moments}
    answer = drive.solve({i: place for i, place in drive.positions()[0].items() if i not in bare})
    assert bare <= set(answer.model.reg_image_ids())
    assert max(drive.offsets(answer.model)) < 0.15


def test_a_loose_image_is_not_registered(drive, monkeypatch):
    """Where the look at what ties it were not taken, it would be in the model, anywhere."""
    image_id = drive.rows[5].image_id
    monkeypatch.setattr(anchored_mapper, "loose_images", lambda *_: {image_id})
    answer = drive.solve(drive.positions()[0])
    assert image_id not in answer.model.reg_image_ids()
    assert answer.model.num_reg_images() == len(drive.rows) - 1
