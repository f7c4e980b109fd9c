"""More points in masks that hold few: exact geometry on a photographed wall, and what is left alone."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from seg2d3d_ros.association.points.enrich import FIRST_ID, enrich
from seg2d3d_ros.association.points.feature_views import FeatureView
from seg2d3d_ros.association.points.point_tracks import triangulate
from seg2d3d_ros.config import make_config
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.images import encode_png
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.association_session import AssociationSession
from seg2d3d_ros.types import Keyframe, Segments, SparseModel

WIDTH, HEIGHT, FOCAL, DEPTH = 320, 240, 260.0, 10.0
CAMERA = Camera("PINHOLE", WIDTH, HEIGHT, (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2))
PLACES = ((0.0, 0.0, 0.0), (1.2, 0.1, 0.3), (2.4, -0.1, 0.9))


def _wall(seed: int = 3) -> np.ndarray:
    """A texture without repetition, 40 pixels a metre."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.uniform(0, 255, (40, 60)).astype(np.float32), (1200, 800), interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(rng.uniform(0, 255, (800, 1200)).astype(np.float32), (0, 0), 2.5)
    return np.clip(0.5 * coarse + 3 * (fine - fine.mean()) + 64, 0, 255).astype(np.uint8)


def _photo(wall: np.ndarray, place: tuple[float, float, float]) -> np.ndarray:
    """The wall z = DEPTH as a camera at ``place`` sees it that looks along z."""
    x, y, z = place
    scale = FOCAL / (DEPTH - z) / 40
    shift = [[scale, 0, FOCAL * (-15 - x) / (DEPTH - z) + WIDTH / 2 - 0.5 + scale / 2 - 0.0],
             [0, scale, FOCAL * (-10 - y) / (DEPTH - z) + HEIGHT / 2 - 0.5 + scale / 2 - 0.0]]  # fmt: skip
    gray = cv2.warpAffine(wall, np.array(shift), (WIDTH, HEIGHT), flags=cv2.INTER_AREA)
    return np.repeat(gray[:, :, None], 3, axis=2)


def _world(known: int = 8) -> tuple[SparseModel, dict[str, Segments], dict[str, np.ndarray]]:
    """Three views of the wall; its left part is mask 1, and ``known`` points on it are matched already."""
    names = tuple(f"view{k}" for k in range(len(PLACES)))
    photos = {name: _photo(_wall(), place) for name, place in zip(names, PLACES, strict=True)}
    poses = np.tile(np.eye(4)[:3], (len(PLACES), 1, 1))
    poses[:, :, 3] = -np.array(PLACES)
    rng = np.random.default_rng(1)
    xyz = np.column_stack([rng.uniform(-2, 1, known), rng.uniform(-3, 3, known), np.full(known, DEPTH)])
    segments, rows = {}, []
    for k, name in enumerate(names):
        labels = np.zeros((HEIGHT, WIDTH), np.uint16)
        edge = FOCAL * (1.5 - PLACES[k][0]) / (DEPTH - PLACES[k][2]) + WIDTH / 2
        labels[:, : round(edge)] = 1
        segments[name] = Segments(name, labels, np.array([1], np.uint16), np.ones(1, np.int32), np.ones(1, np.float32))
        local = xyz - PLACES[k]
        rows += [(k, p, *(FOCAL * q[:2] / q[2] + [WIDTH / 2, HEIGHT / 2])) for p, q in enumerate(local)]
    table = np.array(rows).reshape(-1, 4)
    inside = (table[:, 2:] >= 0).all(axis=1) & (table[:, 2] < WIDTH) & (table[:, 3] < HEIGHT)
    table = table[inside]
    model = SparseModel(
        names, (CAMERA,) * len(names), poses, xyz, np.zeros((known, 3), np.uint8), np.zeros(known, np.float32),
        np.arange(known, dtype=np.int64), table[:, 0].astype(np.int32), table[:, 1].astype(np.int32),
        table[:, 2:].astype(np.float32),
    )  # fmt: skip
    return model, segments, photos


def test_points_are_found_on_the_wall_and_inside_masks_only() -> None:
    model, segments, photos = _world()
    told = []
    (more,) = enrich([model], segments, photos.__getitem__, enough=50, progress=lambda *what: told.append(what))
    assert [done for _, done, _ in told] == list(range(1, len(told) + 1)), "images, then pairs"
    assert {(stage, total) for stage, _, total in told} == {("points in masks", len(told))}
    added = more.xyz[len(model.point_ids) :]
    assert len(added) > 60
    # A pixel of error at a baseline of 1.2 m and 10 m distance is 0.3 m of depth.
    assert np.median(np.abs(added[:, 2] - DEPTH)) < 0.1
    assert np.abs(added[:, 2] - DEPTH).max() < 1.0
    new = more.obs_point >= len(model.point_ids)
    for keyframe, (u, v) in zip(more.obs_keyframe[new], more.obs_xy[new], strict=True):
        assert segments[model.names[keyframe]].labels[int(v), int(u)] == 1
    # The same pixel and point as a reprojection says it: MAX_ERROR.
    local = more.xyz[more.obs_point[new]] - np.array(PLACES)[more.obs_keyframe[new]]
    pixel = FOCAL * local[:, :2] / local[:, 2:] + [WIDTH / 2, HEIGHT / 2]
    assert np.linalg.norm(pixel - more.obs_xy[new], axis=1).max() < 1.5


