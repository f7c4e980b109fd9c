"""The second look in the offline pipeline: accepted masks are kept, marked, and associated."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers_boards import Board, boards_world
from helpers_session import Solved

from seg2d3d_ros.config import make_config
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.offline import build_map
from seg2d3d_ros.reconstruction import opening
from seg2d3d_ros.segmentation.models.mask_models import Mask
from seg2d3d_ros.types import Keyframe


class Double:
    """Finds what the world's detector finds; asked for a box, answers with ``mask``."""

    def __init__(self, world, mask):
        self.world, self.mask, self.asked = world, mask, []
        self.looker = self

    def segment(self, keyframe):
        return self.world.segments[keyframe.name]

    def look(self, keyframe, boxes):
        self.asked.append((keyframe.name, keyframe.encoded, len(boxes)))
        return [Mask(region_of(self.mask), 1.0, 1.0) for _ in boxes]


def build(tmp_path, monkeypatch, **overrides):
    world = boards_world((Board(-4, 0, 10), Board(0, 4, 10)), (-2.0, -1.0, 0.0, 1.0, 2.0), missed={(2, 1)})
    monkeypatch.setattr(opening, "open_reconstructor", lambda *_: Solved(world.model))
    config = make_config(
        {"association.enough_points": 0, **{key.replace("__", "."): value for key, value in overrides.items()}}
    )
    double, store = Double(world, world.truth["view2"] == 1), MapStore(tmp_path)
    keyframes = [Keyframe(name, "", 0, name.encode(), file_name=f"{name}.jpg") for name in world.segments]
    return world, store, double, build_map(keyframes, store, config, double, progress=lambda *_: None, findings=Findings())


def test_it_is_asked_kept_marked_and_associated(tmp_path, monkeypatch):
    world, store, double, outcome = build(tmp_path, monkeypatch)
    assert double.asked == [("view2", b"view2", 1)]
    assert outcome.counts["second_looks"] == 1
    assert outcome.counts["missed_views"] == 0
    facts = json.loads(store.segment_path("view2").with_suffix(".json").read_text())
    assert {i: fact.get("second_look", False) for i, fact in facts.items()} == {"20": False, "21": True}
    labels = store.read_labels("view2")
    np.testing.assert_array_equal(labels > 0, world.truth["view2"] > 0)
    assert set(np.unique(labels)) == set(np.unique(store.read_labels("view1")))


def test_it_can_be_switched_off(tmp_path, monkeypatch):
    _, store, double, outcome = build(tmp_path, monkeypatch, segmentation__second_look=False)
    assert double.asked == []
    assert outcome.counts["missed_views"] == 1
    assert "second_looks" not in outcome.counts
    assert store.read_named_segments("view2").numbered(["building"]).ids.tolist() == [20]


def test_metrics_hold_the_figures_of_all_steps(tmp_path, monkeypatch):
    _, store, _, outcome = build(tmp_path, monkeypatch, segmentation__second_look=False, association__recover=True)
    metrics = store.read_metrics()
    assert metrics["counts"] == outcome.counts
    assert {key: metrics["counts"][key] for key in ("images", "registered", "segments", "instances")} == {
        "images": 5, "registered": 5, "segments": 9, "instances": 2,
    }  # fmt: skip
    assert (metrics["counts"]["missed_views"], metrics["counts"]["recovered_views"]) == (1, 1)
    (missed,) = metrics["missed"]
    assert (missed["image"], missed["instance"] in outcome.instances.ids) == ("view2", True)
    assert list(metrics["timings"]) == ["segmentation", "features", "mapping", "association"]
    (recovered,) = [o for t in store.read_tracks()["instances"] for o in t["observations"] if o.get("recovered")]
    assert recovered["image"] == "view2"


def test_what_the_source_left_out_is_in_the_metrics_also_where_nothing_could_be_mapped(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "open_reconstructor", lambda *_: Solved())
    store, keyframes = MapStore(tmp_path), [Keyframe("view0", "", 0, b"", file_name="view0.jpg")]
    found = Findings()
    found.add(Kind("cuts", "cuts in the bag", "", ""))
    with pytest.raises(DataError, match=r"no two images.*view9: damaged"):
        build_map(
            keyframes, store, make_config({}), None, progress=lambda *_: None,
            skipped=lambda: {"view9": "damaged"}, findings=found,
        )  # fmt: skip
    metrics = store.read_metrics()
    assert metrics["counts"]["images"] == 2
    assert metrics["unregistered"] == [{"image": "view9", "reason": "damaged"}]
    assert metrics["warnings"] == ["cuts in the bag: 1"]
