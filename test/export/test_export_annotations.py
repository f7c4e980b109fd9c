"""Masks for annotation tools and detectors, each read back by another reader than the one that wrote them."""

import json
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import yaml
from helpers_exported_map import codes_of, contents_of
from helpers_odd_map import CLASSES, HEIGHT, PHOTOS, START, WIDTH, odd_labels, odd_map
from helpers_polygons import overlap_of, pixels_in
from PIL import Image
from pycocotools import mask as coder
from pycocotools.coco import COCO

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.export.annotations import (
    coco_writer,
    cvat_writer,
    labelme_writer,
    panoptic_writer,
    yolo_writer,
)
from seg2d3d_ros.export.contents import IMAGES_WITHOUT_LABELS, LABELS_DAMAGED
from seg2d3d_ros.export.photos import PHOTO_GONE
from seg2d3d_ros.geometry.panorama.equirectangular import Equirectangular
from seg2d3d_ros.geometry.panorama.panorama_view import PanoramaView
from seg2d3d_ros.images import write_labels
from seg2d3d_ros.mapstore.store import MapStore

LABELS = odd_labels()
MASKS = {(name, int(number)): labels == number for name, labels in LABELS.items() for number in np.unique(labels) if number}
"""By keyframe and instance."""
CATEGORY = {5: 2, 7: 1, 9: 1, 511: 1}
"""Classes are numbered in alphabetical order: building, lamp post."""
SUMMARY = f"{len(MASKS)} masks of 4 instances in {len(LABELS)} images"
WRITERS = [coco_writer, cvat_writer, labelme_writer, panoptic_writer, yolo_writer]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return odd_map(tmp_path_factory.mktemp("odd")).root


@pytest.fixture
def contents(root):
    return contents_of(MapStore(root))[0]


def test_pycocotools_reads_the_same_masks_and_tracks(contents, tmp_path):
    path = tmp_path / "coco.json"
    assert coco_writer.export(contents, path) == SUMMARY
    assert codes_of(contents.findings) == [IMAGES_WITHOUT_LABELS.code], "rear_2 has none"
    coco = COCO(path)
    names = {image["id"]: image["name"] for image in coco.dataset["images"]}
    found = {(names[item["image_id"]], item["track_id"]): item for item in coco.dataset["annotations"]}
    assert found.keys() == MASKS.keys()
    for key, item in found.items():
        np.testing.assert_array_equal(coco.annToMask(item).astype(bool), MASKS[key])
        assert item["area"] == MASKS[key].sum()
        assert item["bbox"] == coder.toBbox(item["segmentation"]).tolist()
        assert item["category_id"] == CATEGORY[key[1]]
        assert item["score"] == 0.5, "the better of two pieces"
    assert [item["name"] for item in coco.loadCats([1, 2])] == ["building", "lamp post"]
    for image in coco.dataset["images"]:
        camera, stamp, file_name = PHOTOS[image["name"]]
        assert (image["file_name"], image["camera"], image["stamp_ns"]) == (file_name, camera, stamp)
        assert (image["width"], image["height"]) == (WIDTH, HEIGHT)
    assert {item["id"]: item["category_id"] for item in coco.dataset["tracks"]} == CATEGORY


def test_panoptic_colours_are_the_instances(contents, tmp_path):
    assert panoptic_writer.export(contents, tmp_path / "out") == SUMMARY
    document = json.loads((tmp_path / "out/panoptic.json").read_text())
    names = {image["id"]: image["name"] for image in document["images"]}
    for item in document["annotations"]:
        with Image.open(tmp_path / "out/panoptic" / item["file_name"]) as picture:
            red, green, blue = (np.asarray(band).astype(int) for band in picture.split())
        name = names[item["image_id"]]
        np.testing.assert_array_equal(red + 256 * green + 256**2 * blue, LABELS[name])
        segments = {segment["id"]: segment for segment in item["segments_info"]}
        assert {(name, number) for number in segments} == {key for key in MASKS if key[0] == name}
        for number, segment in segments.items():
            rows, columns = np.nonzero(MASKS[name, number])
            assert segment["area"] == len(rows)
            left, top = columns.min(), rows.min()
            assert segment["bbox"] == [left, top, columns.max() + 1 - left, rows.max() + 1 - top]
            assert segment["category_id"] == CATEGORY[number]
    assert [(item["id"], item["isthing"]) for item in document["categories"]] == [(1, 1), (2, 1)]


