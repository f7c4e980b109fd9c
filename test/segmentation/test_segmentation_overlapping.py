"""Overlapping masks that people have: SAM's automatic generator, SA-1B, Grounded-SAM-2, COCO, one PNG per mask; bad entries."""

import dataclasses
import json

import numpy as np
import pytest
from pycocotools import mask as coco

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.images import encode_png
from seg2d3d_ros.networks.runtime import Runtime
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.cache import CachedSegmenter
from seg2d3d_ros.segmentation.factory import create_segmenter
from seg2d3d_ros.segmentation.files.mask_lists import EMPTY_LIST, LIST_UNUSED, UNUSABLE, WITHOUT_LIST
from seg2d3d_ros.segmentation.files.photo_names import PhotoName
from seg2d3d_ros.segmentation.finest import flat_choice
from seg2d3d_ros.types import Keyframe

HEIGHT, WIDTH = 30, 40
BOXES = ((2, 3, 38, 28), (5, 5, 20, 15), (8, 7, 12, 11))
"""A house, a storey on it, a window on that."""


def photo(name: str = "0001") -> Keyframe:
    return Keyframe(name, "camera", 0, encode_png(np.full((HEIGHT, WIDTH, 3), 99, np.uint8)), file_name=f"{name}.jpg")


def pixels(box) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 1
    return mask


def compressed(box) -> dict:
    encoded = coco.encode(np.asfortranarray(pixels(box)))
    return {"size": [HEIGHT, WIDTH], "counts": encoded["counts"].decode()}


def plain(box) -> dict:
    flat = pixels(box).T.ravel()
    ends = np.flatnonzero(np.diff(flat, prepend=0, append=2))
    return {"size": [HEIGHT, WIDTH], "counts": np.diff(ends, prepend=0).tolist()}


def amg(encode) -> list[dict]:
    facts = {"predicted_iou": 0.95, "stability_score": 0.97, "point_coords": [[1.0, 2.0]], "crop_box": [0, 0, WIDTH, HEIGHT]}
    return [{"segmentation": encode(box), "area": int(pixels(box).sum()), "bbox": [*box[:2], 1, 1], **facts} for box in BOXES]


def grounded() -> dict:
    entries = [{"class_name": "house", "bbox": list(box), "segmentation": compressed(box), "score": [0.8]} for box in BOXES]
    return {"image_path": "0001.jpg", "annotations": entries, "box_format": "xyxy", "img_width": WIDTH, "img_height": HEIGHT}


def configured(**changes) -> SegmentationConfig:
    return SegmentationConfig(**{"prompts": ("object",), "overlapping": True, **changes})


def read(path, findings=None, **changes):
    segmenter = create_segmenter(configured(**changes), path, findings)
    segmenter.expect([PhotoName("0001", "0001.jpg")])
    return segmenter.segment(photo())


def assert_all_three(segments) -> None:
    masks = segments.overlapping
    assert sorted(map(tuple, masks.boxes.tolist())) == sorted(BOXES)
    assert segments.boxes[np.argmin(masks.areas[segments.ids.astype(int) - 1])].tolist() == list(BOXES[2])
    assert segments.labels[8, 9] == 1 + int(np.argmin(masks.areas))


@pytest.mark.parametrize(
    "document",
    [amg(compressed), amg(plain), {"image": {"file_name": "0001.jpg"}, "annotations": amg(compressed)}, grounded()],
    ids=["sam", "sam plain", "sa-1b", "grounded-sam-2"],
)
def test_a_json_file_per_photo_keeps_every_mask(tmp_path, document):
    (tmp_path / "0001.json").write_text(json.dumps(document))
    segments = read(tmp_path, prompts=("house",))
    assert_all_three(segments)
    expected = 0.8 if isinstance(document, dict) and "image_path" in document else 0.95
    assert segments.overlapping.scores.tolist() == pytest.approx([expected] * 3)


def test_classes_that_were_not_asked_for_are_left_out(tmp_path):
    document = grounded()
    document["annotations"][1]["class_name"] = "tree"
    (tmp_path / "0001.json").write_text(json.dumps(document))
    findings = Findings()
    assert len(read(tmp_path, findings, prompts=("house",)).overlapping) == 2
    assert {finding.kind.code for finding in findings.list()} == {"classes_not_asked"}
    assert len(read(tmp_path, prompts=("object",)).overlapping) == 3


