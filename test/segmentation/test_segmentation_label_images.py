"""Label images from a directory: classes, sizes, damage."""

from __future__ import annotations

import json
import logging

import cv2
import numpy as np
import pytest

from seg2d3d_ros.config import SegmentationConfig
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.images import encode_jpeg, encode_png
from seg2d3d_ros.segmentation.factory import create_segmenter
from seg2d3d_ros.segmentation.files.label_images import LabelImages
from seg2d3d_ros.types import Keyframe


def photo(name="a", width=40, height=30, file_name=""):
    return Keyframe(name, "camera", 0, encode_jpeg(np.full((height, width, 3), 90, np.uint8)), file_name=file_name)


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
    segments = LabelImages(tmp_path, ["house", "car"]).segment(photo())
    np.testing.assert_array_equal(segments.labels, labels)
    assert segments.labels.dtype == np.uint16
    assert segments.ids.tolist() == [7, 300]
    assert segments.classes.tolist() == [1, 1]
    assert segments.scores.tolist() == [1.0, 1.0]
    assert segments.boxes.tolist() == [[3, 2, 13, 12], [20, 15, 30, 20]]


def test_eight_bit_label_images(tmp_path, labels):
    small = np.where(labels == 300, 5, labels).astype(np.uint8)
    save(tmp_path / "a.png", small)
    assert LabelImages(tmp_path, ["house"]).segment(photo()).ids.tolist() == [5, 7]


def test_json_gives_class_and_score_and_drops_other_classes(tmp_path, labels):
    labels[25:29, 0:9] = 9
    save(tmp_path / "a.png", labels)
    facts = {"a": {"7": {"class": "Car", "score": 0.25}, "300": {"class": "tree", "score": 0.9}, "9": {"score": 0.5}}}
    (tmp_path / "segments.json").write_text(json.dumps(facts))
    segmenter = LabelImages(tmp_path, ["house", "car"])
    segments = segmenter.segment(photo())
    assert segments.ids.tolist() == [7, 9]
    assert segments.classes.tolist() == [2, 1]
    assert segments.scores.tolist() == [0.25, 0.5]
    assert 300 not in segments.labels
    assert segmenter.dropped == {"tree": 1}


def test_small_segments_are_dropped(tmp_path, labels):
    save(tmp_path / "a.png", labels)  # 100 and 50 of 1200 pixels
    assert LabelImages(tmp_path, ["house"], min_area=50 / 1200).segment(photo()).ids.tolist() == [7, 300]
    assert LabelImages(tmp_path, ["house"], min_area=51 / 1200).segment(photo()).ids.tolist() == [7]


def test_missing_label_image_is_an_empty_answer_and_counted(tmp_path):
    segmenter = LabelImages(tmp_path, ["house"])
    segments = segmenter.segment(photo("nowhere"))
    assert segments.labels.shape == (30, 40)
    assert len(segments.ids) == 0
    assert not segments.labels.any()
    assert segmenter.missing == ["nowhere"]


def test_another_size_of_the_same_picture_is_resized_with_one_warning(tmp_path, labels, caplog):
    for name in "ab":
        save(tmp_path / f"{name}.png", labels)
    segmenter = LabelImages(tmp_path, ["house"])
    with caplog.at_level(logging.WARNING):
        first = segmenter.segment(photo("a", 80, 60))
        segmenter.segment(photo("b", 80, 60))
    np.testing.assert_array_equal(first.labels, np.repeat(np.repeat(labels, 2, axis=0), 2, axis=1))
    assert segmenter.resized == 2
    assert len(caplog.records) == 1
    assert "40×30" in caplog.text
    assert "80×60" in caplog.text


@pytest.mark.parametrize("size", [(13, 10), (14, 10), (1333, 1000)])
def test_rounding_of_the_size_is_no_other_aspect(tmp_path, labels, size):
    save(tmp_path / "a.png", labels)  # 4:3
    assert LabelImages(tmp_path, ["house"]).segment(photo("a", *size)).labels.shape == size[::-1]


@pytest.mark.parametrize("size", [(30, 40), (40, 40), (80, 50)])
def test_another_aspect_is_refused_with_both_sizes(tmp_path, labels, size):
    save(tmp_path / "a.png", labels)
    with pytest.raises(DataError, match=rf"a\.png.*40×30.*{size[0]}×{size[1]}"):
        LabelImages(tmp_path, ["house"]).segment(photo("a", *size))


@pytest.mark.parametrize("stem", ["front_0001", "front/0001"])
def test_images_of_one_folder_per_camera(tmp_path, labels, stem):
    save(tmp_path / f"{stem}.png", labels)
    (tmp_path / "segments.json").write_text(json.dumps({stem: {"7": {"class": "car", "score": 0.5}}}))
    segments = LabelImages(tmp_path, ["house", "car"]).segment(photo("front_0001", file_name="front/0001.jpg"))
    assert segments.ids.tolist() == [7, 300]
    assert segments.classes.tolist() == [2, 1]


def test_damaged_and_colour_label_images_are_refused_by_name(tmp_path, labels):
    segmenter = LabelImages(tmp_path, ["house"])
    (tmp_path / "a.png").write_bytes(encode_png(labels)[:60])
    with pytest.raises(DataError, match=r"a\.png.*cut off"):
        segmenter.segment(photo())
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((30, 40, 3), np.uint8))
    with pytest.raises(DataError, match=r"a\.png.*3 channels"):
        segmenter.segment(photo())


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"a": {"x": {}}}', '{"a": {"7": {"score": 2}}}', '{"a": {"7": {"class": 3}}}', '{"a": {"7": {"score": NaN}}}'],
)
def test_damaged_json_is_refused_by_name(tmp_path, text):
    (tmp_path / "segments.json").write_text(text)
    with pytest.raises(DataError, match=r"segments\.json"):
        LabelImages(tmp_path, ["house"])


def test_factory(tmp_path):
    assert create_segmenter(SegmentationConfig(segmenter="none")) is None
    assert isinstance(create_segmenter(SegmentationConfig(), tmp_path), LabelImages)
    with pytest.raises(UsageError, match="--segments"):
        create_segmenter(SegmentationConfig())
    with pytest.raises(UsageError, match="no such directory"):
        create_segmenter(SegmentationConfig(), tmp_path / "nowhere")
    with pytest.raises(UsageError, match="topic"):
        create_segmenter(SegmentationConfig(segmenter="topic"), tmp_path)
