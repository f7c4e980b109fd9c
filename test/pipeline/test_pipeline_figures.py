"""What a map came to, in figures and findings."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from helpers_association import incidence_of
from helpers_maps import two_houses

from seg2d3d_ros.association.judging.impossible import ImpossibleLabel
from seg2d3d_ros.findings import Finding, Kind
from seg2d3d_ros.geometry.oriented_boxes import OrientedBoxes
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.figures import (
    IMPOSSIBLE_LABELS,
    MASKS_WITHOUT_OBJECT,
    NOTHING_TO_ASSOCIATE,
    SEGMENTS_WITHOUT_INSTANCE,
    SEGMENTS_WITHOUT_POINTS,
    SEPARATE_MODELS,
    doubts,
    emptiness,
    write_reconstruction_figures,
)
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction
from seg2d3d_ros.types import Instances, WorldFrame

NOTHING = Instances(
    *(np.zeros(count, kind) for count, kind in ((3, np.int32), (3, np.int32), (3, np.float32))),
    *(np.zeros(0, kind) for kind in (np.int32, np.int32, np.float32)),
    OrientedBoxes.none(),
)
CUT = Kind("cut", "cuts in the recording", cause="", remedy="")


def test_segments_without_points_are_a_doubt_where_they_are_many():
    incidence = incidence_of([[[1, 2], []], [[]]], 3)
    assert [(finding.kind, finding.count, finding.of) for finding in doubts(incidence, NOTHING, 2)] == [
        (SEGMENTS_WITHOUT_POINTS, 2, 3)
    ]
    few = incidence_of([[[1, 2]], [[1], []]], 3)
    (found,) = doubts(few, dataclasses.replace(NOTHING, segment_instance=np.array([1, 0, 0], np.int32)), 2)
    assert (found.kind, found.count, found.of) == (SEGMENTS_WITHOUT_INSTANCE, 2, 3)
    assert "other images: 1 without points, 1 with too few" in found.text
    assert doubts(few, dataclasses.replace(NOTHING, segment_instance=np.ones(3, np.int32)), 2) == []
    (dropped,) = doubts(few, NOTHING, 2, [ImpossibleLabel("view0", 1, (0,)), ImpossibleLabel("view1", 1, (1, 2))])
    assert dropped.kind is IMPOSSIBLE_LABELS, "these are told once"


def test_why_nothing_could_be_associated():
    """Images that are not in the model, or masks without an object: the way out is another one."""
    nothing = incidence_of([[], []], 3)
    for in_model, kind, count in ((0, NOTHING_TO_ASSOCIATE, 2), (1, MASKS_WITHOUT_OBJECT, 1)):
        (found,) = doubts(nothing, NOTHING, 2, in_model=in_model)
        assert (found.kind, found.count) == (kind, count)
    none = dataclasses.replace(NOTHING, segment_instance=np.zeros(0, np.int32))
    assert doubts(nothing, none, 0) == [], "nobody looked"


def test_findings_of_the_source_and_of_the_reconstruction_stand_in_the_metrics(tmp_path):
    store = MapStore(tmp_path)
    other = Kind("scale", "models without scale", cause="", remedy="")
    write_reconstruction_figures(store, 3, Reconstruction([], findings=[Finding(other)]), {}, {}, [Finding(CUT, 2)])
    metrics = store.read_metrics()
    assert [(entry["code"], entry["count"]) for entry in metrics["findings"]] == [("cut", 2), ("scale", 1)]
    assert metrics["warnings"] == ["cuts in the recording: 2", "models without scale: 1"]
    assert np.all([entry["level"] == "warning" for entry in metrics["findings"]])


@pytest.mark.parametrize(
    ("kind", "words"), [("arbitrary", "where they lie to each other is unknown"), ("enu", "GPS places them")]
)
def test_images_that_fell_apart_are_counted_and_named(tmp_path, kind, words):
    model, _ = two_houses(3)
    frame = WorldFrame(kind, (1.0, 2.0, 3.0) if kind == "enu" else None)
    largest = dataclasses.replace(model, frame=frame)
    other = dataclasses.replace(largest, names=("far0", "far1", "far2"), component=1)
    store = MapStore(tmp_path)
    write_reconstruction_figures(store, 6, Reconstruction([largest]), {}, {})
    assert store.read_metrics()["findings"] == []
    write_reconstruction_figures(store, 6, Reconstruction([largest, other]), {}, {})
    (entry,) = store.read_metrics()["findings"]
    assert (entry["code"], entry["count"], entry["of"]) == (SEPARATE_MODELS.code, 3, 6)
    assert "far0" in entry["text"]
    assert f"the 2 models together; {words}" in entry["text"]


def test_each_model_stands_in_the_metrics_with_how_well_its_scale_is_known(tmp_path):
    model, _ = two_houses(3)
    known = dataclasses.replace(model, frame=WorldFrame("metric", scale_sigma=0.0163))
    store = MapStore(tmp_path)
    write_reconstruction_figures(store, 6, Reconstruction([known, dataclasses.replace(model, frame=WorldFrame())]), {}, {})
    first, second = store.read_metrics()["models"]
    assert first == {"images": len(model.names), "points": len(model.point_ids), "frame": "metric", "scale_sigma": 0.0163}
    assert (second["frame"], second["scale_sigma"]) == ("arbitrary", None)


def test_why_a_map_is_empty_although_objects_were_asked_for():
    counts = {"images": 4, "segments": 6, "instances": 0}
    found = SimpleNamespace(counts=counts, findings=[Finding(SEGMENTS_WITHOUT_POINTS, 5, 6)])
    words = emptiness(found, ("building", "tree"))
    assert words.startswith(
        "no building or tree was found: none of the 6 masks in 4 images became an instance; segments that hold"
    )
    assert emptiness(found, ()) == "", "only the reconstruction was asked for"
    found.counts = {**counts, "instances": 1}
    assert emptiness(found, ("building",)) == ""
    found.counts, found.findings = {"images": 0, "segments": 0, "instances": 0}, []
    assert "no image has masks" in emptiness(found, ("building",))


def test_what_was_measured_on_other_labels_goes_when_a_map_is_made_again(tmp_path):
    store = MapStore(tmp_path)
    store.update_metrics({"truth": {"methods": {}}, "kept": 1})
    write_reconstruction_figures(store, 3, None, {}, {})
    assert "truth" not in store.read_metrics()
    assert store.read_metrics()["kept"] == 1
