"""A folder of panoramas with masks → a map, with labels in the panoramas."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import numpy as np
import pytest
from helpers_panoramas import HEIGHT, WIDTH, photograph_street

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.images import decode_rgb, read_labels
from seg2d3d_ros.mapstore.store import MapStore

COUNT, VIEWS = 6, 6


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    root = tmp_path_factory.mktemp("street")
    places = photograph_street(root, COUNT)
    code = main(
        ["run", str(root / "images"), "--label", "building", "--segments", str(root / "masks"), "--gps", str(root / "gps.csv")]
        + ["--out", str(root / "map"), "--set", "reconstruction.threads=1", "--set", "reconstruction.max_features=800"]
    )
    assert code == 0
    return root, places


def test_every_view_is_registered_where_its_panorama_was_taken(street):
    root, places = street
    model = pycolmap.Reconstruction(root / "map/sparse/0")
    images = {image.name: image for image in model.images.values() if image.has_pose}
    assert len(images) == COUNT * VIEWS
    centers = defaultdict(list)
    for name, image in images.items():
        centers[name.rpartition("_")[0]].append(image.projection_center())
    for panorama, found in centers.items():
        assert np.ptp(np.array(found), axis=0).max() < 1e-6, panorama
    steps = [np.linalg.norm(centers["pano_00"][0] - own[0]) for own in (centers[name] for name in places)]
    true = [np.linalg.norm(places["pano_00"] - place) for place in places.values()]
    assert steps == pytest.approx(true, abs=0.05)


def test_labels_lie_in_the_panoramas_with_one_id_for_each_house(street):
    root, places = street
    pairs = Counter()
    seen = unseen = 0
    for name in places:
        labels, truth = read_labels(root / "map/labels" / f"{name}.png"), read_labels(root / "truth" / f"{name}.png")
        assert labels.shape == truth.shape
        both = labels[(truth > 0) & (labels > 0)], truth[(truth > 0) & (labels > 0)]
        pairs.update(zip(*(values.tolist() for values in both), strict=True))
        row = np.arange(HEIGHT)[:, None] * np.ones(WIDTH)
        near = (truth > 0) & (np.abs(row - HEIGHT / 2) < HEIGHT / 180 * 25)
        seen, unseen = seen + np.count_nonzero(near & (labels > 0)), unseen + np.count_nonzero(near & (labels == 0))
    assert seen > 0.9 * (seen + unseen)
    of_house = defaultdict(Counter)
    for (label, house), pixels in pairs.items():
        of_house[house][label] += pixels
    large = {house: own for house, own in of_house.items() if own.total() > 10_000}
    assert len(large) >= 6
    best = {house: own.most_common(1)[0] for house, own in large.items()}
    assert len({label for label, _ in best.values()}) == len(large)
    assert sum(pixels for _, pixels in best.values()) > 0.95 * sum(own.total() for own in large.values())


def test_tracks_say_where_each_panorama_shows_an_instance(street):
    root, places = street
    tracks = json.loads((root / "map/tracks.json").read_text())
    told = {(item["image"], i["id"]): item["box"] for i in tracks["instances"] for item in i["panoramas"]}
    assert {name for name, _ in told} == set(places)
    around = 0
    for (name, instance), (x0, y0, x1, y1) in told.items():
        rows, columns = np.nonzero(read_labels(root / "map/labels" / f"{name}.png") == instance)
        assert (rows.min(), rows.max() + 1) == (y0, y1)
        assert set(columns.tolist()) <= {x % WIDTH for x in range(x0, x1)}
        around += x1 > WIDTH
    assert around > 0  # some houses lie across the border


def test_the_map_keeps_views_and_draws_overlays_of_panoramas(street):
    root, places = street
    store = MapStore(root / "map")
    records = store.read_keyframes()
    assert {r.view.panorama for r in records} == set(places)
    assert all(store.image_path(record).is_file() for record in records)
    picture = decode_rgb((root / "map/overlays/pano_00.jpg").read_bytes())
    assert picture.shape[1] == 2 * picture.shape[0]
    metrics = store.read_metrics()
    assert "panoramas" in {finding["code"] for finding in metrics["findings"]}
    assert not [f["text"] for f in metrics["findings"] if f["level"] != "note"]
