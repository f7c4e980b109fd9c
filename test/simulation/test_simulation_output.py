"""The folder that ``seg2d3d simulate`` writes: complete, deterministic, true to its own geometry, reconstructable."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers_street_folder import facades_in_truth, read_truth_poses

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.wgs84 import from_enu
from seg2d3d_ros.images import decode_rgb, read_labels
from seg2d3d_ros.simulation.gnss import DATUM
from seg2d3d_ros.simulation.scene.street import FAR_HOUSE, build_street
from seg2d3d_ros.simulation.street_folder import IGNORE, simulate, truth_labels

SEED, BUILDINGS, KEYFRAMES = 11, 5, 12
SIZE = {"width": 320, "height": 208}


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sim") / "street"
    calls = []
    simulate(out, seed=SEED, buildings=BUILDINGS, keyframes=KEYFRAMES, progress=lambda *a: calls.append(a), **SIZE)
    assert calls == [(i, KEYFRAMES) for i in range(1, KEYFRAMES + 1)]
    return out


def test_every_image_has_all_its_files(street: Path) -> None:
    stems = sorted(p.stem for p in (street / "images").iterdir())
    assert len(stems) == KEYFRAMES
    assert {s.rpartition("_")[0] for s in stems} == {"front", "left", "right"}
    assert stems == sorted(p.stem for p in (street / "truth").iterdir())
    assert stems == sorted(p.stem for p in (street / "segments").glob("*.png"))
    facts = json.loads((street / "segments/segments.json").read_text())
    assert sorted(facts) == stems == sorted(read_truth_poses(street / "truth_poses.txt"))
    camera = json.loads((street / "camera.json").read_text())
    assert camera == {"model": "PINHOLE", "width": 320, "height": 208, "params": [160.0, 160.0, 160.0, 104.0]}
    for stem in stems:
        image = decode_rgb((street / f"images/{stem}.jpg").read_bytes())
        assert image.shape == (208, 320, 3)
        assert 40 < image.mean() < 190
        assert image.std() > 25
        truth, segments = (read_labels(street / f"{kind}/{stem}.png") for kind in ("truth", "segments"))
        assert truth.shape == segments.shape == (208, 320)
        assert set(np.unique(truth).tolist()) <= {0, IGNORE, *range(1, BUILDINGS + 1)}
        assert {str(i) for i in np.unique(segments) if i} == set(facts[stem])
    assert not list(street.rglob(".*"))


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    size = {"width": 160, "height": 112}
    runs = [
        simulate(tmp_path / name, seed=seed, buildings=2, keyframes=4, cameras=2, detector="hard", **size)
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    ]
    files = [{p.relative_to(run): p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file()} for run in runs]
    assert len(files[0]) == 3 * 4 + 6
    assert files[0].keys() == files[1].keys()
    assert [name for name in files[0] if files[0][name] != files[1][name]] == []
    assert files[0][Path("truth_poses.txt")] != files[2][Path("truth_poses.txt")]


def test_truth_agrees_with_the_facades_projected_by_the_published_poses(street: Path) -> None:
    """Points on the façades, seen from less than 60° off and 14 m away, land on their house or on something before it."""
    scene = build_street(np.random.SeedSequence(SEED).spawn(5)[0], BUILDINGS)
    expected, found = facades_in_truth(street, scene, reach=14.0, facing=0.5)
    assert len(found) > 3000
    assert (found == expected).mean() > 0.6
    assert (found == 0).mean() < 0.4
    assert ((found != expected) & (found != 0)).mean() < 0.01


def test_half_the_images_look_the_other_way(street: Path) -> None:
    poses = read_truth_poses(street / "truth_poses.txt")
    forward = np.array([pose.rotation[:, 2] for name, pose in sorted(poses.items()) if name.startswith("front")])
    against = forward @ forward[0]
    assert (against > 0.9).sum() == (against < -0.9).sum() == len(forward) // 2
    assert all(pose.rotation[2, 1] < -0.9 for pose in poses.values()), "the cameras stand upright in ENU"


def test_gps_lies_near_the_cameras(street: Path) -> None:
    poses = read_truth_poses(street / "truth_poses.txt")
    rows = (street / "gps.csv").read_text().splitlines()[1:]
    assert 0.5 * KEYFRAMES <= len(rows) < KEYFRAMES
    for row in rows:
        name, latitude, longitude, altitude, sigma = row.split(",")
        assert float(sigma) == 1.5
        (truth,) = from_enu(poses[Path(name).stem].translation, DATUM)
        assert float(latitude) == pytest.approx(truth.latitude, abs=8.0 / 111_000)
        assert float(longitude) == pytest.approx(truth.longitude, abs=8.0 / 70_000)
        assert float(altitude) == pytest.approx(truth.altitude, abs=15.0)


def test_rig_gives_the_cameras_relative_poses(street: Path) -> None:
    sensors = json.loads((street / "rig.json").read_text())["sensors"]
    assert set(sensors) == {"front", "left", "right", "gps"}

    def base_from(name: str) -> Pose:
        quaternion = np.roll(sensors[name]["base_from_sensor_quaternion_wxyz"], -1)
        return Pose.from_quaternion(quaternion, sensors[name]["base_from_sensor_translation"])

    poses = read_truth_poses(street / "truth_poses.txt")
    stamps = {name.split("_")[1] for name in poses}
    for stamp in stamps:
        front_from_left = poses[f"front_{stamp}"].inverse() @ poses[f"left_{stamp}"]
        mounted = base_from("front").inverse() @ base_from("left")
        np.testing.assert_allclose(front_from_left.matrix, mounted.matrix, atol=1e-6)


def test_slivers_and_far_houses_are_ignored_in_the_truth() -> None:
    labels = np.zeros((200, 300), np.int32)
    labels[:50], labels[50:52, :10], labels[60:70, :20], labels[100:150] = 1, 2, 3, FAR_HOUSE
    truth = truth_labels(labels)
    assert (truth[:50] == 1).all()
    assert (truth[labels == 2] == IGNORE).all()
    assert (truth[labels == 3] == 3).all()
    assert (truth[labels == FAR_HOUSE] == IGNORE).all()
    assert (truth[labels == 0] == 0).all()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"buildings": 1}, "--buildings"),
        ({"cameras": 4}, "--cameras"),
        ({"cameras": 0}, "--cameras"),
        ({"keyframes": 5}, "--keyframes"),
        ({"detector": "perfect"}, "clean, typical, hard"),
        ({"width": 10}, "--width"),
        ({"height": 100_000}, "--height"),
        ({"seed": -1}, "--seed"),
    ],
)
def test_wrong_arguments_say_what_to_choose(tmp_path: Path, change: dict[str, object], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        simulate(tmp_path / "s", **{"seed": 1, **change})  # type: ignore[arg-type]
    assert not (tmp_path / "s").exists()


def test_a_folder_with_files_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    assert main(["simulate", str(tmp_path), "--seed", "1"]) == 2
    assert "not an empty folder" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["precious.txt"]


def test_without_open3d_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "open3d", None)
    assert (
        main(["simulate", str(tmp_path / "street"), "--seed", "1", "--keyframes", "6", "--width", "96", "--height", "64"]) == 2
    )
    assert "pip install 'open3d" in capsys.readouterr().err
    assert not (tmp_path / "street").exists()


def test_command_without_bag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--seed 1 --buildings 2 --keyframes 3 --cameras 1 --detector clean --width 160 --height 112 --no-bag"
    assert main(["simulate", str(tmp_path / "s"), *options.split()]) == 0
    assert "3 images of 2 houses" in capsys.readouterr().out
    names = {p.name for p in (tmp_path / "s").iterdir()}
    assert names == {"images", "truth", "segments", "truth_poses.txt", "gps.csv", "camera.json", "rig.json"}


@pytest.mark.slow
def test_a_small_street_can_be_reconstructed(tmp_path: Path) -> None:
    """COLMAP's features and GLOMAP register at least 95 % of the images, the best nine tenths within 0.3 m rms of the truth."""
    pycolmap = pytest.importorskip("pycolmap")
    simulate(tmp_path / "s", seed=2, buildings=3, keyframes=18, width=480, height=320, bag=False)
    reader = pycolmap.ImageReaderOptions(camera_model="PINHOLE", camera_params="240,240,240,160")
    extraction = pycolmap.FeatureExtractionOptions(num_threads=2)
    extraction.sift.max_num_features = 2000
    database = tmp_path / "database.db"
    images = tmp_path / "s/images"
    pycolmap.extract_features(
        database, images, camera_mode=pycolmap.CameraMode.SINGLE, reader_options=reader, extraction_options=extraction
    )
    pycolmap.match_exhaustive(database)
    models = pycolmap.global_mapping(database, images, tmp_path)
    best = max(models.values(), key=lambda model: model.num_reg_images())
    assert best.num_reg_images() >= 0.95 * 18
    poses = read_truth_poses(tmp_path / "s/truth_poses.txt")
    registered = [image for image in best.images.values() if image.has_pose]
    found = np.array([image.projection_center() for image in registered])
    truth = np.array([poses[Path(image.name).stem].translation for image in registered])
    kept = np.ones(len(found), bool)
    for _ in range(3):  # the solver, with several threads, misplaces an image now and then
        a, b = found - found[kept].mean(0), truth - truth[kept].mean(0)
        u, singular, vt = np.linalg.svd(b[kept].T @ a[kept])
        signs = np.array([1.0, 1.0, np.linalg.det(u @ vt)])
        rotation, scale = u @ np.diag(signs) @ vt, (singular * signs).sum() / (a[kept] ** 2).sum()
        distance = np.linalg.norm(scale * a @ rotation.T - b, axis=1)
        kept = distance <= np.quantile(distance, 0.9)
    assert np.sqrt((distance[kept] ** 2).mean()) < 0.3
