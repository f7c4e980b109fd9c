"""From encoded images to models on disk: rendered pictures with a known scene, real photographs, restarts, bad input."""

import dataclasses
import os
import shutil
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers_reconstruction import drain

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.given_pose import GivenPose
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.images import decode_rgb, encode_jpeg
from seg2d3d_ros.reconstruction.batch.batch_reconstructor import BatchReconstructor
from seg2d3d_ros.reconstruction.features import extraction
from seg2d3d_ros.reconstruction.features.sift import Sift
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.reconstruction.model_writer import FORMER_MODEL_DAMAGED
from seg2d3d_ros.reconstruction.worker.worker_events import Added, Failed, Rejected, Revised
from seg2d3d_ros.reconstruction.worker.worker_handle import ReconstructionWorker
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig
from seg2d3d_ros.types import Keyframe

CASTLE = Path(__file__).parents[3] / "shared/data/castle-P30"
CONFIG = ReconstructionConfig(max_features=1500, threads=1)
SIZE = (480, 360)
FOCAL = 400.0


def texture(seed):
    """A picture full of corners of several sizes, without repetition."""
    rng = np.random.default_rng(seed)
    image = np.zeros((900, 1200, 3), np.uint8)
    for cell in (60, 20, 8):
        noise = rng.integers(0, 256, (900 // cell + 1, 1200 // cell + 1, 3), np.uint8)
        image = cv2.addWeighted(
            image, 0.5, cv2.resize(noise, None, fx=cell, fy=cell, interpolation=cv2.INTER_NEAREST)[:900, :1200], 0.5, 0
        )
    return image


def views(seed=0, count=5):
    """JPEGs of two textured walls at different depths, seen by a camera that moves sideways; and its centres."""
    walls = [(texture(2 * seed + 1), 6.0), (texture(2 * seed + 2), 3.5)]
    intrinsics = np.array([[FOCAL, 0, SIZE[0] / 2 - 0.5], [0, FOCAL, SIZE[1] / 2 - 0.5], [0, 0, 1]])
    found = []
    centers = np.column_stack([np.linspace(-0.8, 0.8, count), 0.1 * np.sin(np.arange(count)), np.linspace(0, 0.3, count)])
    for center in centers:
        canvas = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
        for picture, depth in walls:
            scale = depth / FOCAL / 1.5  # metres of a texture pixel
            near = depth < 5
            offset = np.array([-0.2 if near else -4.0, -0.3 if near else -3.0])
            plane = np.array([[scale, 0, offset[0]], [0, scale, offset[1]], [0, 0, depth]])
            homography = intrinsics @ (plane - np.outer(center, [0, 0, 1]))
            drawn = cv2.warpPerspective(picture, homography, SIZE, flags=cv2.INTER_AREA)
            covered = cv2.warpPerspective(np.full(picture.shape[:2], 255, np.uint8), homography, SIZE) > 254
            canvas[covered] = drawn[covered]
        found.append(encode_jpeg(canvas, 95))
    return found, centers


CAMERA = Camera("PINHOLE", *SIZE, (FOCAL, FOCAL, SIZE[0] / 2, SIZE[1] / 2))


def keyframe(name, encoded, camera=CAMERA, **other):
    return Keyframe(name, "cam", 0, encoded, camera, file_name=f"{name}.jpg", **other)


def fit_error(source, target):
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    d = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = np.trace(np.diag(s) @ d) / (a**2).sum()
    return np.linalg.norm(scale * a @ (u @ d @ vt).T - b, axis=1)


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    root = tmp_path_factory.mktemp("solved map")
    reconstructor = BatchReconstructor(root, CONFIG)
    images, centers = views()
    for k, image in enumerate(images):
        assert reconstructor.add(keyframe(f"view {k}", image)) > 300
    stages = []
    result = reconstructor.solve(lambda stage, done, total: stages.append((stage, done, total)))
    yield root, reconstructor, result, centers, stages
    reconstructor.close()


def test_poses_of_rendered_views(solved):
    _, _, result, centers, stages = solved
    (model,) = result.models
    assert model.names == tuple(f"view {k}" for k in range(5))  # names with blanks survive COLMAP's list of pairs
    assert fit_error(model.centers, centers).max() < 0.01
    assert result.unregistered == {}
    assert ("matching", 10, 10) in stages
    assert set(result.timings) >= {"features", "pairs", "matching", "mapping", "writing"}
    np.testing.assert_allclose(model.cameras[0].params, CAMERA.params)


def test_colours_are_the_pictures(solved):
    """The mean colour of the points is near that of the walls' textures (20 of 255), not black."""
    _, _, result, _, _ = solved
    assert np.abs(result.models[0].rgb.mean(0) - texture(1).mean((0, 1))).max() < 20


def test_models_are_read_back(solved):
    root, _, result, _, _ = solved
    (read,) = read_models(root)
    (model,) = result.models
    assert (read.names, read.frame, read.revision, read.cameras) == (model.names, model.frame, model.revision, model.cameras)
    for name in ("camera_from_world", "xyz", "rgb", "point_ids", "obs_keyframe", "obs_point", "obs_xy"):
        np.testing.assert_array_equal(getattr(read, name), getattr(model, name))
    assert [p.name for p in root.iterdir() if p.name.startswith(".sparse")] == []


def test_a_map_that_is_resumed_takes_positions_and_poses_that_are_new(tmp_path):
    """The features stay; without positions those that were given before stay, too."""
    image = Keyframe(name="0", camera_name="c", stamp_ns=1, encoded=views(count=1)[0][0], file_name="0.jpg")
    geo = GeoPosition(48.85, 2.33, 40.0, 0.01 * np.eye(3))
    given = GivenPose(np.eye(3), None, "optical", "camera", 0.1, 0.01)
    for step in (image, dataclasses.replace(image, geo=geo, given=given), image):
        reconstructor = BatchReconstructor(tmp_path, CONFIG)
        reconstructor.add(step)
        (row,) = reconstructor.database.images()
        known = reconstructor.database.given_poses()
        reconstructor.close()
    assert row.features > 0
    np.testing.assert_allclose(row.geo.coordinates, geo.coordinates)
    np.testing.assert_array_equal(known[row.image_id].rotation, np.eye(3))


def test_solving_again_keeps_ids_and_matches_nothing_anew(solved, tmp_path):
    root, _, result, _, _ = solved
    root, stages = shutil.copytree(root, tmp_path / "map"), []
    reconstructor = BatchReconstructor(root, CONFIG)
    again = reconstructor.solve(lambda stage, done, total: stages.append(stage))
    reconstructor.close()
    assert "matching" not in stages
    np.testing.assert_array_equal(again.models[0].point_ids, result.models[0].point_ids)
    np.testing.assert_array_equal(again.models[0].xyz, result.models[0].xyz)
    assert again.models[0].revision == result.models[0].revision + 1
    (read,) = read_models(root)
    assert read.revision == again.models[0].revision


@pytest.mark.parametrize("length", [-1, 100, 0])
def test_a_damaged_former_model_is_made_anew_and_named(solved, tmp_path, length):
    """Point ids of a damaged file are not believed; what counts is the database."""
    root, _, result, _, _ = solved
    root = shutil.copytree(root, tmp_path / "map")
    images = root / "sparse/0/images.bin"
    images.write_bytes(images.read_bytes()[:length])
    reconstructor = BatchReconstructor(root, CONFIG)
    again = reconstructor.solve()
    reconstructor.close()
    (finding,) = again.findings
    assert (finding.kind, finding.examples) == (FORMER_MODEL_DAMAGED, ("0",))
    assert "images.bin: the COLMAP model is damaged" in finding.text
    np.testing.assert_array_equal(again.models[0].xyz, result.models[0].xyz)
    assert len(read_models(root)) == 1


def test_two_places_give_two_models_with_distinct_ids(tmp_path):
    reconstructor = BatchReconstructor(tmp_path, CONFIG)
    for seed, prefix in ((0, "a"), (7, "b")):
        for k, image in enumerate(views(seed, 4 - (seed > 0))[0]):
            reconstructor.add(keyframe(f"{prefix}{k}", image))
    result = reconstructor.solve()
    assert [sorted({n[0] for n in m.names}) for m in result.models] == [["a"], ["b"]]
    assert [m.component for m in result.models] == [0, 1]
    assert not set(result.models[0].point_ids) & set(result.models[1].point_ids)
    assert sorted(p.name for p in (tmp_path / "sparse").iterdir()) == ["0", "1"]
    reconstructor.close()


def test_nothing_one_and_unrelated_images(tmp_path):
    reconstructor = BatchReconstructor(tmp_path, CONFIG)
    assert reconstructor.solve().models == []
    reconstructor.add(keyframe("one", views(0)[0][0]))
    assert "only image" in reconstructor.solve().unregistered["one"]
    reconstructor.add(keyframe("other", views(9)[0][0]))
    reconstructor.add(keyframe("blank", encode_jpeg(np.full((SIZE[1], SIZE[0], 3), 128, np.uint8))))
    result = reconstructor.solve()
    assert result.models == []
    assert "no other image shares" in result.unregistered["one"]
    assert "no features" in result.unregistered["blank"]
    reconstructor.close()


def test_bad_images_are_refused(tmp_path):
    reconstructor = BatchReconstructor(tmp_path, CONFIG)
    with pytest.raises(DataError, match="cannot be decoded"):
        reconstructor.add(keyframe("bad", b"no image", source="bad.jpg"))
    with pytest.raises(DataError, match="aspect"):
        reconstructor.add(keyframe("wide", encode_jpeg(np.zeros((100, 300, 3), np.uint8))))
    with pytest.raises(DataError, match="mask has size"):
        reconstructor.add(keyframe("masked", views(0, 1)[0][0]), np.zeros((3, 3), bool))
    reconstructor.close()


def extract(encoded, *, max_features, max_image_size=1600, ignore=None):
    find = Sift(dataclasses.replace(CONFIG, max_features=max_features)).find
    return extraction.extract(encoded, find, source="x", max_image_size=max_image_size, ignore=ignore)


def test_features_respect_the_mask_the_cap_and_the_scale():
    image = views(0, 1)[0][0]
    left = np.zeros((SIZE[1], SIZE[0]), bool)
    left[:, : SIZE[0] // 2] = True
    masked = extract(image, max_features=300, ignore=left)
    assert 50 < len(masked) <= 300
    assert masked.keypoints[:, 0].min() >= SIZE[0] // 2
    assert len(extract(image, max_features=200)) == 200
    small = extract(image, max_image_size=240, max_features=2000)
    assert small.keypoints[:, 0].max() > 240


def test_huge_photos_are_decoded_smaller_and_their_features_are_those_of_the_whole(monkeypatch):
    rng = np.random.default_rng(3)
    pixels = cv2.resize(rng.integers(0, 255, (75, 100, 3), dtype=np.uint8), (2003, 1501), interpolation=cv2.INTER_CUBIC)
    asked = []

    def decode(encoded, source, reduction):
        asked.append(reduction)
        return decode_rgb(encoded, source, reduction)

    monkeypatch.setattr(extraction, "decode_rgb", decode)
    small = extract(encode_jpeg(pixels, 97), max_image_size=200, max_features=300)
    assert asked == [4]
    assert (small.width, small.height) == (2003, 1501)
    gray = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (200, 150), interpolation=cv2.INTER_AREA)
    whole, _ = Sift(dataclasses.replace(CONFIG, max_features=300)).find(gray)
    whole = whole[:, :2] * [2003 / 200, 1501 / 150]
    nearest = np.linalg.norm(small.keypoints[:, None, :2] - whole[None], axis=2).min(axis=1)
    assert np.quantile(nearest, 0.8) < 3.0, "pixels of the whole photo"
    there = pixels[tuple(small.keypoints[:, 1::-1].astype(int).T)]
    assert np.abs(there.astype(int) - small.colors).mean() < 10


def test_keypoints_use_colmaps_pixel_centres():
    """A blob centred in the picture is found at half its size in COLMAP's convention (0.1 px)."""
    y, x = np.mgrid[:101, :101]
    blob = np.repeat((255 * np.exp(-((x - 50) ** 2 + (y - 50) ** 2) / 72))[..., None], 3, 2).astype(np.uint8)
    found = extract(encode_jpeg(blob, 100), max_features=10)
    assert np.abs(found.keypoints[:, :2] - 50.5).max(1).min() < 0.1


def test_uncalibrated_images_share_one_refined_camera(tmp_path):
    reconstructor = BatchReconstructor(tmp_path, CONFIG)
    guess = Camera.guess(*SIZE)
    images, _ = views(count=6)
    for k, image in enumerate(images):
        reconstructor.add(keyframe(f"{k}", image, guess))
    (model,) = reconstructor.solve().models
    assert len(set(model.cameras)) == 1
    assert model.cameras[0].params[0] != guess.params[0]
    reconstructor.close()


def test_a_foreign_database_is_left_alone(tmp_path):
    import pycolmap

    with pycolmap.Database.open(tmp_path / "database.db") as database:
        pycolmap.synthesize_dataset(pycolmap.SyntheticDatasetOptions(), database)
    with pytest.raises(DataError, match="another program"):
        BatchReconstructor(tmp_path, CONFIG)
    (tmp_path / "text").mkdir()
    (tmp_path / "text/database.db").write_text("this is no database, " * 100)
    with pytest.raises(DataError, match="database"):
        BatchReconstructor(tmp_path / "text", CONFIG)


def test_worker_survives_kill_and_resumes(tmp_path):
    images, centers = views()
    with ReconstructionWorker(tmp_path, CONFIG) as worker:
        for k, image in enumerate(images[:3]):
            worker.add(keyframe(f"{k}", image))
        drain(worker, lambda events: sum(isinstance(e, Added) for e in events) == 3)
        first = worker.pid
        os.kill(first, signal.SIGKILL)
        for k, image in enumerate(images[3:], 3):
            worker.add(keyframe(f"{k}", image))
        worker.add(keyframe("bad", b"nothing"))
        worker.solve()
        events = drain(worker, lambda events: any(isinstance(e, Revised) and e.final for e in events))
        assert any(isinstance(e, Failed) and "signal 9" in e.message for e in events)
        assert [e.name for e in events if isinstance(e, Rejected)] == ["bad"]
        (revision,) = [e.reconstruction for e in events if isinstance(e, Revised) and e.final]
        assert len(revision.models[0].names) == 5
        assert fit_error(revision.models[0].centers, centers).max() < 0.01
        drain(worker, lambda _: not worker.busy)
        assert worker.alive
        assert worker.pid != first
    assert not worker.alive
    with pytest.raises(UsageError, match="closed"):
        worker.solve()


def test_worker_that_cannot_open_its_map_says_so(tmp_path):
    (tmp_path / "database.db").write_text("this is no database, " * 100)
    with ReconstructionWorker(tmp_path, CONFIG) as worker:
        worker.solve()
        events = drain(worker, lambda _: not worker.busy)
        assert any(isinstance(e, Failed) and "database.db" in e.message for e in events)


def test_worker_closes_in_the_middle_of_work(tmp_path):
    worker = ReconstructionWorker(tmp_path, CONFIG)
    for k, image in enumerate(views()[0]):
        worker.add(keyframe(f"{k}", image))
    worker.solve()
    drain(worker, lambda events: len(events) > 0)
    begin = time.monotonic()
    worker.close()
    worker.close()
    assert time.monotonic() - begin < 10
    assert not worker.alive


@pytest.mark.skipif(not CASTLE.exists(), reason="real photographs are not at ../shared/data/castle-P30")
@pytest.mark.slow
def test_castle_subset_against_the_laser_survey(tmp_path):
    """Ten neighbouring photographs at 800 px: all registered, camera centres within 0.1 m rms of the survey."""
    from seg2d3d_ros.keyframes.camera_file import read_camera_file

    camera = read_camera_file(CASTLE / "camera.json")("cam", 1536, 1024)
    reconstructor = BatchReconstructor(tmp_path, ReconstructionConfig(max_features=1500, max_image_size=800))
    for path in sorted((CASTLE / "images").glob("*.jpg"))[:10]:
        reconstructor.add(keyframe(path.stem, path.read_bytes(), camera))
    (model,) = reconstructor.solve().models
    lines = [line.split() for line in (CASTLE / "truth_positions.txt").read_text().splitlines() if not line.startswith("#")]
    truth = {Path(line[0]).stem: np.array(line[1:4], float) for line in lines}
    assert len(model.names) == 10
    assert np.sqrt(np.mean(fit_error(model.centers, np.array([truth[n] for n in model.names])) ** 2)) < 0.1
    reconstructor.close()