def test_what_was_known_stays_in_its_place() -> None:
    model, segments, photos = _world()
    (more,) = enrich([model], segments, photos.__getitem__, enough=50)
    points, observations = len(model.point_ids), len(model.obs_point)
    np.testing.assert_array_equal(more.xyz[:points], model.xyz)
    np.testing.assert_array_equal(more.point_ids[:points], model.point_ids)
    np.testing.assert_array_equal(more.obs_xy[:observations], model.obs_xy)
    assert len(set(more.point_ids.tolist())) == len(more.point_ids)
    assert (more.point_ids[points:] >= FIRST_ID).all()
    assert more.point_ids.max() < 2**32


def test_masks_with_enough_points_cost_nothing() -> None:
    model, segments, _ = _world(known=30)

    def never(name: str) -> np.ndarray:
        raise AssertionError(name)

    (same,) = enrich([model], segments, never, enough=5)
    assert same is model


def test_without_poses_cameras_or_masks_nothing_is_added() -> None:
    model, segments, photos = _world()
    unposed = replace(model, camera_from_world=np.full_like(model.camera_from_world, np.nan))
    assert enrich([unposed], segments, photos.__getitem__, enough=50) == [unposed]
    assert enrich([replace(model, cameras=())], segments, photos.__getitem__, enough=50)[0].point_ids.shape == (8,)
    assert enrich([model], {}, photos.__getitem__, enough=50) == [model]
    assert enrich([], segments, photos.__getitem__, enough=50) == []


def test_an_unreadable_image_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    model, segments, photos = _world()

    def read(name: str) -> np.ndarray:
        if name == "view1":
            raise DataError("view1.jpg: gone")
        return photos[name]

    (more,) = enrich([model], segments, read, enough=50)
    assert "view1.jpg: gone" in caplog.text
    assert set(more.obs_keyframe[len(model.obs_point) :].tolist()) == {0, 2}


def _view(xy: np.ndarray, pose: Pose, descriptors: np.ndarray) -> FeatureView:
    count = len(xy)
    return FeatureView(xy.astype(np.float32), CAMERA.rays(xy), descriptors, np.zeros((count, 3), np.uint8),
                       np.ones(count, np.int64), pose, CAMERA.pixels_per_tangent)  # fmt: skip


def _pose(x: float) -> Pose:
    return Pose(np.eye(3), np.array([-x, 0.0, 0.0]))


def test_a_view_that_contradicts_leaves_the_track_and_torn_tracks_vanish() -> None:
    xyz = np.array([[0.0, 0.0, 10.0], [1.0, 1.0, 10.0]])
    views, nothing = [], np.zeros((2, 128), np.uint8)
    for k, x in enumerate([0.0, 1.0, 2.0]):
        xy = FOCAL * (xyz - [x, 0, 0])[:, :2] / 10 + [WIDTH / 2, HEIGHT / 2]
        xy[0, 1] += 8.0 * (k == 2)
        views.append(_view(xy, _pose(x), nothing))
    both = np.arange(2)
    found = triangulate(views, [(0, 1, both, both), (1, 2, both, both)])
    order = np.argsort(found.xyz[:, 0])
    np.testing.assert_allclose(found.xyz[order], xyz, atol=1e-4)
    seen = [sorted(found.view[found.track == t].tolist()) for t in order]
    assert seen == [[0, 1], [0, 1, 2]]
    torn = triangulate(views, [(0, 1, both, both), (1, 2, both, both), (0, 2, np.array([0]), np.array([1]))])
    assert len(torn.xyz) == 0


@pytest.mark.parametrize("images", [True, False])
def test_a_live_map_is_enriched_when_solved_as_a_whole_if_its_images_are_there(tmp_path, images: bool) -> None:
    model, segments, photos = _world()
    store = MapStore(tmp_path)
    records = []
    for k, name in enumerate(model.names):
        keyframe = Keyframe(name, "front", k, encode_png(photos[name]), CAMERA, file_name=f"{name}.png")
        records.append(KeyframeRecord.of(keyframe, store.write_image(keyframe).relative_to(store.root)))
    store.write_keyframes(records)
    if not images:
        store.image_path(records[1]).unlink()
    session = AssociationSession(store, make_config({}))
    for item in segments.values():
        session.receive(item)
    assert (session.update([model]).incidence.matrix.shape[1]) == 8
    found = session.update([model], full=True)
    assert (found.incidence.matrix.shape[1] > 50) == images
    assert (len(store.read_points()) > 50) == images
    assert found.counts["model_points"] == 8, "of the reconstruction"
