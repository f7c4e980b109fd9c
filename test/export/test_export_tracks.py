"""Sequences for trackers and their evaluation, read by TrackEval, which did not write them."""

import configparser
import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers_exported_map import codes_of, contents_of
from helpers_odd_map import FRONT, HEIGHT, PHOTOS, REAR, WIDTH, odd_labels, odd_map
from pycocotools import mask as coder

from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.export.annotations import kitti_mots_writer, mot_writer
from seg2d3d_ros.export.annotations.kitti_mots_writer import INSTANCES_BEYOND, class_numbers
from seg2d3d_ros.images import write_labels
from seg2d3d_ros.mapstore.store import MapStore

LABELS = odd_labels()
BY_CAMERA = {FRONT: ["Straße 1", "Straße 2"], REAR: ["rear_1", "rear_3", "rear_4"]}
"""Images with labels in the order of time."""
FOLDERS = {FRONT: "front_left", REAR: "front_left_2"}
CLASS = {5: 2, 7: 1, 9: 1, 511: 1}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> MapStore:
    return odd_map(tmp_path_factory.mktemp("odd"))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def trackeval_reads(kind: str, folder: Path, sequences: dict[str, int], pattern: str) -> dict[str, dict]:
    """What TrackEval takes out of each sequence as the truth."""
    datasets = pytest.importorskip("trackeval").datasets
    facts = {"GT_FOLDER": str(folder), "TRACKERS_FOLDER": str(folder), "TRACKERS_TO_EVAL": [], "SEQ_INFO": sequences}
    reader = getattr(datasets, kind)({**facts, "SKIP_SPLIT_FOL": True, "PRINT_CONFIG": False, "GT_LOC_FORMAT": pattern})
    return {name: reader._load_raw_file(None, name, is_gt=True) for name in sequences}


def test_trackeval_reads_mot_boxes_with_ids_and_classes(store, tmp_path):
    contents, _ = contents_of(store)
    boxes = sum(len(np.unique(image)) - (image == 0).any() for image in LABELS.values())
    assert mot_writer.export(contents, tmp_path / "out") == f"{boxes} boxes of 4 instances in 5 images, 2 sequences"
    lengths = {FOLDERS[camera]: len(names) for camera, names in BY_CAMERA.items()}
    found = trackeval_reads("MotChallenge2DBox", tmp_path / "out", lengths, "{gt_folder}/{seq}/gt/gt.txt")
    for camera, names in BY_CAMERA.items():
        folder = tmp_path / "out" / FOLDERS[camera]
        data = found[FOLDERS[camera]]
        for k, name in enumerate(names):
            ids = data["gt_ids"][k]
            assert ids.tolist() == [number for number in np.unique(LABELS[name]) if number]
            assert data["gt_classes"][k].tolist() == [CLASS[number] for number in ids.tolist()]
            assert data["gt_extras"][k]["zero_marked"].tolist() == [1] * len(ids), "0 would mean: does not count"
            for number, (left, top, width, height) in zip(ids, data["gt_dets"][k], strict=True):
                rows, columns = np.nonzero(LABELS[name] == number)
                assert (left - 1, top - 1) == (columns.min(), rows.min()), "MOTChallenge counts pixels from 1"
                assert (left - 1 + width, top - 1 + height) == (columns.max() + 1, rows.max() + 1)
        frames = rows_of(folder / "images.csv")
        assert [(row["frame"], row["image"]) for row in frames] == [(str(k), name) for k, name in enumerate(names, start=1)]
        assert [row["file_name"] for row in frames] == [PHOTOS[name][2] for name in names]
        assert [int(row["stamp_ns"]) for row in frames] == [PHOTOS[name][1] for name in names]
        assert (folder / "gt/labels.txt").read_text() == "building\nlamp post\n"
        facts = configparser.ConfigParser()
        facts.read(folder / "seqinfo.ini")
        assert facts["Sequence"]["name"] == FOLDERS[camera]
        assert facts.getint("Sequence", "seqLength") == len(names)
        assert (facts.getint("Sequence", "imWidth"), facts.getint("Sequence", "imHeight")) == (WIDTH, HEIGHT)
        assert "seqLength=" in (folder / "seqinfo.ini").read_text(), "readers look for this spelling"


