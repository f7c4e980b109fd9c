"""Label images from a directory: classes, sizes, damage."""

from __future__ import annotations

import json

import numpy as np
import pytest

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.images import encode_jpeg, encode_png
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.factory import create_segmenter
from seg2d3d_ros.segmentation.files.class_table import BAD_SCORES, NEAR_CLASSES, OTHER_CLASSES
from seg2d3d_ros.segmentation.files.label_images import LabelImages
from seg2d3d_ros.segmentation.files.mask_placement import RESIZED
from seg2d3d_ros.segmentation.files.photo_names import PhotoName
from seg2d3d_ros.segmentation.files.segments_json import BROKEN_ENTRIES, UNLISTED
from seg2d3d_ros.types import Keyframe


def photo(name="a", width=40, height=30, file_name=""):
    return Keyframe(name, "camera", 0, encode_jpeg(np.full((height, width, 3), 90, np.uint8)), file_name=file_name)


def reader(folder, prompts=("house",), **config):
    """The reader, and what it finds."""
    findings = Findings()
    return LabelImages(folder, SegmentationConfig(prompts=tuple(prompts), **config), findings), findings


def counts(findings):
    return {finding.kind: finding.count for finding in findings.list()}


@pytest.fixture
def labels():
    image = np.zeros((30, 40), np.uint16)
    image[2:12, 3:13] = 7
    image[15:20, 20:30] = 300
    return image


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(image))


def test_ids_classes_and_scores_without_json(tmp_path, labels):
    save(tmp_path / "a.png", labels)
    segments = reader(tmp_path, ["house", "car"])[0].segment(photo())
    np.testing.assert_array_equal(segments.labels, labels)
    assert segments.labels.dtype == np.uint16
    assert segments.ids.tolist() == [7, 300]
    assert segments.classes.tolist() == [1, 1]
    assert segments.scores.tolist() == [1.0, 1.0]
    assert segments.boxes.tolist() == [[3, 2, 13, 12], [20, 15, 30, 20]]


def test_eight_bit_label_images(tmp_path, labels):
    small = np.where(labels == 300, 5, labels).astype(np.uint8)
    save(tmp_path / "a.png", small)
    assert reader(tmp_path, ["house"])[0].segment(photo()).ids.tolist() == [5, 7]


def test_json_gives_class_and_score_and_drops_other_classes(tmp_path, labels):
    labels[25:29, 0:9] = 9
    save(tmp_path / "a.png", labels)
    facts = {"a": {"7": {"class": "Car", "score": 0.25}, "300": {"class": "tree", "score": 0.9}, "9": {"score": 0.5}}}
    (tmp_path / "segments.json").write_text(json.dumps(facts))
    segmenter, findings = reader(tmp_path, ["house", "car"])
    segments = segmenter.segment(photo())
    assert segments.ids.tolist() == [7, 9]
    assert segments.classes.tolist() == [2, 1]
    assert segments.scores.tolist() == [0.25, 0.5]
    assert 300 not in segments.labels
    assert counts(findings) == {OTHER_CLASSES: 1}
    assert "classes found: tree (1); asked: house, car" in findings.list()[0].text


def test_small_segments_are_dropped(tmp_path, labels):
    save(tmp_path / "a.png", labels)  # 100 and 50 of 1200 pixels
    assert reader(tmp_path, ["house"], min_area=50 / 1200)[0].segment(photo()).ids.tolist() == [7, 300]
    assert reader(tmp_path, ["house"], min_area=51 / 1200)[0].segment(photo()).ids.tolist() == [7]


def test_an_image_without_a_label_image_is_one_that_nobody_looked_at(tmp_path, labels):
    save(tmp_path / "empty.png", labels * 0)
    segmenter, _ = reader(tmp_path)
    assert segmenter.segment(photo("nowhere")) is None
    assert len(segmenter.segment(photo("empty")).ids) == 0


def test_another_size_of_the_same_picture_is_resized_and_counted(tmp_path, labels):
    for name in "ab":
        save(tmp_path / f"{name}.png", labels)
    segmenter, findings = reader(tmp_path)
    first = segmenter.segment(photo("a", 80, 60))
    segmenter.segment(photo("b", 80, 60))
    np.testing.assert_array_equal(first.labels, np.repeat(np.repeat(labels, 2, axis=0), 2, axis=1))
    assert counts(findings) == {RESIZED: 2}
    assert "40×30 for 80×60" in findings.list()[0].text


@pytest.mark.parametrize("size", [(13, 10), (14, 10), (1333, 1000)])
def test_rounding_of_the_size_is_no_other_aspect(tmp_path, labels, size):
    save(tmp_path / "a.png", labels)  # 4:3
    assert reader(tmp_path, ["house"])[0].segment(photo("a", *size)).labels.shape == size[::-1]


@pytest.mark.parametrize("size", [(30, 40), (40, 40), (80, 50)])
def test_another_aspect_is_refused_with_both_sizes(tmp_path, labels, size):
    save(tmp_path / "a.png", labels)
    with pytest.raises(DataError, match=rf"a\.png.*40×30.*{size[0]}×{size[1]}"):
        reader(tmp_path, ["house"])[0].segment(photo("a", *size))


@pytest.mark.parametrize("stem", ["front_0001", "front/0001"])
def test_images_of_one_folder_per_camera(tmp_path, labels, stem):
    save(tmp_path / f"{stem}.png", labels)
    (tmp_path / "segments.json").write_text(json.dumps({stem: {"7": {"class": "car", "score": 0.5}}}))
    segments = reader(tmp_path, ["house", "car"])[0].segment(photo("front_0001", file_name="front/0001.jpg"))
    assert segments.ids.tolist() == [7, 300]
    assert segments.classes.tolist() == [2, 1]


