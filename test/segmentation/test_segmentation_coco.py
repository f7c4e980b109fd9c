"""COCO JSON instances: polygons, run lengths as the reference implementation writes them, and every kind of bad file."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.mask import encode

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.images import encode_png
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.factory import create_segmenter
from seg2d3d_ros.segmentation.files.class_table import BAD_SCORES, OTHER_CLASSES
from seg2d3d_ros.segmentation.files.coco import BY_ROWS, NO_PHOTO, NOT_LISTED, SIZE_DOUBTED, CocoInstances
from seg2d3d_ros.segmentation.files.coco_document import BROKEN, CROWDS
from seg2d3d_ros.segmentation.files.coco_masks import decode
from seg2d3d_ros.segmentation.files.mask_placement import RESIZED, TURNED
from seg2d3d_ros.segmentation.files.photo_names import PhotoName
from seg2d3d_ros.types import Keyframe

SQUARE = [[2, 3, 10, 3, 10, 8, 2, 8]]


def photo(name="a", file_name="a.jpg"):
    return Keyframe(name, "camera", 0, encode_png(np.zeros((20, 30, 3), np.uint8)), file_name=file_name)


def reader(path, *prompts):
    """The reader, and what it finds."""
    findings = Findings()
    return CocoInstances(path, SegmentationConfig(prompts=prompts or ("building",)), findings), findings


def counts(findings):
    return {finding.kind: finding.count for finding in findings.list()}


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
    source, findings = reader(write(tmp_path / "c.json", rows), "car", "building")
    segments = source.segment(photo())
    expected = np.zeros((20, 30), np.uint16)
    expected[3:8, 2:10], expected[3:8, 6:14] = 2, 1
    np.testing.assert_array_equal(segments.labels, expected)
    assert segments.classes.tolist() == [2, 1]
    np.testing.assert_allclose(segments.scores, [0.9, 0.4])
    assert counts(findings) == {CROWDS: 1, BROKEN: 1}
    only, findings = reader(tmp_path / "c.json", "building")
    assert only.segment(photo()).classes.tolist() == [1]
    assert counts(findings) == {OTHER_CLASSES: 1, CROWDS: 1, BROKEN: 1}


def listed(*file_names):
    return [{"id": k, "file_name": name} for k, name in enumerate(file_names, start=1)]


def on_each(images):
    return [{"image_id": image["id"], "category_id": 1, "segmentation": SQUARE} for image in images]


@pytest.mark.parametrize(
    "file_name",
    [
        "{}.jpg",
        "images/train/{}.jpg",
        "C:\\data\\{}.jpg",
        "/mnt/x/{}.jpg",
        "{}_jpg.rf.0a1b2c3d4e.jpg",
        "images/1/1a2b3c4d-{}.jpg",
    ]
    + ["{}.png", "{}.JPG", "{}"],
)
def test_photos_are_found_by_what_tools_make_of_their_names(tmp_path, file_name):
    photos = [PhotoName("IMG_1", "IMG_1.jpg"), PhotoName("IMG_2", "IMG_2.jpg")]
    images = listed(*(file_name.format(name.stem) for name in photos))
    source, findings = reader(write(tmp_path / "c.json", on_each(images), images))
    source.expect(photos)
    for name in photos:
        assert len(source.segment(photo(*name)).ids) == 1
    assert set(counts(findings)) == {SIZE_DOUBTED}


def test_images_are_found_by_path_and_what_is_on_one_side_only_is_counted(tmp_path):
    images = listed("front/1.jpg", "left/1.jpg", "nowhere.jpg")
    source, findings = reader(write(tmp_path / "c.json", on_each(images[:1]), images))
    source.expect([PhotoName("front_1", "front/1.png"), PhotoName("left_1", "left/1.png"), PhotoName("b", "b.png")])
    assert counts(findings) == {NOT_LISTED: 1, NO_PHOTO: 1}
    assert "looked for b.png; the file names nowhere.jpg" in findings.list()[0].text
    assert len(source.segment(photo("front_1", "front/1.png")).ids) == 1
    assert source.segment(photo("b", "b.png")) is None
    with pytest.raises(DataError, match=r"knows 0 of 1 photos; looked for c\.png; the file names front/1\.jpg"):
        source.expect([PhotoName("c", "c.png")])


def test_without_knowing_all_photos_beforehand_each_is_counted(tmp_path):
    images = listed("a.jpg")
    source, findings = reader(write(tmp_path / "c.json", on_each(images), images))
    assert source.segment(photo("b", "b.jpg")) is source.segment(photo("b", "b.jpg")) is None
    assert counts(findings) == {NOT_LISTED: 1}


def test_images_without_annotations_were_looked_at_by_a_detector_but_not_by_hand(tmp_path):
    images = listed("a.jpg", "b.jpg")
    by_hand, _ = reader(write(tmp_path / "hand.json", on_each(images[:1]), images))
    assert by_hand.segment(photo("b", "b.jpg")) is None
    rows = [{**row, "score": 0.5} for row in on_each(images[:1])]
    detected, _ = reader(write(tmp_path / "detector.json", rows, images))
    assert len(detected.segment(photo("b", "b.jpg")).ids) == 0


def test_ids_are_the_same_as_numbers_and_as_texts(tmp_path):
    rows = [{"image_id": "5", "category_id": 1.0, "segmentation": SQUARE}]
    assert len(reader(write(tmp_path / "c.json", rows))[0].segment(photo()).ids) == 1


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_run_lengths_equal_the_reference(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((23, 31)) < rng.choice([0.02, 0.5, 0.98])
    if rng.random() < 0.3:
        mask = np.repeat(np.repeat(mask, 40, 0), 30, 1)  # long runs
    packed = encode(np.asfortranarray(mask.astype(np.uint8)))
    text = {"size": packed["size"], "counts": packed["counts"].decode()}
    np.testing.assert_array_equal(whole(decode(text, *mask.shape)[0], *mask.shape), mask)
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    plain = {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}
    np.testing.assert_array_equal(whole(decode(plain, *mask.shape)[0], *mask.shape), mask)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_a_polygons_mask_has_its_area_up_to_the_outline(seed):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
    points = np.column_stack([50 + 45 * np.cos(angles) * rng.uniform(0.5, 1), 40 + 35 * np.sin(angles)])
    mask = whole(decode([points.ravel().tolist()], 80, 100)[0], 80, 100)
    outline = np.linalg.norm(points - np.roll(points, 1, axis=0), axis=1).sum()
    following = np.roll(points, -1, axis=0)
    area = abs(np.sum(points[:, 0] * following[:, 1] - following[:, 0] * points[:, 1])) / 2
    assert abs(mask.sum() - area) <= 0.25 * outline + 3


def test_a_polygons_pixels_are_those_whose_centre_it_holds():
    mask = whole(decode([[2.6, 3.4, 10.4, 3.4, 10.4, 8.6, 2.6, 8.6], [20, 10, 22, 10, 22, 12, 20, 12]], 20, 30)[0])
    expected = np.zeros((20, 30), bool)
    expected[3:9, 3:10] = expected[10:12, 20:22] = True
    np.testing.assert_array_equal(mask, expected)
    outside = whole(decode([[-5, -5, 100, -5, 100, 100, -5, 100]], 20, 30)[0])
    assert outside.all()


@pytest.mark.parametrize(
    "segmentation, words",
    [
        ([[1, 2, 3]], "fewer than three"),
        ([[0, 0, 5, 5, 9, 0, 1]], "an x without its y"),
        ([[0, 0, 1, 1, float("nan"), 2]], "far out"),
        ([[0, 0, 1, 1, 1e300, 2]], "far out"),
        ([[0, 0, 30, 0] * 5000], "endless"),
        ([{"x": 1}], "no list of numbers"),
        ([[10**400] * 6], "no list of numbers"),
        ({"size": [20, 31], "counts": [0, 620]}, "another size"),
        ({"size": ["20", None], "counts": [0, 600]}, "another size"),
        ({"size": [20, 30], "counts": [0, 5]}, "add up"),
        ({"size": [20, 30], "counts": [700, -100]}, "add up"),
        ({"size": [20, 30], "counts": [2**62, 2**62, 2**62, 2**62, 600]}, "add up"),  # 600 in 64 bits
        ({"size": [20, 30], "counts": [10**400]}, "add up"),
        ({"size": [20, 30], "counts": [float("nan"), 600]}, "whole numbers"),
        ({"size": [20, 30], "counts": [0.5, 599.5]}, "whole numbers"),
        ({"size": [20, 30], "counts": [True, 599]}, "whole numbers"),
        ({"size": [20, 30], "counts": "0Ü"}, "damaged or cut off"),
        ({"size": [20, 30], "counts": "oooooooooo0"}, "damaged or cut off"),
        ({"size": [20, 30], "counts": "o"}, "damaged or cut off"),
        ({"size": [20, 30]}, "neither a list nor a text"),
        ({}, "another size"),
        ([], "empty"),
        (None, "box only"),
        ("text", "neither polygons nor run lengths"),
        (7, "neither polygons nor run lengths"),
        ([[40, 5, 45, 5, 45, 9]], "without a pixel"),
    ],
)
def test_a_damaged_mask_is_left_out_counted_and_the_others_stay(tmp_path, segmentation, words):
    rows = [{"image_id": 5, "category_id": 1, "segmentation": item} for item in (segmentation, SQUARE)]
    source, findings = reader(write(tmp_path / "c.json", rows))
    segments = source.segment(photo())
    assert (segments.labels > 0).sum() == 40
    assert counts(findings) == {BROKEN: 1}
    assert words in findings.list()[0].text


def test_a_bad_part_of_several_polygons_costs_only_itself(tmp_path):
    for segmentation in ([*SQUARE, [1, 1, 5, 5]], [[1, 1], *SQUARE]):
        source, findings = reader(write(tmp_path / "c.json", [{"image_id": 5, "category_id": 1, "segmentation": segmentation}]))
        assert (source.segment(photo()).labels > 0).sum() == 40
        assert counts(findings) == {BROKEN: 1}
    flat = [{"image_id": 5, "category_id": 1, "segmentation": SQUARE[0]}]
    source, findings = reader(write(tmp_path / "c.json", flat))
    assert (source.segment(photo()).labels > 0).sum() == 40
    assert counts(findings) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"images": [], "annotations": []}',
        '{"images": [{}], "annotations": [], "categories": []}',
        "[" * 200_000,
    ]
    + ['{"images": {}, "annotations": 3, "categories": null}', "\xff\xfe", '{"images": [' + "9" * 5000 + "]}"],
)
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "c.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"c\.json"):
        reader(tmp_path / "c.json")


def test_bad_entries_are_left_out_one_by_one_and_their_reasons_counted(tmp_path):
    row = {"image_id": 5, "category_id": 1, "segmentation": SQUARE}
    rows = [row, 7, None, {}, {**row, "category_id": 77}, {**row, "category_id": [1]}, {**row, "image_id": True}]
    rows += [{**row, "image_id": 99}, {**row, "image_id": 6}]
    images = [{"id": 5, "file_name": "a.jpg", "width": "30", "height": 20}, {}, "x", {"id": 6, "file_name": "b.jpg"}]
    images += [{"id": 6, "file_name": "c.jpg"}, {"id": 7, "file_name": 3}]
    categories = [{"id": 1, "name": "building"}, {"id": 2}, 5]
    source, findings = reader(write(tmp_path / "c.json", rows, images, categories))
    assert len(source.segment(photo()).ids) == 1
    assert counts(findings) == {BROKEN: 15}
    for reason in ("without image_id or category_id: 5", "whose id several images have: 2", "category that is not listed: 1"):
        assert reason in findings.list()[0].text


def test_scores_out_of_range_are_counted(tmp_path):
    row = {"image_id": 5, "category_id": 1, "segmentation": SQUARE, "score": 87.5}
    source, findings = reader(write(tmp_path / "c.json", [row, {**row, "score": "high"}, {**row, "score": 10**400}]))
    assert source.segment(photo()).scores.max() == 1.0
    assert counts(findings)[BAD_SCORES] == 3


def test_a_score_that_is_missing_where_others_have_one_is_counted(tmp_path):
    row = {"image_id": 5, "category_id": 1, "segmentation": SQUARE}
    for rows, missing in (([row, row], None), ([row, {**row, "score": 0.5}], 1)):
        source, findings = reader(write(tmp_path / "c.json", rows))
        source.segment(photo())
        assert counts(findings).get(BAD_SCORES) == missing


def test_categories_of_which_none_was_asked_for_stop_it_at_once(tmp_path):
    row = {"image_id": 5, "category_id": 1, "segmentation": SQUARE}
    with pytest.raises(DataError, match=r"classes found: Building \(1\); asked: house"):
        reader(write(tmp_path / "c.json", [row]), "house")[0].expect([PhotoName("a", "a.jpg")])
    with pytest.raises(DataError, match="no usable annotation"):
        reader(write(tmp_path / "c.json", []))[0].expect([PhotoName("a", "a.jpg")])


class TestSizes:
    def made(self, tmp_path, size, segmentation, keyframe=None):
        images = [{"id": 5, "file_name": "a.jpg", **dict(zip(("width", "height"), size, strict=False))}]
        rows = [{"image_id": 5, "category_id": 1, "segmentation": segmentation}]
        source, findings = reader(write(tmp_path / "c.json", rows, images))
        return source.segment(keyframe or photo()).labels > 0, counts(findings)

    def test_one_that_is_missing_or_exchanged_is_said(self, tmp_path):
        runs = {"size": [20, 30], "counts": [60, 40, 500]}
        for size in ((), (20, 30), ("?", 20), (0, 20)):
            for segmentation, pixels in ((SQUARE, 40), (runs, 40)):
                mask, kinds = self.made(tmp_path, size, segmentation)
                assert mask.sum() == pixels
                assert kinds == ({SIZE_DOUBTED: 1} if size == (20, 30) or segmentation is SQUARE else {}), (size, segmentation)

    def test_a_smaller_picture_is_enlarged(self, tmp_path):
        mask, kinds = self.made(tmp_path, (15, 10), [[1, 1, 5, 1, 5, 4, 1, 4]])
        expected = np.zeros((20, 30), bool)
        expected[2:8, 2:10] = True
        np.testing.assert_array_equal(mask, expected)
        assert kinds == {RESIZED: 1}

    def test_a_photo_that_viewers_turn_has_its_masks_turned_back(self, tmp_path):
        import io

        from PIL import Image

        stream, exif = io.BytesIO(), Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (30, 20)).save(stream, "JPEG", exif=exif)
        turned = Keyframe("a", "camera", 0, stream.getvalue(), file_name="a.jpg")
        mask, kinds = self.made(tmp_path, (20, 30), [[0, 0, 5, 0, 5, 10, 0, 10]], turned)  # top left, as shown
        expected = np.zeros((20, 30), bool)
        expected[15:20, 0:10] = True  # bottom left, as stored
        np.testing.assert_array_equal(mask, expected)
        assert kinds == {TURNED: 1}

    @pytest.mark.parametrize("size", [(30, 30), (10**9, 10**9), (20, 30)])
    def test_another_picture_is_refused(self, tmp_path, size):
        with pytest.raises(DataError, match=r"photo.*30×20"):
            self.made(tmp_path, size, [[0, 0, 15, 0, 15, 29, 0, 29]])


def test_masks_that_were_written_row_by_row_are_noticed(tmp_path):
    mask = np.zeros((20, 30), bool)
    mask[2:18, 7:25] = True
    flat = mask.ravel()  # row by row
    edges = np.flatnonzero(np.diff(flat)) + 1
    for size, kinds in (([20, 30], {BY_ROWS: 1}),):
        counts_of_runs = np.diff([0, *edges, flat.size]).tolist()
        rows = [{"image_id": 5, "category_id": 1, "segmentation": {"size": size, "counts": counts_of_runs}}]
        source, findings = reader(write(tmp_path / "c.json", rows))
        source.segment(photo())
        assert counts(findings) == kinds


def test_the_factory_makes_it(tmp_path, monkeypatch):
    path = write(tmp_path / "c.json", [])
    assert isinstance(create_segmenter(SegmentationConfig(segmenter="coco"), path).files, CocoInstances)
    for directory in (None, tmp_path / "nothing.json"):
        with pytest.raises(UsageError, match="COCO JSON"):
            create_segmenter(SegmentationConfig(segmenter="coco"), directory)
    with pytest.raises(UsageError, match="no prompts"):
        CocoInstances(path, SegmentationConfig(prompts=()))
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(UsageError, match="pip install pycocotools"):
        create_segmenter(SegmentationConfig(segmenter="coco"), path)
