"""``seg2d3d run`` from the outside: a result whose truth is known, and every kind of bad input."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
from helpers_scene import write_scene

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.cli.making.building import overrides_from_args
from seg2d3d_ros.cli.making.run import add_arguments
from seg2d3d_ros.geometry.pose import Pose


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    return write_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def copy(scene, tmp_path) -> Path:
    return Path(shutil.copytree(scene, tmp_path / "scene"))


def run(scene: Path, out: Path, *more: str) -> int:
    words = ["run", str(scene / "images"), "--label", "building", "--out", str(out), "--camera", str(scene / "camera.json")]
    return main([*words, "--set", "reconstruction.seed=1", "--set", "reconstruction.max_features=1500", *more])


@pytest.fixture(scope="module")
def built(scene, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out") / "map"
    assert run(scene, out, "--segments", str(scene / "segments"), "--order", "shuffle:3") == 0
    return out


def test_a_folder_becomes_a_map_with_the_same_id_for_the_same_house(scene, built):
    counts = json.loads((built / "metrics.json").read_text())["counts"]
    assert counts["registered_largest"] == counts["images"] == 10
    assert counts["instances"] == 2
    ids = {1: set(), 2: set()}
    for path in (scene / "truth").glob("*.png"):
        truth, labels = (cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in (path, built / "labels" / path.name))
        for house in ids:
            ids[house] |= set(np.unique(labels[truth == house]).tolist())
    assert sorted(map(len, ids.values())) == [1, 1]
    assert ids[1].isdisjoint(ids[2])


def test_the_contracts_files_are_there(built):
    for name in ("cameras.bin", "images.bin", "points3D.bin"):
        assert (built / "sparse" / "0" / name).stat().st_size > 0
    for name in ("database.db", "tracks.json", "points.ply", "config.yaml", "metrics.json", "report.html", "keyframes.json"):
        assert (built / name).stat().st_size > 0
    assert not [p for p in built.rglob(".*") if p.is_file()]


def test_evaluate_measures_it(scene, built, tmp_path, capsys):
    assert main(["evaluate", str(built), "--truth", str(scene / "truth"), "--json", str(tmp_path / "m.json")]) == 0
    assert "coverage" in capsys.readouterr().out
    assert (tmp_path / "m.json").exists()


def test_export_colours_by_instance(built, tmp_path, capsys):
    assert main(["export", str(built), "--format", "ply", "--out", str(tmp_path / "cloud.ply")]) == 0
    assert "2 instances" in capsys.readouterr().out
    assert main(["export", str(tmp_path), "--format", "ply", "--out", str(tmp_path / "x.ply")]) == 2


def test_one_mask_in_one_image_labels_the_house_in_all(scene, tmp_path, capsys):
    (name,) = [path.name for path in sorted((scene / "truth").glob("*.png"))][4:5]
    (tmp_path / "masks").mkdir()
    truth = cv2.imread(str(scene / "truth" / name), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(tmp_path / "masks" / f"{Path(name).stem}_mask.png"), np.where(truth == 1, 255, 0).astype(np.uint8))
    assert run(scene, tmp_path / "map", "--segments", str(tmp_path / "masks")) == 0
    told = capsys.readouterr().out
    assert "photos without a mask: 9 of 10" in told
    assert "masks drawn where none was given" in told
    (track,) = json.loads((tmp_path / "map/tracks.json").read_text())["instances"]
    overlaps = []
    for path in (scene / "truth").glob("*.png"):
        house = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) == 1
        labels = cv2.imread(str(tmp_path / "map/labels" / path.name), cv2.IMREAD_UNCHANGED) == track["id"]
        overlaps.append((house & labels).sum() / (house | labels).sum())
    assert np.sort(overlaps)[2] > 0.7, overlaps


@pytest.mark.parametrize("names", ["{}_of_someone.png", "{}.npy"])
def test_masks_that_belong_to_no_photo_stop_it_before_anything_is_built(scene, tmp_path, capsys, monkeypatch, names):
    monkeypatch.setattr("seg2d3d_ros.cli.making.run.build", lambda *_, **__: pytest.fail("went on"))
    (tmp_path / "masks").mkdir()
    for k, path in enumerate((scene / "segments").glob("*.png")):
        shutil.copy(path, tmp_path / "masks" / names.format(k))
    assert run(scene, tmp_path / "map", "--segments", str(tmp_path / "masks")) == 1
    error = capsys.readouterr().err
    assert "masks for 0 of 10 photos; looked for " in error
    assert names.format(0) in error
    assert not (tmp_path / "map").exists()


def test_a_pattern_finds_masks_of_any_name(scene, tmp_path, monkeypatch):
    found = {}
    monkeypatch.setattr("seg2d3d_ros.cli.making.run.build", lambda *parts, **_: found.update(s=parts[3], k=list(parts[2])) or 0)
    (tmp_path / "masks").mkdir()
    for path in (scene / "segments").glob("*.png"):
        shutil.copy(path, tmp_path / "masks" / f"{path.stem}_of_someone.png")
    words = "--segments", str(tmp_path / "masks"), "--segments-pattern", "{stem}_of_someone.png"
    assert run(scene, tmp_path / "map", *words) == 0
    assert all(found["s"].segment(keyframe) is not None for keyframe in found["k"])


def test_reconstruction_only(scene, tmp_path, capsys):
    assert run(scene, tmp_path / "map", "--segmenter", "none") == 0
    assert "instances" not in capsys.readouterr().out, "none were asked for"
    counts = json.loads((tmp_path / "map" / "metrics.json").read_text())["counts"]
    assert counts["registered"] == 10
    assert counts["instances"] == 0


def test_without_calibration_one_shared_camera_is_estimated(scene, tmp_path):
    """The focal length is unknown to the program and must come out near the truth."""
    words = ["run", str(scene / "images"), "--label", "building", "--out", str(tmp_path / "map"), "--segmenter", "none"]
    assert main(words) == 0
    counts = json.loads((tmp_path / "map" / "metrics.json").read_text())["counts"]
    assert counts["registered_largest"] >= 9


def test_resume_keeps_the_features_and_replace_starts_anew(scene, tmp_path):
    out = tmp_path / "map"
    assert run(scene, out, "--segmenter", "none") == 0
    before = (out / "database.db").stat().st_ino
    assert run(scene, out, "--segments", str(scene / "segments"), "--resume") == 0
    assert (out / "database.db").stat().st_ino == before
    assert json.loads((out / "metrics.json").read_text())["counts"]["instances"] == 2
    assert run(scene, out, "--segmenter", "none") == 0
    assert not (out / "labels").exists()


# Bad input


def poses_of(out):
    """Name of the image -> camera_from_world (3, 4)."""
    found = pycolmap.Reconstruction(out / "sparse/0")
    return {image.name: image.cam_from_world().matrix() for image in found.images.values() if image.has_pose}


@pytest.mark.parametrize("form", ["model", "tum"])
def test_given_poses_that_are_trusted_are_the_map(scene, built, tmp_path, capsys, form):
    known, poses = poses_of(built), built / "sparse/0"
    if form == "tum":
        poses = tmp_path / "poses.txt"
        lines = []
        for name, matrix in known.items():
            pose = Pose.from_matrix(matrix).inverse()
            lines.append(" ".join([name, *(f"{v:.12f}" for v in (*pose.translation, *pose.quaternion))]))
        poses.write_text("\n".join(lines[1:]))
    out = tmp_path / "map"
    assert run(scene, out, "--segmenter", "none", "--poses", str(poses), "--trust", "fixed") == 0
    told, found = capsys.readouterr().out, poses_of(out)
    given = list(known)[1:] if form == "tum" else list(known)
    for name in given:
        np.testing.assert_allclose(found[name], known[name], atol=1e-6)
    assert "9 of 10 images registered in one model" in told if form == "tum" else "10 of 10" in told
    assert ("images without a pose: 1 of 10" in told) == (form == "tum")
    assert ("scale: known to" in told) == (form == "tum"), "a COLMAP model has no unit"
    assert "trust: fixed" in (out / "config.yaml").read_text()


def test_trust_needs_poses(scene, tmp_path, capsys):
    assert run(scene, tmp_path / "map", "--segmenter", "none", "--trust", "fixed") == 2
    assert "--poses" in capsys.readouterr().err


def test_an_empty_folder(tmp_path, capsys):
    (tmp_path / "images").mkdir()
    assert main(["run", str(tmp_path / "images"), "--label", "x", "--segmenter", "none", "--out", str(tmp_path / "map")]) == 1
    assert "no images" in capsys.readouterr().err


def test_no_such_folder_and_a_folder_that_is_no_map(scene, tmp_path, capsys):
    words = ["--label", "x", "--segmenter", "none", "--out"]
    assert main(["run", str(tmp_path / "absent"), *words, str(tmp_path / "map")]) == 2
    assert "no such folder" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    assert main(["run", str(scene / "images"), *words, str(tmp_path / "mine")]) == 2
    assert "thesis.tex" in capsys.readouterr().err
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "precious"


def test_one_image(copy, tmp_path, capsys):
    for path in sorted((copy / "images").iterdir())[1:]:
        path.unlink()
    assert run(copy, tmp_path / "map", "--segments", str(copy / "segments")) == 1
    assert "no two images" in capsys.readouterr().err
    assert (tmp_path / "map" / "report.html").exists()
    labels = cv2.imread(str(tmp_path / "map" / "labels" / "photo00.png"), cv2.IMREAD_UNCHANGED)
    assert labels.shape == (320, 480)
    assert not labels.any()


def test_a_corrupt_jpeg_among_good_ones(copy, tmp_path, capsys):
    bad = copy / "images" / "photo04.jpg"
    bad.write_bytes(bad.read_bytes()[:9000])
    assert run(copy, tmp_path / "map", "--segments", str(copy / "segments")) == 0
    metrics = json.loads((tmp_path / "map" / "metrics.json").read_text())
    assert metrics["counts"]["registered"] == 9
    assert metrics["counts"]["images"] == 10
    assert [item["image"] for item in metrics["unregistered"]] == ["photo04"]
    assert "photo04.jpg" in metrics["unregistered"][0]["reason"]
    assert "photo04" in capsys.readouterr().out


def test_segments_of_another_size(copy, tmp_path, capsys):
    """Half the size is brought to the photo's; another aspect cannot belong to the photo and is named."""
    for path in (copy / "segments").glob("*.png"):
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), cv2.resize(labels, (240, 160), interpolation=cv2.INTER_NEAREST))
    odd = copy / "segments" / "photo03.png"
    cv2.imwrite(str(odd), np.ones((300, 300), np.uint16))
    assert run(copy, tmp_path / "map", "--segments", str(copy / "segments")) == 0
    metrics = json.loads((tmp_path / "map" / "metrics.json").read_text())
    assert metrics["counts"]["instances"] == 2
    assert metrics["counts"]["registered"] == 10
    (warning,) = [w for w in metrics["warnings"] if "300×300" in w]
    assert "photo03" in warning
    assert "480×320" in warning