def test_a_coco_file_keeps_what_overlaps_only_where_it_is_asked_to(tmp_path):
    annotations = [
        {"id": k, "image_id": 1, "category_id": 1, "segmentation": encode(box), "score": 0.9}
        for k, (box, encode) in enumerate(zip(BOXES, (compressed, plain, compressed), strict=True))
    ]
    image = {"id": 1, "file_name": "0001.jpg", "width": WIDTH, "height": HEIGHT}
    document = {"images": [image], "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(document))
    assert_all_three(read(path, segmenter="coco"))
    assert read(path, segmenter="coco", overlapping=False).overlapping is None


def test_one_png_per_mask_with_sams_own_rating(tmp_path):
    (tmp_path / "0001").mkdir()
    rows = ["id,area,predicted_iou,stability_score"]
    for k, box in enumerate(BOXES):
        (tmp_path / "0001" / f"{k}.png").write_bytes(encode_png(pixels(box) * 255))
        rows.append(f"{k},5,0.9{k},0.8{k}")
    (tmp_path / "0001" / "metadata.csv").write_text("\n".join(rows))
    segments = read(tmp_path)
    assert_all_three(segments)
    assert segments.overlapping.scores.tolist() == pytest.approx([0.90, 0.91, 0.92])
    assert segments.overlapping.stabilities.tolist() == pytest.approx([0.80, 0.81, 0.82])
    assert read(tmp_path, overlapping=False).overlapping is None


def test_bad_masks_are_counted_with_their_reasons_and_the_others_stay(tmp_path):
    entries = amg(compressed)
    entries += [
        {},
        7,
        {"segmentation": [[0, 0, 5, 5, 0, 5]]},
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": "b@d"}},
        {"segmentation": {"size": [WIDTH, HEIGHT], "counts": compressed(BOXES[0])["counts"]}},
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}},
        {**entries[0], "predicted_iou": "good"},
        {**entries[0], "class_name": 5},
    ]
    (tmp_path / "0001.json").write_text(json.dumps(entries))
    findings = Findings()
    assert len(read(tmp_path, findings).overlapping) == 4  # of an object, the class is not asked for
    (finding,) = findings.list()
    assert (finding.kind, finding.count) == (UNUSABLE, 7)
    assert "another size: 1" in finding.text
    assert "without a pixel" in finding.text


def test_photos_without_a_file_and_files_without_a_photo_are_told(tmp_path):
    for name in ("0001", "0009"):
        (tmp_path / f"{name}_masks.json").write_text(json.dumps(amg(compressed)))
    findings = Findings()
    segmenter = create_segmenter(configured(), tmp_path, findings)
    segmenter.expect([PhotoName("0001", "0001.jpg"), PhotoName("0002", "0002.jpg")])
    assert segmenter.segment(photo("0002")) is None
    assert len(segmenter.segment(photo("0001")).overlapping) == 3
    assert {finding.kind: finding.examples for finding in findings.list()} == {
        WITHOUT_LIST: ("0002",),
        LIST_UNUSED: ("0009_masks.json",),
    }
    with pytest.raises(DataError, match="0 of 1 photos"):
        create_segmenter(configured(), tmp_path).expect([PhotoName("x", "x.jpg")])


@pytest.mark.parametrize(
    ("document", "why"),
    [({"masks": []}, "no masks"), ("text", "no masks"), ([{"segmentation": {"size": [10, 90], "counts": [900]}}], "90×10")],
)
def test_a_file_that_is_no_list_of_masks_of_this_photo_is_refused(tmp_path, document, why):
    (tmp_path / "0001.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=why):
        read(tmp_path)


def test_masks_of_another_size_are_brought_to_the_photo(tmp_path):
    small = pixels((1, 1, 19, 14))[: HEIGHT // 2, : WIDTH // 2]
    encoded = coco.encode(np.asfortranarray(small))
    entry = {"segmentation": {"size": list(small.shape), "counts": encoded["counts"].decode()}}
    (tmp_path / "0001.json").write_text(json.dumps([entry]))
    masks = read(tmp_path).overlapping
    assert masks.shape == (HEIGHT, WIDTH)
    assert masks.boxes.tolist() == [[2, 2, 38, 28]]


def test_a_missing_folder_is_wrong_use(tmp_path):
    with pytest.raises(UsageError, match="no such"):
        create_segmenter(configured(), tmp_path / "nowhere")


def test_kept_results_hold_overlapping_masks(tmp_path):
    class Anything:
        calls = 0
        runtime = Runtime()

        def segment(self, keyframe):
            self.calls += 1
            (tmp_path / "0001.json").write_text(json.dumps(amg(compressed)))
            return dataclasses.replace(read(tmp_path), name=keyframe.name)

    config = configured(segmenter="everything")
    inner = Anything()
    made, found = (CachedSegmenter(inner, ["m"], config, tmp_path / "cache").segment(photo()) for _ in range(2))
    assert inner.calls == 1
    assert found.overlapping.counts == made.overlapping.counts
    for name in ("boxes", "classes", "scores", "stabilities"):
        np.testing.assert_array_equal(getattr(found.overlapping, name), getattr(made.overlapping, name))


def test_the_flat_choice_leaves_hidden_masks_out():
    from seg2d3d_ros.geometry.masks import region_of
    from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks

    left, right, whole = (region_of(pixels(box) > 0) for box in ((0, 0, 10, 30), (10, 0, 40, 30), (0, 0, 40, 30)))
    segments = flat_choice(OverlappingMasks.of_regions("k", (HEIGHT, WIDTH), [whole, left, right], [1, 2, 3], [0.9] * 3))
    assert segments.ids.tolist() == [2, 3]
    assert segments.classes.tolist() == [2, 3]


def test_a_list_without_a_mask_is_a_photo_without_objects_and_said(tmp_path):
    (tmp_path / "0001.json").write_text("[]")
    findings = Findings()
    assert len(read(tmp_path, findings).ids) == 0
    assert [(item.kind, item.count) for item in findings.list()] == [(EMPTY_LIST, 1)]