def test_labelme_polygons_fill_to_the_masks(contents, root, tmp_path):
    assert labelme_writer.export(contents, tmp_path / "out") == SUMMARY
    assert {path.stem for path in (tmp_path / "out").iterdir()} == set(LABELS)
    for name in LABELS:
        document = json.loads((tmp_path / f"out/{name}.json").read_text())
        assert set(document) >= {"version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth"}
        with Image.open(document["imagePath"]) as photo:
            assert photo.size == (document["imageWidth"], document["imageHeight"])
        found: dict[int, np.ndarray] = {}
        for shape in document["shapes"]:
            assert shape["shape_type"] == "polygon"
            assert shape["label"] == CLASSES[shape["group_id"]]
            mask = found.setdefault(shape["group_id"], np.zeros((HEIGHT, WIDTH), bool))
            mask |= pixels_in(np.array(shape["points"]), HEIGHT, WIDTH)
        assert {(name, number) for number in found} == {key for key in MASKS if key[0] == name}
        for number, mask in found.items():
            assert overlap_of(mask, MASKS[name, number]) == 1.0


def test_cvat_masks_are_exact_and_keep_their_ids(contents, tmp_path):
    path = tmp_path / "annotations.xml"
    assert cvat_writer.export(contents, path) == SUMMARY
    tree = ET.parse(path).getroot()
    assert (tree.tag, tree.findtext("version"), tree.findtext("meta/task/mode")) == ("annotations", "1.1", "annotation")
    labels = tree.findall("meta/task/labels/label")
    assert [label.findtext("name") for label in labels] == ["building", "lamp post"]
    assert {label.findtext("attributes/attribute/name") for label in labels} == {"instance"}
    by_file = {file_name: name for name, (_, _, file_name) in PHOTOS.items()}
    found = {}
    for image in tree.findall("image"):
        assert (image.get("width"), image.get("height")) == (str(WIDTH), str(HEIGHT))
        for item in image.findall("mask"):
            left, top, width, height = (int(item.get(key)) for key in ("left", "top", "width", "height"))
            runs = [int(run) for run in item.get("rle").split(",")]
            pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
            mask = np.zeros((HEIGHT, WIDTH), bool)
            mask[top : top + height, left : left + width] = pixels
            instance = int(item.get("group_id"))
            assert item.find("attribute").text == str(instance)
            assert item.get("label") == CLASSES[instance]
            found[by_file[image.get("name")], instance] = mask
    assert found.keys() == MASKS.keys()
    assert all(np.array_equal(found[key], MASKS[key]) for key in MASKS)


def test_yolo_polygons_are_one_per_instance_and_images_lie_beside_them(contents, tmp_path):
    assert yolo_writer.export(contents, tmp_path / "out") == SUMMARY
    facts = yaml.safe_load((tmp_path / "out/data.yaml").read_text())
    assert facts["names"] == {0: "building", 1: "lamp post"}
    for name in LABELS:
        with Image.open(tmp_path / f"out/images/{name}.jpg") as photo:
            assert photo.size == (WIDTH, HEIGHT)
        lines = (tmp_path / f"out/labels/{name}.txt").read_text().splitlines()
        wanted = sorted(key[1] for key in MASKS if key[0] == name)
        for number, line in zip(wanted, lines, strict=True):
            class_number, *shares = line.split()
            assert facts["names"][int(class_number)] == CLASSES[number]
            corners = np.array(shares, float).reshape(-1, 2)
            assert corners.min() >= 0.0
            assert corners.max() <= 1.0
            ring = (corners * [WIDTH, HEIGHT]).ravel().tolist()
            mask = coder.decode(coder.frPyObjects([ring], HEIGHT, WIDTH)[0]).astype(bool)
            assert overlap_of(mask, MASKS[name, number]) >= 0.98