def test_damaged_label_images_and_the_photo_itself_are_refused_by_name(tmp_path, labels):
    segmenter, _ = reader(tmp_path)
    (tmp_path / "a.png").write_bytes(encode_png(labels)[:60])
    with pytest.raises(DataError, match=r"a\.png.*cut off"):
        segmenter.segment(photo())
    save(tmp_path / "b.png", labels)
    own = Keyframe("b", "camera", 0, encode_png(labels), file_name="b.png", source=str((tmp_path / "b.png").resolve()))
    with pytest.raises(DataError, match="photo itself"):
        reader(tmp_path)[0].segment(own)


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, "7", '"a"'])
def test_a_file_that_is_no_segments_json_at_all_is_refused_by_name(tmp_path, text):
    (tmp_path / "segments.json").write_text(text)
    with pytest.raises(DataError, match=r"segments\.json"):
        reader(tmp_path)


def test_broken_entries_are_left_out_one_by_one(tmp_path, labels):
    save(tmp_path / "a.png", labels)
    good = {"class": "car", "score": 0.5}
    facts = {"a": {"7": good, "x": {}, "300": {"class": 3}, "5": "car", "9" * 5000: {}}, "b": [], "c": {"1": None}}
    (tmp_path / "segments.json").write_text(json.dumps(facts))
    segmenter, findings = reader(tmp_path, ["house", "car"])
    assert segmenter.segment(photo()).classes.tolist() == [2, 1]
    assert counts(findings) == {BROKEN_ENTRIES: 6, UNLISTED: 1}


def test_scores_out_of_range_keep_their_segment(tmp_path, labels):
    save(tmp_path / "a.png", labels)
    (tmp_path / "segments.json").write_text('{"a": {"7": {"score": 87.5}, "300": {"score": NaN}}, "b": {"1": {"score": -2}}}')
    segmenter, findings = reader(tmp_path)
    assert segmenter.segment(photo()).scores.tolist() == [1.0, 1.0]
    assert counts(findings) == {BAD_SCORES: 3}
    assert "87.5" in findings.list()[0].text or "-2" in findings.list()[0].text


def test_near_spellings_are_named_but_not_taken_for_the_same(tmp_path, labels):
    labels[25:29, 0:9] = 9
    save(tmp_path / "a.png", labels)
    facts = {"a": {"7": {"class": " BUILDING "}, "300": {"class": "buildings"}, "9": {"class": "sky"}}}
    (tmp_path / "segments.json").write_text(json.dumps(facts))
    segmenter, findings = reader(tmp_path, ["building"])
    assert segmenter.segment(photo()).ids.tolist() == [7]
    assert counts(findings) == {NEAR_CLASSES: 1, OTHER_CLASSES: 1}
    assert findings.list()[0].kind is NEAR_CLASSES
    assert "ask for 'buildings'" in findings.list()[0].text


def test_classes_of_which_none_was_asked_for_stop_it_at_once(tmp_path, labels):
    save(tmp_path / "a.png", labels)
    facts = {"a": {"7": {"class": "buildings"}, "300": {"class": "house"}}}
    (tmp_path / "segments.json").write_text(json.dumps(facts))
    with pytest.raises(DataError, match=r"classes found: .*house \(1\).*; asked: building; .*--label 'buildings'"):
        reader(tmp_path, ["building"])[0].expect([PhotoName("a")])
    reader(tmp_path, ["house"])[0].expect([PhotoName("a")])
    facts["a"]["7"] = {}  # of no class, which is the first
    (tmp_path / "segments.json").write_text(json.dumps(facts))
    reader(tmp_path, ["building"])[0].expect([PhotoName("a")])


def test_a_folder_of_one_file_per_object(tmp_path):
    first, second = np.zeros((30, 40), np.uint8), np.zeros((30, 40), np.uint8)
    first[2:20, 3:33], second[5:10, 5:10] = 255, 255
    save(tmp_path / "a/0.png", first)
    save(tmp_path / "a/1.png", second)
    (tmp_path / "a/metadata.csv").write_text("id,area,predicted_iou\n0,540,0.5\n1,25,0.75\n")
    segmenter, findings = reader(tmp_path)
    segmenter.expect([PhotoName("a", "a.jpg")])
    segments = segmenter.segment(photo())
    assert segments.scores.tolist() == [0.75, 0.5]
    np.testing.assert_array_equal(segments.labels, np.where(second, 1, np.where(first, 2, 0)))
    assert counts(findings) == {}
    save(tmp_path / "a/2.png", first // 255 + second // 255)
    with pytest.raises(DataError, match=r"2\.png: several ids"):
        segmenter.segment(photo())


def test_factory(tmp_path):
    assert create_segmenter(SegmentationConfig(segmenter="none")) is None
    assert isinstance(create_segmenter(SegmentationConfig(), tmp_path).files, LabelImages)
    with pytest.raises(UsageError, match="--segments"):
        create_segmenter(SegmentationConfig())
    with pytest.raises(UsageError, match="no such directory"):
        create_segmenter(SegmentationConfig(), tmp_path / "nowhere")
    with pytest.raises(UsageError, match="topic"):
        create_segmenter(SegmentationConfig(segmenter="topic"), tmp_path)
