"""SAM 3 through its real classes with random weights: the library's own answers, one look at the image, examples, limits."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections import namedtuple

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("torchvision")
pytest.importorskip("transformers.models.sam3", reason="transformers 5 has SAM 3")

import helpers_checkpoints
import torch

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.images import encode_png
from seg2d3d_ros.networks.runtime import Runtime
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.factory import create_segmenter
from seg2d3d_ros.segmentation.models import concept_model
from seg2d3d_ros.segmentation.models.concept_model import ConceptMask, ConceptModel, ConceptQuery, require_concept_models
from seg2d3d_ros.segmentation.models.mask_models import Looker
from seg2d3d_ros.segmentation.models.sam3 import MASKS_AT_CAP, Sam3
from seg2d3d_ros.types import Keyframe

PHOTO = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
KEYFRAME = Keyframe("k", "camera", 0, encode_png(PHOTO))
CPU = {"device": "cpu", "precision": "full", "cache_dir": "none"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return helpers_checkpoints.write_sam3(tmp_path_factory.mktemp("models") / "sam3")


@pytest.fixture
def model(folder):
    return ConceptModel(folder, Runtime("cpu", "full"))


def config(**more) -> SegmentationConfig:
    return SegmentationConfig(segmenter="sam3", **{**CPU, "prompts": ("building",), **more})


def whole(mask: ConceptMask, shape=(60, 80)) -> np.ndarray:
    out = np.zeros(shape, bool)
    out[mask.region.window] = mask.region.pixels
    return out


@pytest.mark.parametrize("boxes", [[], [[10.0, 8.0, 30.0, 40.0], [50.0, 5.0, 70.0, 30.0]]])
def test_masks_equal_the_librarys_own_way(folder, model, boxes, monkeypatch):
    """Text alone, and text with an example and a counter-example; enlarged two masks at a time."""
    from transformers import Sam3Model, Sam3Processor

    monkeypatch.setattr(concept_model, "PIXELS_AT_ONCE", 2 * 60 * 80)
    theirs, processor = Sam3Model.from_pretrained(folder).eval(), Sam3Processor.from_pretrained(folder)
    given = {"input_boxes": [boxes], "input_boxes_labels": [[1, 0]]} if boxes else {}
    inputs = processor(images=PHOTO, text="building", return_tensors="pt", **given)
    sizes = [tuple(size) for size in inputs.pop("original_sizes").tolist()]
    with torch.inference_mode():
        outputs = theirs(**inputs)
    (answer,) = processor.post_process_instance_segmentation(outputs, threshold=0.0, target_sizes=sizes)
    ours = model.masks(PHOTO, [ConceptQuery.of("building", 0.0, boxes, [True, False][: len(boxes)])])[0]
    order = answer["scores"].argsort(descending=True)
    assert len(ours) == len(order) == 6
    for mask, row in zip(ours, order.tolist(), strict=True):
        assert mask.score == pytest.approx(float(answer["scores"][row]), abs=1e-5)
        assert (whole(mask) == answer["masks"][row].numpy().astype(bool)).mean() > 0.999
    least = ours[2].score
    assert [m.score for m in model.masks(PHOTO, [ConceptQuery.of("building", least - 1e-6, boxes, [True, False])])[0]][:3] == [
        pytest.approx(m.score, abs=1e-5) for m in ours[:3]
    ]


def test_the_image_is_encoded_once_for_all_prompts(model):
    model.load()
    calls = []
    model._model.vision_encoder.register_forward_hook(lambda *_: calls.append("image"))
    model._model.text_encoder.register_forward_hook(lambda *_: calls.append("text"))
    together = model.masks(PHOTO, [ConceptQuery.of(text, 0.0) for text in ("building", "car", "tree")])
    assert sorted(calls) == ["image", "text", "text", "text"]
    alone = model.masks(PHOTO, [ConceptQuery.of("car", 0.0)])[0]
    assert [mask.score for mask in together[1]] == pytest.approx([mask.score for mask in alone], abs=1e-5)
    assert together[0][0].score != together[1][0].score


def test_a_picture_that_fills_all_masks_is_counted(folder):
    findings = Findings()
    segmenter = create_segmenter(
        config(concept_model=str(folder), concept_threshold=0.0, prompts=("house", "car")), None, findings
    )
    segmenter.segment(KEYFRAME)
    (finding,) = findings.list()
    assert (finding.kind, finding.count, finding.details["cap"]) == (MASKS_AT_CAP, 2, 6)
    findings = Findings()
    found = create_segmenter(config(concept_model=str(folder), concept_threshold=0.9), None, findings).segment(KEYFRAME)
    assert (len(found.ids), findings.list()) == (0, [])


class Drawn:
    """A model that finds the same squares wherever it looks, in pixels of the whole photograph."""

    most = 200

    def __init__(self, *squares, score=0.8):
        self.squares, self.score, self.asked = squares, score, []

    def load(self):
        pass

    free = load

    def masks(self, image, queries):
        self.asked.append((image.shape[:2], queries))
        corner = self._corner(image)
        found = []
        for query in queries:
            masks = []
            for x0, y0, x1, y1 in self.squares:
                mask = np.zeros(image.shape[:2], bool)
                mask[max(y0 - corner[1], 0) : max(y1 - corner[1], 0), max(x0 - corner[0], 0) : max(x1 - corner[0], 0)] = True
                region = region_of(mask)
                masks += [] if region is None or self.score < query.threshold else [ConceptMask(region, self.score)]
            found.append(masks)
        return found

    @staticmethod
    def _corner(image):
        """The picture's pixels say where they are."""
        return int(image[0, 0, 0]), int(image[0, 0, 1])