def test_a_missing_calibration_file(scene, tmp_path, capsys):
    words = ["run", str(scene / "images"), "--label", "x", "--segmenter", "none", "--out", str(tmp_path / "map")]
    assert main([*words, "--camera", str(tmp_path / "absent.json")]) == 2
    assert "absent.json" in capsys.readouterr().err


def test_images_that_do_not_overlap(tmp_path, capsys):
    rng = np.random.default_rng(5)
    (tmp_path / "images").mkdir()
    for k in range(4):
        noise = cv2.GaussianBlur(rng.integers(0, 256, (240, 320, 3), np.uint8), (5, 5), 1.5)
        cv2.imwrite(str(tmp_path / "images" / f"n{k}.jpg"), noise)
    words = ["run", str(tmp_path / "images"), "--label", "x", "--segmenter", "none", "--out", str(tmp_path / "map")]
    assert main(words) == 1
    assert "overlap" in capsys.readouterr().err
    reasons = json.loads((tmp_path / "map" / "metrics.json").read_text())["unregistered"]
    assert len(reasons) == 4
    assert all(item["reason"] for item in reasons)
    assert (tmp_path / "map" / "report.html").exists()


def test_segments_are_asked_for(scene, tmp_path, capsys):
    assert run(scene, tmp_path / "map") == 2
    assert "--segments" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "reconstruction.sed=1"], "did you mean"),
        (["--set", "association.similarity=2"], "outside"),
        (["--set", "nonsense"], "KEY=VALUE"),
        (["--order", "random"], "shuffle:SEED"),
        (["--method", "publisht"], "did you mean 'published'"),
    ],
)
def test_wrong_use_says_what_to_write(scene, tmp_path, capsys, words, message):
    assert run(scene, tmp_path / "map", "--segmenter", "none", *words) == 2
    assert message in capsys.readouterr().err


def test_a_reader_that_has_heard_enough_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "seg2d3d_ros", "models"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(("words", "said"), [([], None), (["--recover"], True), (["--no-recover"], False)])
def test_recovery_is_left_to_the_configuration_unless_it_is_said(words, said):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    overrides = overrides_from_args(parser.parse_args(["photos", "--out", "map", "--label", "house", *words]))
    assert overrides.get("association.recover") is said
