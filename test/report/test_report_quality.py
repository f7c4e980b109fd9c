"""The quality page: figures, charts and places, against maps whose numbers are known; and the page's size."""

import dataclasses

import numpy as np
import pytest
from helpers_report import street

from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.findings import Finding, Kind
from seg2d3d_ros.geometry.wgs84 import from_enu
from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.report import pictures
from seg2d3d_ros.report.attention import Notice, notices
from seg2d3d_ros.report.charts import BOTTOM, HEIGHT, MAX_BARS, TOP, bar_each, histogram
from seg2d3d_ros.report.content import RADIUS_95, read_content
from seg2d3d_ros.report.page import render, write_report
from seg2d3d_ros.report.quality import quality
from seg2d3d_ros.report.words import lengths


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return read_content(street(tmp_path_factory.mktemp("map"), houses=4, stops=3, points=200).root)


def figures(content):
    return {what: (value, meaning) for what, value, meaning in quality(content).figures}


def test_registration_is_told_as_a_whole_and_by_camera(content):
    assert figures(content)["Images registered"] == ("75 %", "6 of 8 have a position and an attitude")
    assert list(quality(content).cameras) == [("left", 3, 3), ("right", 3, 3)]


def test_distances_to_positions_are_those_that_were_put_in(content):
    model = content.models[0]
    center = dict(zip(model.names, model.centers, strict=True))
    off = {name: np.array([3.0, 4.0, -2.0]) if k % 2 else np.zeros(3) for k, name in enumerate(sorted(center))}
    geo = {name: from_enu((center[name] + off[name])[None], model.frame.datum)[0] for name in center}
    frame = {"kind": "enu", "datum": dict(zip(("latitude", "longitude", "altitude"), model.frame.datum, strict=True))}
    records = [dataclasses.replace(record, geo=geo[record.name]) for record in content.records]
    there = dataclasses.replace(
        content, records=records, frame=frame, metrics={**content.metrics, "positions": {"claimed": 1.0}}
    )
    found = figures(there)
    assert found["Horizontal distance to GPS"] == ("3.54 m", "root mean square over 6 images; the largest is 5.00 m")
    assert found["Vertical distance to GPS"] == ("1.41 m", "root mean square; +1.00 m on average")
    chart = next(chart for chart in quality(there).charts if "GPS" in chart.title)
    assert [bar.words.rpartition(": ")[2] for bar in chart.bars].count("5.00 m") == 3
    assert chart.level[1] == "claimed 1.00 m"
    assert "Horizontal distance to GPS" not in figures(dataclasses.replace(there, frame={"kind": "metric"}))


def test_coverage_is_estimated_from_masks_and_missed_views(content):
    counts = {"missed_views": 4, "recovered_views": 1, "segments": 20, "segments_with_instance": 15}
    first, *others = content.instances
    carried = dataclasses.replace(first, recovered=frozenset(first.images[:1]))
    content = dataclasses.replace(content, instances=[carried, *others])
    masked = sum(len(item.images) for item in content.instances) - 1
    found = figures(dataclasses.replace(content, metrics={"counts": counts}))
    assert found["Coverage, estimated"] == (
        f"{100 * masked / (masked + 4):.0f} %",
        f"{masked} of {masked + 4} views that should show an instance, by the 3D model, have a mask of it; "
        "1 view without one was filled in from 3D",
    )
    assert found["Masks linked"] == ("75 %", "15 of 20 masks belong to an instance")
    assert "Coverage, estimated" not in figures(dataclasses.replace(content, metrics={}))
    carried_there = {**counts, "missed_views": 0, "recovered_views": masked}
    found = figures(dataclasses.replace(content, metrics={"counts": carried_there}))
    assert found["Coverage, estimated"][0] == "50 %", "a view that was filled in had no mask"


def test_an_empty_map_has_no_quality(content):
    empty = dataclasses.replace(content, records=[], models=[], instances=[], metrics={})
    assert quality(empty).figures == ()
    render(empty)