def test_chosen_instances_keep_the_numbers_of_their_classes(root, tmp_path):
    contents, _ = contents_of(MapStore(root), ids=[5])
    assert coco_writer.export(contents, tmp_path / "coco.json") == "1 masks of 1 instances in 5 images"
    (item,) = json.loads((tmp_path / "coco.json").read_text())["annotations"]
    assert (item["track_id"], item["category_id"], item["area"]) == (5, 2, 1)


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__.rpartition(".")[2])
def test_a_map_without_instances_gives_a_valid_file_that_says_so(writer, tmp_path):
    contents, _ = contents_of(odd_map(tmp_path, kind="arbitrary", empty=True))
    assert writer.export(contents, tmp_path / "out") == "0 masks of 0 instances in 5 images"
    assert (tmp_path / "out").exists()


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__.rpartition(".")[2])
def test_a_map_without_labels_is_refused_and_nothing_is_left(writer, tmp_path):
    store = odd_map(tmp_path)
    for path in (store.root / "labels").iterdir():
        path.unlink()
    contents, _ = contents_of(store)
    with pytest.raises(DataError, match="no image has labels"):
        writer.export(contents, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"map", "photos"}


@pytest.mark.parametrize("writer", [labelme_writer, yolo_writer])
def test_photographs_that_are_gone_are_told_of(writer, tmp_path):
    contents, findings = contents_of(odd_map(tmp_path))
    (tmp_path / "photos/rear/1.jpg").unlink()
    writer.export(contents, tmp_path / "out")
    (finding,) = [one for one in findings.list() if one.kind is PHOTO_GONE]
    assert (finding.count, finding.examples) == (1, ("1.jpg",))
    assert str(tmp_path / "photos/rear") in finding.text


def test_names_that_xml_forbids_are_escaped(tmp_path):
    store = odd_map(tmp_path)
    text = (store.root / "tracks.json").read_text().replace("lamp post", r"lamp\u0007<post> & Söhne")
    (store.root / "tracks.json").write_text(text)
    contents, _ = contents_of(store)
    cvat_writer.export(contents, tmp_path / "out.xml")
    names = [label.findtext("name") for label in ET.parse(tmp_path / "out.xml").iter("label")]
    assert names == ["building", r"lamp\x07<post> & Söhne"]


def test_stamps_are_whole_nanoseconds(contents, tmp_path):
    coco_writer.export(contents, tmp_path / "coco.json")
    assert re.search(rf'"stamp_ns": {START}\b', (tmp_path / "coco.json").read_text())


def test_panoramas_stand_beside_their_views(tmp_path):
    store = odd_map(tmp_path)
    shape = Equirectangular(400, 200)
    view = PanoramaView("rear 1 whole", "pano", "whole/1.jpg", str(tmp_path / "photos/rear/1.jpg"), shape, 0, 6)
    store.write_keyframes([replace(one, view=view if one.name == "rear_1" else None) for one in store.read_keyframes()])
    labels = np.zeros((200, 400), np.uint16)
    labels[90:120, 380:], labels[90:120, :30], labels[150, 150] = 7, 7, 5
    write_labels(store.label_path("rear 1 whole"), labels)
    contents, _ = contents_of(store, ids=[7])
    assert coco_writer.export(contents, tmp_path / "coco.json") == "4 masks of 1 instances in 6 images"
    coco = COCO(tmp_path / "coco.json")
    (image,) = [one for one in coco.dataset["images"] if one["name"] == "rear 1 whole"]
    assert (image["file_name"], image["width"], image["height"]) == ("whole/1.jpg", 400, 200)
    assert (image["camera"], image["stamp_ns"]) == ("pano", START)
    (item,) = coco.imgToAnns[image["id"]]
    np.testing.assert_array_equal(coco.annToMask(item), labels == 7)
    assert (item["track_id"], item["score"]) == (7, 0.75), "as sure as the instance, for no observation names a panorama"


def test_a_damaged_label_image_is_left_out_and_told_with_its_reason(tmp_path):
    store = odd_map(tmp_path)
    path = store.label_path("rear_1")
    path.write_bytes(path.read_bytes()[:60])
    contents, findings = contents_of(store)
    assert coco_writer.export(contents, tmp_path / "coco.json") == "7 masks of 4 instances in 4 images"
    (finding,) = [one for one in findings.list() if one.kind is LABELS_DAMAGED]
    assert (finding.count, finding.examples) == (1, ("rear_1",))
    assert str(path) in finding.text
