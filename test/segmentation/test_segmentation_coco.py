"""COCO JSON instances: polygons, run lengths as the reference implementation writes them, and every kind of bad file."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.mask import encode

from seg2d3d_ros.config import SegmentationConfig
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.images import encode_png
from seg2d3d_ros.segmentation.factory import create_segmenter
from seg2d3d_ros.segmentation.files.coco import CocoInstances, decode
from seg2d3d_ros.types import Keyframe

SQUARE = [[2, 3, 10, 3, 10, 8, 2, 8]]


def photo(name="a", file_name="a.jpg"):
    return Keyframe(name, "camera", 0, encode_png(np.zeros((20, 30, 3), np.uint8)), file_name=file_name)


def write(path, annotations, images=None, categories=None):
    document = {
        "images": images or [{"id": 5, "file_name": "a.jpg", "width": 30, "height": 20}],
        "categories": categories or [{"id": 1, "name": "Building"}, {"id": 9, "name": "car"}],
        "annotations": annotations,
    }
    path.write_text(json.dumps(document))
    return path


def whole(region, height=20, width=30):
    mask = np.zeros((height, width), bool)
    if region is not None:
        mask[region.window] = region.pixels
    return mask


def test_classes_scores_and_overlaps(tmp_path):
    rows = [
        {"id": 1, "image_id": 5, "category_id": 9, "segmentation": SQUARE, "score": 0.4},
        {"id": 2, "image_id": 5, "category_id": 1, "segmentation": [[6, 3, 14, 3, 14, 8, 6, 8]], "score": 0.9},
        {"id": 3, "image_id": 5, "category_id": 1, "segmentation": SQUARE, "iscrowd": 1},
        {"id": 4, "image_id": 6, "category_id": 1, "segmentation": SQUARE},
    ]
    source = CocoInstances(write(tmp_path / "c.json", rows), ["car", "building"])
    segments = source.segment(photo())
    expected = np.zeros((20, 30), np.uint16)
    expected[3:8, 2:10], expected[3:8, 6:14] = 2, 1
    np.testing.assert_array_equal(segments.labels, expected)
    assert segments.classes.tolist() == [2, 1]
    np.testing.assert_allclose(segments.scores, [0.9, 0.4])
    only = CocoInstances(tmp_path / "c.json", ["building"])
    assert only.segment(photo()).classes.tolist() == [1]
    assert only.dropped == {"car": 1}


def test_images_are_found_by_path_and_by_stem(tmp_path):
    images = [{"id": 1, "file_name": "front/1.jpg"}, {"id": 2, "file_name": "left/1.jpg"}]
    rows = [{"image_id": 1, "category_id": 1, "segmentation": SQUARE}]
    source = CocoInstances(write(tmp_path / "c.json", rows, images), ["building"])
    assert len(source.segment(photo("front_1", "front/1.png")).ids) == 1
    assert len(source.segment(photo("left_1", "left/1.png")).ids) == 0
    assert source.missing == []
    assert len(source.segment(photo("b", "b.png")).ids) == 0
    assert source.missing == ["b"]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_run_lengths_equal_the_reference(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((23, 31)) < rng.choice([0.02, 0.5, 0.98])
    if rng.random() < 0.3:
        mask = np.repeat(np.repeat(mask, 40, 0), 30, 1)  # long runs
    packed = encode(np.asfortranarray(mask.astype(np.uint8)))
    text = {"size": packed["size"], "counts": packed["counts"].decode()}
    np.testing.assert_array_equal(whole(decode(text, *mask.shape), *mask.shape), mask)
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    plain = {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}
    np.testing.assert_array_equal(whole(decode(plain, *mask.shape), *mask.shape), mask)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_a_polygons_mask_has_its_area_up_to_the_outline(seed):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
    points = np.column_stack([50 + 45 * np.cos(angles) * rng.uniform(0.5, 1), 40 + 35 * np.sin(angles)])
    mask = whole(decode([points.ravel().tolist()], 80, 100), 80, 100)
    outline = np.linalg.norm(points - np.roll(points, 1, axis=0), axis=1).sum()
    following = np.roll(points, -1, axis=0)
    area = abs(np.sum(points[:, 0] * following[:, 1] - following[:, 0] * points[:, 1])) / 2
    assert abs(mask.sum() - area) <= 0.25 * outline + 3


def test_a_polygons_pixels_are_those_whose_centre_it_holds():
    mask = whole(decode([[2.6, 3.4, 10.4, 3.4, 10.4, 8.6, 2.6, 8.6], [20, 10, 22, 10, 22, 12, 20, 12]], 20, 30))
    expected = np.zeros((20, 30), bool)
    expected[3:9, 3:10] = expected[10:12, 20:22] = True
    np.testing.assert_array_equal(mask, expected)
    outside = whole(decode([[-5, -5, 100, -5, 100, 100, -5, 100]], 20, 30))
    assert outside.all()


@pytest.mark.parametrize(
    "segmentation, words",
    [
        ([[1, 2, 3]], "polygon"),
        ([[1, 2, 3, 4, 5]], "polygon"),
        ([[0, 0, 1, 1, float("nan"), 2]], "polygon"),
        ([[0, 0, 1, 1, 1e300, 2]], "polygon"),
        ([[0, 0, 30, 0] * 5000], "outline"),
        ({"size": [20, 31], "counts": [0, 620]}, "the image has"),
        ({"size": [20, 30], "counts": [0, 5]}, "add up"),
        ({"size": [20, 30], "counts": [700, -100]}, "add up"),
        ({"size": [20, 30], "counts": [2**62, 2**62, 2**62, 2**62, 600]}, "add up"),  # 600 in 64 bits
        ({"size": [20, 30], "counts": "0Ü"}, "text of run lengths"),
        ({"size": [20, 30], "counts": "oooooooooo0"}, "text of run lengths"),
        ({"size": [20, 30], "counts": "o"}, "cut off"),
        ({"size": [20, 30]}, "counts"),
        ("text", "damaged"),
    ],
)
def test_damaged_masks_are_named(tmp_path, segmentation, words):
    path = write(tmp_path / "c.json", [{"image_id": 5, "category_id": 1, "segmentation": segmentation}])
    with pytest.raises(DataError, match=words) as caught:
        CocoInstances(path, ["building"]).segment(photo())
    assert "c.json" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"images": [], "annotations": []}', '{"images": [{}], "annotations": [], "categories": []}'],
)
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(DataError, match=r"c\.json"):
        CocoInstances(tmp_path / "c.json", ["building"])


def test_scores_categories_and_sizes_are_checked(tmp_path):
    row = {"image_id": 5, "category_id": 1, "segmentation": SQUARE}
    with pytest.raises(DataError, match="score 2"):
        CocoInstances(write(tmp_path / "c.json", [{**row, "score": 2}]), ["building"])
    with pytest.raises(DataError):
        CocoInstances(write(tmp_path / "c.json", [{**row, "category_id": 77}]), ["building"])
    images = [{"id": 5, "file_name": "a.jpg", "width": 20, "height": 30}]
    with pytest.raises(DataError, match=r"20×30.*30×20"):
        CocoInstances(write(tmp_path / "c.json", [row], images), ["building"]).segment(photo())


def test_the_factory_makes_it(tmp_path, monkeypatch):
    path = write(tmp_path / "c.json", [])
    assert isinstance(create_segmenter(SegmentationConfig(segmenter="coco"), path), CocoInstances)
    for directory in (None, tmp_path / "nothing.json"):
        with pytest.raises(UsageError, match="COCO JSON"):
            create_segmenter(SegmentationConfig(segmenter="coco"), directory)
    with pytest.raises(UsageError, match="no prompts"):
        CocoInstances(path, [])
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(UsageError, match="pip install pycocotools"):
        create_segmenter(SegmentationConfig(segmenter="coco"), path)