PLACES = np.zeros((100, 200, 3), np.uint8)
PLACES[..., 0], PLACES[..., 1] = np.arange(200)[None], np.arange(100)[:, None]
PLACED = Keyframe("front_1", "front", 1, encode_png(PLACES))


def sam3(model, examples=None, **more) -> Sam3:
    return Sam3(model, Runtime("cpu", "full"), config(**more), Findings(), examples)


def test_tiles_see_an_object_whole_or_leave_it_to_the_image():
    """One square within a tile, one across the edge of two: each is one segment, pixel for pixel."""
    model = Drawn((20, 30, 50, 70), (90, 20, 125, 60))
    found = sam3(model, tile_size=100, tile_overlap=0.1, min_area=0.0, min_mask_area=0.0, clean=0.0).segment(PLACED)
    assert len(model.asked) > 2
    expected = np.zeros((100, 200), bool)
    expected[30:70, 20:50] = expected[20:60, 90:125] = True
    assert len(found.ids) == 2
    np.testing.assert_array_equal(found.labels > 0, expected)
    assert found.scores.tolist() == pytest.approx([0.8, 0.8])


def test_examples_of_the_file_go_with_their_image_and_prompt(tmp_path):
    file = tmp_path / "examples.json"
    boxes = [{"label": "Car", "box": [10, 10, 30, 30]}, {"label": "car", "box": [120, 40, 160, 80], "positive": False}]
    file.write_text(json.dumps({"front_1": boxes}))
    model = Drawn((20, 30, 50, 70))
    segmenter = sam3(model, prompts=("building", "car"), exemplars=str(file))
    segmenter.segment(PLACED)
    ((_, (building, car)),) = model.asked
    assert (building.text, len(building.boxes)) == ("building", 0)
    assert (car.text, car.boxes.tolist()) == ("car", [[10, 10, 30, 30], [120, 40, 160, 80]])
    assert car.positive.tolist() == [True, False]
    segmenter.segment(KEYFRAME)
    assert [len(query.boxes) for query in model.asked[-1][1]] == [0, 0]
    # In a tile: those in it, in its pixels.
    model.asked.clear()
    sam3(model, prompts=("car",), exemplars=str(file), tile_size=100, tile_overlap=0.0).segment(
        Keyframe("front_1", "front", 1, encode_png(PLACES))
    )
    shown = [query.boxes.tolist() for _, (query,) in model.asked]
    assert shown == [[[10, 10, 30, 30], [120, 40, 160, 80]], [[10, 10, 30, 30]], [[20, 40, 60, 80]]]
    for text in (
        "[]",
        '{"front_1": [{"label": "tree", "box": [0, 0, 1, 1]}]}',
        '{"front_1": [{"label": "car", "box": [3, 0, 1, 1]}]}',
    ):
        file.write_text(text)
        with pytest.raises(UsageError, match=r"examples\.json"):
            sam3(model, prompts=("building", "car"), exemplars=str(file))


def test_other_examples_are_other_results(folder, tmp_path):
    """The cache of results knows the file by what is in it."""
    file = tmp_path / "examples.json"
    more = {
        "concept_model": str(folder),
        "cache_dir": str(tmp_path / "cache"),
        "concept_threshold": 0.0,
        "exemplars": str(file),
    }
    misses = []
    for box in ([10, 10, 30, 30], [10, 10, 30, 30], [40, 10, 70, 50]):
        file.write_text(json.dumps({"k": [{"box": box}]}))
        segmenter = create_segmenter(config(**more))
        segmenter.segment(KEYFRAME)
        misses.append(segmenter.misses)
    assert misses == [1, 0, 1]


def test_a_second_look_takes_the_mask_in_the_box():
    segmenter = sam3(Drawn((20, 30, 50, 70), (100, 20, 140, 60)))
    assert isinstance(segmenter, Looker)
    hit, miss = segmenter.look(PLACED, np.array([[98, 22, 142, 58], [160, 10, 190, 40]]))
    assert hit.region.box == (100, 20, 140, 60)
    assert miss is None


def test_python_and_transformers_that_are_too_old_are_refused_before_any_download(monkeypatch):
    require_concept_models()
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "4.57.1")
    with pytest.raises(UsageError, match=r"transformers 5, this is 4\.57\.1"):
        create_segmenter(config(allow_download=True))
    version = namedtuple("version", "major minor micro")
    monkeypatch.setattr(sys, "version_info", version(3, 10, 12))
    with pytest.raises(UsageError, match=r"Python 3\.11.*grounded_sam"):
        create_segmenter(config(allow_download=True))


def test_licence_and_size_are_said_before_anything_is_fetched(tmp_path):
    with pytest.raises(UsageError, match="SAM License") as refusal:
        create_segmenter(config(models_dir=str(tmp_path)))
    assert "3440 MB" in str(refusal.value)
    assert "gated" in str(refusal.value)


def test_long_prompts_are_refused(model):
    with pytest.raises(UsageError, match="tokens, SAM 3 reads 32"):
        model.masks(PHOTO, [ConceptQuery.of("red brick house with a green door and white windows", 0.5)])