def test_histograms_count_every_value_once():
    chart = histogram("", "pixels", np.array([0.1, 0.2, 0.2, 9.0, np.nan]), "points")
    numbers = [int(bar.words.rpartition(": ")[2].split()[0]) for bar in chart.bars]
    assert sum(numbers) == 4
    assert chart.bars[-1].words.startswith("from")
    tallest = max(chart.bars, key=lambda bar: bar.height)
    assert (tallest.y, tallest.height) == (TOP, HEIGHT - BOTTOM - TOP)
    whole = histogram("", "images", np.array([1, 1, 3]), "instances")
    assert [bar.words for bar in whole.bars] == [f"{k} images: {n} instances" for k, n in enumerate((0, 2, 0, 1))]
    wide = histogram("", "images", np.array([1, 2, 47]), "instances")
    assert wide.bars[0].words == "0 to 1 images: 1 instances"
    assert histogram("", "", np.array([1.0]), "") is None


def test_of_many_bars_the_highest_of_neighbours_stay():
    values = np.ones(1000)
    values[501] = 7.0
    chart = bar_each("", "", values.tolist(), [str(k) for k in range(1000)])
    assert len(chart.bars) == MAX_BARS
    assert max(chart.bars, key=lambda bar: bar.height).words == "501"


def test_a_finding_is_told_with_its_cause_and_way_out_and_an_older_one_in_one_sentence(content):
    kind = Kind("k", "things", cause="it {how}", remedy="mend it")
    entry = Finding(kind, 2, 5, ("left_1780300802327480000",), {"how": "broke"}).to_json()
    (found,) = notices(dataclasses.replace(content, metrics={"findings": [entry], "counts": {"images": 6}}))
    assert found == Notice("warning", "things: 2 of 5 (left, …)", "it broke", "mend it")
    old = {key: entry[key] for key in ("code", "level", "count", "of", "examples", "text")}
    (found,) = notices(dataclasses.replace(content, metrics={"findings": [old], "counts": {"images": 6}}))
    assert found == Notice("warning", "things: 2 of 5 (left, …); it broke; mend it")


def test_sizes_places_and_how_sure_these_are_stand_with_the_instance(tmp_path):
    store = street(tmp_path, houses=2, stops=2, points=60)
    tracks = store.read_tracks()
    tracks["frame"] = {"kind": "enu", "datum": {"latitude": 55.7, "longitude": 13.19, "altitude": 40.0}}
    first = tracks["instances"][0]
    first["box3d"] = {
        "center": [0, 0, 3],
        "size": [9.04, 2, 6],
        "quaternion_xyzw": [0, 0, 0, 1],
        "min": [0] * 3,
        "max": [1] * 3,
    }
    first["position"], first["covariance"] = [0, 0, 0], [[0.04, 0, 0], [0, 0.01, 0], [0, 0, 1]]
    write_json(tmp_path / "tracks.json", tracks)
    text = write_report(tmp_path).read_text()
    assert "<dd>9.0 × 2.0 × 6.0 m</dd>" in text
    assert "<dd>55.700000°, 13.190000°</dd>" in text
    assert f"<dd>± {0.2 * RADIUS_95:.2f} m (95 %)</dd>" in text


def test_lengths_are_told_to_what_matters():
    assert lengths((9.04, 2, 6), True) == "9.0 × 2.0 × 6.0 m"
    assert lengths((0.91, 4.4e-16, 0.371), False) == "0.910 × 0.000 × 0.371"
    assert lengths((123.4, 5, 20), False) == "123 × 5 × 20"


def test_pictures_keep_to_their_budget(tmp_path, monkeypatch):
    store = street(tmp_path, houses=2, stops=4, points=60)
    noise = np.random.default_rng(0).integers(0, 255, (320, 480, 3), np.uint8)
    for record in store.read_keyframes():
        (tmp_path / record.image).write_bytes(encode_jpeg(noise, 95))
    large = write_report(tmp_path).stat().st_size
    monkeypatch.setattr(pictures, "BUDGET", 200_000)
    small = write_report(tmp_path).stat().st_size
    assert large - small > 100_000
    content = read_content(tmp_path)
    names = {record.name for record in content.records}
    by_name = {name: [item for item in content.instances if name in item.images] for name in names}
    made = pictures.make_pictures(store, content.records, {}, by_name, names)
    assert sum(map(len, [*made.crops.values(), *made.overlays.values()])) < 200_000
