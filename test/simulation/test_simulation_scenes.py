"""``--scene hard``: rows that look alike, one pass, sun and shade, far rows as one mask; and ``typical`` as it always was."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers_street_folder import facades_in_truth, read_truth_poses

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.images import decode_rgb, read_labels
from seg2d3d_ros.simulation.detector import DETECTORS
from seg2d3d_ros.simulation.drive import Drive
from seg2d3d_ros.simulation.exposure import sunshine_drift
from seg2d3d_ros.simulation.scenario import scenario
from seg2d3d_ros.simulation.scene.street import FAR_HOUSE, build_street
from seg2d3d_ros.simulation.street_folder import IGNORE, simulate

SEED = 6
FOOT = {"seed": SEED, "buildings": 6, "keyframes": 5, "cameras": 1, "scene": "hard", "width": 320, "height": 240}


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("hard") / "walk", bag=False, **FOOT)  # type: ignore[arg-type]


def test_a_walk_goes_one_way_with_a_camera_that_looks_ahead(walk: Path) -> None:
    poses = [pose for _, pose in sorted(read_truth_poses(walk / "truth_poses.txt").items())]
    centers = np.array([pose.translation for pose in poses])
    way = np.diff(centers, axis=0)[:, :2]
    forward = np.array([pose.rotation[:2, 2] for pose in poses])
    assert ((way * forward[1:]).sum(axis=1) > 0.9 * np.linalg.norm(way, axis=1)).all()
    assert (np.abs(centers[:, 2] - 1.65) < 0.2).all()


def test_truth_agrees_with_the_facades_projected_by_the_published_poses(walk: Path) -> None:
    scene = build_street(np.random.SeedSequence(SEED).spawn(6)[0], 6, scenario("hard", 1).style)
    expected, found = facades_in_truth(walk, scene, reach=20.0, facing=0.3, only_seen=True)
    assert len(found) > 1000
    assert (found == expected).mean() > 0.95
    assert ((found != expected) & (found != 0) & (found != IGNORE)).mean() < 0.005


def test_the_same_seed_gives_the_same_bytes(walk: Path, tmp_path: Path) -> None:
    again = simulate(tmp_path / "again", bag=False, **FOOT)  # type: ignore[arg-type]
    files = {p.relative_to(walk): p.read_bytes() for p in sorted(walk.rglob("*")) if p.is_file()}
    assert files == {p.relative_to(again): p.read_bytes() for p in sorted(again.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("cameras", [1, 3])
def test_neighbours_of_a_row_look_alike(cameras: int) -> None:
    """Half of all neighbours have the same height and nearly the same plaster; in a typical street none have."""

    def alike(scene: str) -> float:
        street = build_street(np.random.SeedSequence(4), 12, scenario(scene, cameras).style)
        facade = {lot.label: street.mesh.texture[np.flatnonzero(street.mesh.label == lot.label)[0]] for lot in street.lots}
        color = {label: np.median(street.textures.images[t], axis=(0, 1)) for label, t in facade.items()}
        pairs = [(a, b) for a, b in zip(street.lots, street.lots[1:], strict=False) if a.side == b.side]
        same = [a.height == b.height and np.abs(color[a.label] - color[b.label]).max() < 8 for a, b in pairs]
        return float(np.mean(same))

    assert alike("hard") >= 0.5
    assert alike("typical") == 0.0


def test_facades_are_smooth_but_for_their_windows() -> None:
    """Plaster of one colour: the median difference between pixels side by side is a fraction of the typical one."""

    def roughness(scene: str) -> float:
        street = build_street(np.random.SeedSequence(4), 6, scenario(scene, 1).style)
        textures = [street.mesh.texture[np.flatnonzero(street.mesh.label == lot.label)[0]] for lot in street.lots]
        images = [street.textures.images[t].astype(float).mean(axis=2) for t in textures]
        return float(np.mean([np.median(np.abs(np.diff(image, axis=1))) for image in images]))

    assert roughness("hard") < 0.4 * roughness("typical")


def test_sun_and_shade_change_from_image_to_image() -> None:
    shine = sunshine_drift(np.random.default_rng(1), 200, 0.8)
    assert shine.min() < 0.3
    assert shine.max() > 0.9
    assert np.abs(np.diff(shine)).max() > 0.2
    assert (sunshine_drift(np.random.default_rng(1), 20, 0.0) == 1.0).all()


def test_brightness_swings(walk: Path) -> None:
    means = [decode_rgb(path.read_bytes()).mean() for path in sorted((walk / "images").iterdir())]
    assert max(means) - min(means) > 5.0


def test_far_rows_become_one_mask_unless_the_detector_is_clean() -> None:
    for cameras in (1, 3):
        hard = scenario("hard", cameras)
        assert hard.detected_by(DETECTORS["typical"]).far_merge > 0.9
        assert hard.detected_by(DETECTORS["clean"]) == DETECTORS["clean"]
        assert scenario("typical", cameras).detected_by(DETECTORS["typical"]) == DETECTORS["typical"]


def test_a_mask_holds_several_far_houses(walk: Path) -> None:
    most = 0
    for path in sorted((walk / "segments").glob("*.png")):
        segments, truth = read_labels(path), read_labels(walk / "truth" / path.name)
        owners = Counter(
            s for s, _ in {(int(s), int(t)) for s, t in zip(segments.ravel(), truth.ravel(), strict=True) if s and t}
        )
        most = max(most, *owners.values())
    assert most >= 3


def test_a_survey_vehicle_passes_near_facades_in_one_direction() -> None:
    plan = scenario("hard", 3)
    street = build_street(np.random.SeedSequence(2), 8, plan.style)
    drive = Drive(np.random.default_rng(2), street.length, 12, plan.carrier)
    places = np.array([stop.street_from_base.translation for stop in drive.stops])
    assert len(drive.stops) == 12
    assert (np.diff(places[:, 0]) > 0).all()
    assert len(drive.leg_times) == 1
    assert all(lot.front - np.abs(places[:, 1]).max() > 3.5 for lot in street.lots)
    assert np.median([lot.front for lot in street.lots]) < 5.5
    assert {label for label in np.unique(street.mesh.label).tolist() if label != FAR_HOUSE} == set(range(9))


def test_length_sets_the_street(tmp_path: Path) -> None:
    for scene in ("typical", "hard"):
        assert build_street(np.random.SeedSequence(1), 5, scenario(scene, 1).style, 61.5).length == 61.5


@pytest.mark.parametrize(("change", "word"), [({"scene": "easy"}, "typical or hard"), ({"length": 5.0}, "--length 5")])
def test_wrong_arguments_say_what_to_choose(tmp_path: Path, change: dict[str, object], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        simulate(tmp_path / "s", **{"seed": 1, **change})  # type: ignore[arg-type]


def test_command_passes_scene_and_length_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}
    monkeypatch.setattr("seg2d3d_ros.simulation.street_folder.simulate", lambda out, **options: seen.update(options))
    assert main(["simulate", str(tmp_path / "s"), "--seed", "1", "--scene", "hard", "--length", "80"]) == 0
    assert (seen["scene"], seen["length"]) == ("hard", 80.0)


def test_a_typical_street_is_what_it_always_was() -> None:
    """Places to the millimetre, and how many triangles and textures: maps of former seeds stay comparable."""
    street = build_street(np.random.SeedSequence(3), 4)
    drive = Drive(np.random.default_rng(3), street.length, 4)
    assert round(street.length, 3) == 17.2
    assert (len(street.mesh.label), len(street.textures.images), len(street.movers)) == (10354, 154, 12)
    assert np.round(np.abs(street.mesh.triangles.astype(float)).mean(axis=(0, 1)), 3).tolist() == [10.354, 8.826, 5.485]
    assert round(float(np.mean([image.mean() for image in street.textures.images])), 1) == 113.2
    assert np.round(drive.stops[-1].street_from_base.matrix[:3, 3], 3).tolist() == [9.521, 1.692, 0.017]


@pytest.mark.slow
def test_a_walk_is_as_hard_as_a_real_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 30 % of photographs of a street in Lund: a median of 9 points a mask, .32 of the masks under 5."""
    pytest.importorskip("pycolmap")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    difficulty = pytest.importorskip("difficulty", reason="benchmarks are not installed with the package")
    street = simulate(
        tmp_path / "s", seed=201, buildings=14, keyframes=15, cameras=1, scene="hard", width=1024, height=768, bag=False
    )
    options = ["--camera", street / "camera.json", "--gps", street / "gps.csv", "--segmenter", "none"]
    assert main(["run", *map(str, [street / "images", "--out", tmp_path / "map", "--label", "building", *options])]) == 0
    found = difficulty.measure(tmp_path / "map", difficulty.LabelImages(street / "segments"))
    assert found.registered >= 14
    assert 6.3 <= found.points <= 11.7
    assert 0.22 <= found.few <= 0.42
