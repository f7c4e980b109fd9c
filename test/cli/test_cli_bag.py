"""``seg2d3d bag`` from the outside: the same result as ``run`` on the same images, and recordings that are no good."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers_bags import ROS2, START, write_bag

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.mapstore.store import MapStore

pytest.importorskip("open3d")
pytest.importorskip("rosbags")
pytestmark = pytest.mark.slow

LIGHT = ["--set", "reconstruction.max_features=2500", "--set", "association.min_images=2"]


@pytest.fixture(scope="module")
def street(tmp_path_factory) -> Path:
    from seg2d3d_ros.simulation.street_folder import simulate

    folder = tmp_path_factory.mktemp("sim") / "street"
    return simulate(folder, seed=3, buildings=3, keyframes=24, cameras=3, detector="clean", width=640, height=400)


@pytest.fixture(scope="module")
def from_bag(street) -> MapStore:
    out = street.parent / "bag"
    assert main(["bag", str(street / "street.mcap"), "--label", "building", "--out", str(out), *LIGHT]) == 0
    return MapStore(out)


def instance_of_segments(store: MapStore) -> dict[tuple[str, int], int]:
    tracks = store.read_tracks()["instances"]
    return {(seen["image"], tuple(seen["box"])): item["id"] for item in tracks for seen in item["observations"]}


def test_a_bag_equals_its_images_up_to_chance(street, from_bag):
    """The same keyframes with the same masks, and masks joined in one map are joined in the other (97 % of the pairs)."""
    out = street.parent / "run"
    words = ["run", str(street / "images"), "--segments", str(street / "segments"), "--camera", str(street / "camera.json")]
    words += ["--gps", str(street / "gps.csv"), "--label", "building", "--out", str(out), "--order", "shuffle:5", *LIGHT]
    assert main(words) == 0
    from_images = MapStore(out)
    bag, images = ({r.name: r for r in store.read_keyframes()} for store in (from_bag, from_images))
    assert bag.keys() == images.keys()
    for name in bag:
        one, two = from_bag.image_path(bag[name]), from_images.image_path(images[name])
        assert one.read_bytes() == two.read_bytes()
        assert bag[name].camera.params == pytest.approx(images[name].camera.params)
        one, two = (store.read_named_segments(name) for store in (from_bag, from_images))
        assert (one is None) == (two is None), "in an image without masks nobody has looked"
        if one is not None and two is not None:
            assert ((one.numbered(["building"]).labels > 0) == (two.numbered(["building"]).labels > 0)).all()
    counts = [store.read_metrics()["counts"] for store in (from_bag, from_images)]
    assert counts[0]["registered"] == pytest.approx(counts[1]["registered"], abs=1)
    ids = [instance_of_segments(store) for store in (from_bag, from_images)]
    common = sorted(ids[0].keys() & ids[1].keys())
    assert len(common) >= 0.9 * max(len(ids[0]), len(ids[1])) > 10
    same = [np.equal.outer(labels, labels) for labels in ([i[key] for key in common] for i in ids)]
    assert (same[0] == same[1]).mean() > 0.97


def test_the_map_is_complete_without_the_bag(from_bag):
    for record in from_bag.read_keyframes():
        assert not Path(record.image).is_absolute()
        assert from_bag.image_path(record).is_file()
    assert (from_bag.root / "report.html").exists()


def test_a_bag_without_cameras(tmp_path, capsys):
    bag = write_bag(tmp_path / "bag", [("/fix", START, ROS2.fix(START, 50.0, 13.0))])
    assert main(["bag", str(bag), "--label", "x", "--out", str(tmp_path / "map")]) == 1
    assert "/fix" in capsys.readouterr().err


def test_no_such_bag(tmp_path, capsys):
    assert main(["bag", str(tmp_path / "absent.mcap"), "--label", "x", "--out", str(tmp_path / "map")]) == 2
    assert "absent.mcap" in capsys.readouterr().err


def test_a_bag_cut_off_in_the_middle(street, tmp_path, capsys):
    data = (street / "street.mcap").read_bytes()
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(data[: int(0.7 * len(data))])
    words = ["bag", str(cut), "--label", "building", "--out", str(tmp_path / "map"), "--segmenter", "none", *LIGHT]
    assert main(words) == 0
    metrics = json.loads((tmp_path / "map" / "metrics.json").read_text())
    assert 4 <= metrics["counts"]["images"] < 24
    assert any("cut" in warning for warning in metrics["warnings"])


def test_a_topic_of_poses_is_looked_for_and_trust_needs_one(street, tmp_path, capsys):
    words = ["bag", str(street / "street.mcap"), "--label", "building", "--out", str(tmp_path / "map")]
    assert main([*words, "--pose", "/ins"]) == 2
    assert "no Odometry or PoseWithCovarianceStamped or PoseStamped on /ins" in capsys.readouterr().err
    assert main([*words, "--trust", "fixed"]) == 2
    assert "--pose" in capsys.readouterr().err
