"""What the 3D view is given: a fair choice of points, colours, cameras, and the document that the browser reads."""

import base64
import json

import numpy as np
import pytest
from helpers_report import street
from hypothesis import given
from hypothesis import strategies as st

from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.mapstore.point_cloud import POINT, read_points, write_points
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.palette import hex_color
from seg2d3d_ros.viewer.browser import SCRIPTS, asset, inline_json
from seg2d3d_ros.viewer.captions import captions, day_of, short_name
from seg2d3d_ros.viewer.packing import pack
from seg2d3d_ros.viewer.sampling import choose_points, equal_shares
from seg2d3d_ros.viewer.scene_reading import read_scenes


def unpacked(document):
    points = document["points"]
    values = np.frombuffer(base64.b64decode(points["xyz"]), {"uint16": "<u2", "float32": "<f4"}[points["type"]])
    xyz = np.array(points["offset"]) + points["step"] * values.reshape(-1, 3)
    return xyz, np.frombuffer(base64.b64decode(points["instance"]), "<u2")


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=12), st.integers(0, 3000))
def test_shares_are_equal_but_for_groups_that_have_less(sizes, total):
    shares = equal_shares(np.array(sizes), total)
    assert (shares <= sizes).all()
    assert shares.sum() == min(sum(sizes), total)
    short = shares < sizes
    if short.any():
        assert np.ptp(shares[short]) <= 1
        assert shares[~short].max(initial=0) <= shares[short].max()


def test_few_points_keep_all_and_many_points_get_equally_many():
    rng = np.random.default_rng(0)
    instance = np.repeat([0, 1, 2, 3], [50_000, 40_000, 20_000, 30])
    xyz = rng.normal(size=(len(instance), 3))
    chosen = choose_points(xyz, instance, 10_000)
    assert (np.diff(chosen) > 0).all()
    counts = np.bincount(instance[chosen])
    assert counts.sum() == 10_000
    assert counts[3] == 30
    assert abs(counts[1] - counts[2]) <= 1
    assert counts[0] == 2_500
    assert (choose_points(xyz, instance, 10_000) == chosen).all(), "the same choice each time"


def test_sparse_places_of_an_instance_are_kept_where_dense_ones_are_thinned():
    rng = np.random.default_rng(1)
    dense, sparse = rng.uniform(0, 1, (20_000, 2)), rng.uniform([1, 0], [10, 1], (400, 2))
    xyz = np.column_stack([np.concatenate([dense, sparse]), np.zeros(20_400)])
    chosen = choose_points(xyz, np.ones(len(xyz), int), 800)
    assert (chosen >= 20_000).sum() > 300, "a random choice would keep sixteen"


def test_the_scene_of_a_map_is_the_map(tmp_path):
    store = street(tmp_path)
    (scene,) = read_scenes(tmp_path)
    document = json.loads(inline_json(pack(scene)))
    xyz, instance = unpacked(document)
    points = store.read_points()
    given = np.stack([points[axis] for axis in "xyz"], axis=1)
    assert document["points"]["type"] == "float32", "a few strays lie kilometres away: 16 bits would be too coarse"
    assert np.abs(xyz - given).max() < 2e-3
    assert (instance == points["instance"]).all()
    assert {item["id"]: item["color"] for item in document["instances"]} == {i: hex_color(i) for i in range(1, 11)}
    assert (document["unit"], document["north"]) == ("m", [0, 1, 0])
    assert len(document["cameras"]) == 24
    first = next(camera for camera in document["cameras"] if camera["caption"] == "left 0.0 s")
    assert first["center"] == pytest.approx([40 / 24, -1, 1.6], abs=1e-3)
    corners = np.reshape(first["corners"], (4, 3))
    assert (corners[:, 1] > 0).all(), "it looks north"
    assert corners[0, 0] < 0 < corners[1, 0]
    assert corners[0, 2] > 0 > corners[2, 2]
    half = np.ptp(np.array(document["bounds"]), axis=0) / 2
    assert (half < 40).all(), "the strays are no part of what the first view holds"


def test_places_are_packed_as_16_bits_where_that_is_exact_enough(tmp_path):
    store = street(tmp_path)
    points = store.read_points()
    write_points(tmp_path / "points.ply", points[np.abs(points["x"]) < 100])
    (scene,) = read_scenes(tmp_path)
    document = pack(scene)
    assert document["points"]["type"] == "uint16"
    xyz, _ = unpacked(document)
    assert np.abs(xyz - scene.xyz).max() < 0.002