def test_trackeval_reads_kitti_masks_that_do_not_overlap(store, tmp_path):
    contents, findings = contents_of(store)
    assert "4 instances in 5 images, 2 sequences" in kitti_mots_writer.export(contents, tmp_path / "out")
    assert INSTANCES_BEYOND.code not in codes_of(findings)
    numbers = {row["camera"]: row["sequence"] for row in rows_of(tmp_path / "out/sequences.csv")}
    lengths = {numbers[camera]: len(names) for camera, names in BY_CAMERA.items()}
    found = trackeval_reads("KittiMOTS", tmp_path / "out", lengths, "{gt_folder}/instances_txt/{seq}.txt")
    tracks = {int(row["object_id"]): row for row in rows_of(tmp_path / "out/tracks.csv")}
    assert {int(row["instance"]): key for key, row in tracks.items()} == {5: 4005, 7: 3007, 9: 3009, 511: 3511}
    for camera, names in BY_CAMERA.items():
        data = found[numbers[camera]]
        listed = rows_of(tmp_path / f"out/images/{numbers[camera]}.csv")
        assert [(row["frame"], row["image"]) for row in listed] == [(str(k), name) for k, name in enumerate(names)]
        for k, name in enumerate(names):
            shown = np.zeros((HEIGHT, WIDTH), int)
            for object_id, class_id, rle in zip(data["gt_ids"][k], data["gt_classes"][k], data["gt_dets"][k], strict=True):
                assert class_id == object_id // 1000 == int(tracks[object_id]["class_id"])
                shown += coder.decode(rle).astype(int) * int(tracks[object_id]["instance"])
            np.testing.assert_array_equal(shown, LABELS[name])


def test_classes_keep_kittis_numbers_and_none_is_its_ignored_region():
    numbers = class_numbers([f"thing {k}" for k in range(12)] + ["car", "Person"])
    assert (numbers["car"], numbers["Person"]) == (1, 2)
    assert 10 not in numbers.values()
    assert len(set(numbers.values())) == len(numbers)
    assert min(number for name, number in numbers.items() if name.startswith("thing")) == 3


def test_ids_beyond_999_are_numbered_anew_and_what_does_not_fit_is_told(tmp_path):
    store = odd_map(tmp_path)
    tracks = store.read_tracks()
    empty = [{**tracks["instances"][0], "id": 1000 + k, "class": "building", "observations": []} for k in range(1000)]
    write_json(store.root / "tracks.json", {**tracks, "instances": tracks["instances"] + empty})
    contents, findings = contents_of(store)
    kitti_mots_writer.export(contents, tmp_path / "out")
    (finding,) = [one for one in findings.list() if one.kind is INSTANCES_BEYOND]
    assert (finding.count, finding.of) == (4, 1004), "999 of 1003 buildings have a number"
    rows = {int(row["instance"]): int(row["object_id"]) for row in rows_of(tmp_path / "out/tracks.csv")}
    assert (rows[7], rows[9], rows[511], rows[5]) == (3001, 3002, 3003, 4001)
    assert len(set(rows.values())) == 1000


def test_images_of_two_sizes_of_one_camera_are_two_sequences(tmp_path):
    store = odd_map(tmp_path)
    write_labels(store.label_path("rear_3"), np.pad(LABELS["rear_3"], 3))
    records = store.read_keyframes()  # a camera that is called as one of those sequences would be
    store.write_keyframes([replace(one, camera_name=f"{REAR}_60x40") if one.name == "rear_4" else one for one in records])
    contents, _ = contents_of(store)
    mot_writer.export(contents, tmp_path / "out")
    names = {"front_left", "front_left___60x40", "front_left___60x40_2", "front_left___66x46"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert len(rows_of(tmp_path / "out/front_left___66x46/images.csv")) == 1