def test_colours_are_those_of_the_photographs_by_the_points_ids(tmp_path):
    street(tmp_path, houses=2, stops=2, points=60)
    points = read_points(tmp_path / "points.ply")
    photo = points[::-1].copy()
    photo["red"], photo["green"], photo["blue"] = photo["point_id"] % 251, 7, 9
    write_points(tmp_path / "points_rgb.ply", photo[:40])
    (scene,) = read_scenes(tmp_path)
    known = np.isin(points["point_id"], photo["point_id"][:40])
    assert (
        scene.rgb[known]
        == np.stack([points["point_id"] % 251, 0 * points["point_id"] + 7, 0 * points["point_id"] + 9], 1)[known]
    ).all()
    assert (scene.rgb[~known] == points["red"][~known, None]).all()
    (tmp_path / "points_rgb.ply").write_bytes(b"ply\n")
    assert len(read_scenes(tmp_path)) == 1, "a damaged file costs the colours only"


def test_each_frame_has_its_own_scene_and_an_empty_map_none(tmp_path):
    store = street(tmp_path / "a", frame="arbitrary", houses=4, stops=3, points=300)
    street(tmp_path / "b", frame="arbitrary", houses=2, stops=2, points=40)
    (tmp_path / "b/sparse/0").rename(tmp_path / "a/sparse/1")
    tracks = store.read_tracks()
    tracks["instances"][1]["component"] = 1
    write_json(tmp_path / "a/tracks.json", tracks)
    large, small = read_scenes(tmp_path / "a")
    assert (len(large.cameras), len(small.cameras)) == (6, 4)
    assert [item["id"] for item in small.instances] == [2]
    document = pack(large)
    assert (document["unit"], document["north"]) == ("", None)
    up = np.array(document["up"])
    assert np.linalg.norm(up) == pytest.approx(1, abs=1e-5)
    assert up @ document["direction"] == pytest.approx(np.sin(np.radians(36)), abs=1e-4), "seen from above"
    store.write_keyframes([])
    write_points(tmp_path / "points.ply", np.empty(0, POINT))
    (tmp_path / "tracks.json").write_text('{"instances": [], "frame": {"kind": "arbitrary"}}')
    (tmp_path / "map.json").write_text("{}")
    assert read_scenes(tmp_path / "nothing") == []


def test_captions_are_times_not_stamps():
    def record(camera, stamp, name=""):
        return KeyframeRecord(name or f"{camera}_{stamp}", camera, stamp, "", "")

    noon = 1_780_315_200_000_000_000
    records = [
        record("front", noon),
        record("front", noon + 250_000_000),
        record("rear", 12_300_000_000),
        record("", noon, "01"),
    ]
    assert list(captions(records).values()) == ["front 12:00:00.0", "front 12:00:00.2", "rear 12.3 s", "01"]
    close = [record("front", noon), record("front", noon + 20_000_000)]
    assert list(captions(close).values()) == ["front 12:00:00.000", "front 12:00:00.020"]
    days = [record("front", noon), record("front", noon + 86_400_000_000_000)]
    assert list(captions(days).values()) == ["front 2026-06-01 12:00:00.0", "front 2026-06-02 12:00:00.0"]
    assert (day_of(close), day_of(days)) == ("1 June 2026", "1 June 2026 to 2 June 2026")
    assert day_of(records[2:3]) == ""
    assert short_name("front_1780315200000000000") == "front"
    assert short_name("1780315200000000000") == "1780315200000000000"


def test_three_js_comes_with_its_licence_and_is_small():
    three = asset(SCRIPTS[0])
    assert three.startswith("/*! three.js ")
    assert "The MIT License" in three
    assert "Permission is hereby granted" in three
    assert len(three.encode()) < 1e6
    for script in map(asset, SCRIPTS):
        assert "</script" not in script
        assert "\r" not in script, "a browser would read a line feed, and the policy's hash would be another"


def test_json_cannot_end_the_element_that_holds_it():
    evil = "</script><!--<script>\u2028"
    text = inline_json({"name": evil})
    assert "<" not in text
    assert "\u2028" not in text
    assert json.loads(text) == {"name": evil}
