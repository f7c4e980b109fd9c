"""From a map directory and a truth folder to the table: files, notes, errors, the command."""

import json

import numpy as np
import pytest
from helpers_evaluation import picture
from helpers_maps import two_houses

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.evaluation.measure import evaluate_map
from seg2d3d_ros.evaluation.reading import read_map_masks
from seg2d3d_ros.evaluation.table import COLUMNS, METHODS, format_result
from seg2d3d_ros.images import write_labels
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.recording.naming import natural_key

STREET = {  # image: truth, labels, segments
    "img9": ("1122", "7788", "3344"),
    "img10": ("1122", "7788", "5566"),
    "img11": ("11..", "77..", "12.."),
}


def make_map(root, images=STREET):
    for name, layers in images.items():
        for folder, text in zip(("truth", "map/labels", "map/segments"), layers, strict=True):
            if text is not None:
                write_labels(root / folder / f"{name}.png", picture(text))
    return root / "map", root / "truth"


def test_whole_result(tmp_path):
    result = evaluate_map(*make_map(tmp_path))
    assert list(result["methods"]) == [key for key in METHODS if key != "published"]
    assert all(set(COLUMNS) <= set(values) for values in result["methods"].values())
    mine, oracle = result["methods"]["this_map"], result["methods"]["oracle"]
    assert mine["coverage"] == mine["hota"] == mine["ari"] == 1.0
    assert oracle["coverage"] == oracle["ari"] == 1.0
    assert result["methods"]["one_id"]["coverage"] == pytest.approx((1 + 1) / 2)  # IoU of the union is exactly one half
    assert result["methods"]["one_id_per_mask"]["coverage"] == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert (result["images"], result["objects"], result["objects_never_detected"]) == (3, 2, 0)
    assert [row["best_track"] for row in result["per_object"]] == [7, 8]
    # The two halves of img11 match at exactly one half each.
    assert [row["detected_images"] for row in result["per_object"]] == [3, 2]
    assert len(result["hota_curve"]) == 19
    json.dumps(result, allow_nan=False)
    assert any("published" in note and "no sparse reconstruction" in note for note in result["notes"])
    assert mine["ap"] is mine["pq"] is result["points_with_owner"] is None
    assert any("nothing was measured in 3D" in note for note in result["notes"])
    assert "AP50" not in format_result(result)


def test_a_truth_that_is_the_maps_own_is_refused(tmp_path, capsys):
    map_root, _ = make_map(tmp_path)
    for own in ("segments", "labels"):
        (tmp_path / own).symlink_to(map_root / own)
        for truth in (map_root / own, tmp_path / own):
            with pytest.raises(UsageError, match=f"{own}: is "):
                evaluate_map(map_root, truth, truth_was_input=True)
    # A copy of the masks that were given; the map dropped one that was of another class.
    copied = {"img9": ("3344", "7788", "3344"), "img10": ("5566", "7788", "55..")}
    given, truth = make_map(tmp_path / "copy", copied)
    with pytest.raises(UsageError, match="is what the segmenter gave"):
        evaluate_map(given, truth)
    assert main(["evaluate", str(given), "--truth", str(truth)]) == 2
    assert "--truth-was-input" in capsys.readouterr().err
    assert main(["evaluate", str(given), "--truth", str(truth), "--truth-was-input"]) == 0
    # One pixel of a difference is a truth that somebody checked.
    copied["img10"] = ("5566", "7788", "5.66")
    make_map(tmp_path / "copy", copied)
    write_labels(given / "segments/img10.png", picture("5566")[:, ::-1].copy())
    assert evaluate_map(given, truth)["images"] == 2


def test_images_come_in_natural_order_with_boxes_scores_and_majority_labels(tmp_path):
    map_root, truth = make_map(tmp_path, {**STREET, "img11": ("1111", "7788", "2221")})
    write_json(map_root / "segments/img11.json", {"2": {"class": "building", "score": 0.25}})
    masks = read_map_masks(map_root, truth)
    assert masks.raw.names == ("img9", "img10", "img11")
    assert masks.raw.region_label.tolist() == [3, 4, 5, 6, 1, 2]
    assert masks.raw_label.tolist() == [7, 8, 7, 8, 8, 7]
    assert masks.scores.tolist() == [1, 1, 1, 1, 1, 0.25]
    assert masks.boxes[-2:].tolist() == [[3, 0, 4, 1], [0, 0, 3, 1]]


def test_natural_key():
    names = ["b1", "img10", "img9", "9", "10", "img", "img9b"]
    assert sorted(names, key=natural_key) == ["9", "10", "b1", "img", "img9", "img9b", "img10"]


def test_truth_images_outside_the_map_count_as_empty(tmp_path):
    images = {**STREET, "img12": ("1122", None, "3344"), "img13": ("1122", None, None)}
    result = evaluate_map(*make_map(tmp_path, images))
    assert result["images"] == 5
    assert result["images_without_labels"] == 2
    assert [(row["images"], row["detected_images"], row["matched_images"]) for row in result["per_object"]] == [
        (5, 4, 3),  # a raw mask shows it in img12
        (4, 3, 2),
    ]
    assert any("2 of 5 images with truth have no labels" in note for note in result["notes"])
    assert any("1 of 5 images have no raw segments" in note for note in result["notes"])


def test_without_raw_segments_the_predictions_stand_in_and_it_says_so(tmp_path):
    images = {name: (truth, labels, None) for name, (truth, labels, _) in STREET.items()}
    result = evaluate_map(*make_map(tmp_path, images))
    assert result["methods"]["this_map"]["adjusted_coverage"] == 1.0
    assert any("3 of 3 images have no raw segments" in note for note in result["notes"])


def test_label_images_without_truth_do_not_matter(tmp_path):
    map_root, truth = make_map(tmp_path, {**STREET, "extra": (None, "9999", "9999")})
    assert evaluate_map(map_root, truth)["methods"]["this_map"]["tracks"] == 2


def test_no_object_in_two_images(tmp_path):
    result = evaluate_map(*make_map(tmp_path, {"a": ("11", "22", "33"), "b": ("..", "22", "33")}))
    assert result["methods"]["this_map"]["coverage"] is None
    assert result["objects_in_one_image"] == 1
    assert any("no identity to measure" in note for note in result["notes"])
    assert "–" in format_result(result)


def test_the_published_method_is_run_again(tmp_path, monkeypatch):
    model, segments = two_houses()
    store = MapStore(tmp_path / "map")
    for name, item in segments.items():
        store.write_segments(item, ("building",))
        write_labels(store.label_path(name), np.zeros_like(item.labels))
        truth = np.zeros_like(item.labels)
        truth[2:46, 4:30], truth[2:46, 34:60] = 1, 2
        write_labels(tmp_path / "truth" / f"{name}.png", truth)
    (store.root / "sparse" / "0").mkdir(parents=True)
    monkeypatch.setattr("seg2d3d_ros.evaluation.cloud.read_models", lambda root: [model])
    result = evaluate_map(tmp_path / "map", tmp_path / "truth")
    assert result["methods"]["published"]["coverage"] == result["methods"]["published"]["ari"] == 1.0
    assert result["methods"]["published"]["ap"] == result["methods"]["oracle"]["pq"] == 1.0
    assert result["points_with_owner"] == 40
    assert "AP50" in format_result(result)
    assert result["methods"]["this_map"]["coverage"] == 0.0
    assert not any("published" in note for note in result["notes"])


def test_names_without_overlap_name_both_folders(tmp_path):
    map_root, truth = make_map(tmp_path, {"a": ("11", None, None), "b": (None, "11", "11")})
    with pytest.raises(DataError, match=r"truth.*map/labels.*no image name in common.*'a'.*'b'"):
        evaluate_map(map_root, truth)


def test_sizes_that_differ_name_the_image(tmp_path):
    map_root, truth = make_map(tmp_path, {**STREET, "odd": ("11/11", "1111", "11/11")})
    with pytest.raises(DataError, match=r"odd.*2×2.*4×1"):
        evaluate_map(map_root, truth)


@pytest.mark.parametrize("folder", ["truth", "map/labels", "map/segments"])
def test_damaged_png_is_named(tmp_path, folder):
    map_root, truth = make_map(tmp_path)
    (tmp_path / folder / "img10.png").write_bytes(b"not a PNG")
    with pytest.raises(DataError, match=rf"{folder}/img10.png"):
        evaluate_map(map_root, truth)


@pytest.mark.parametrize("text", ["{", "[1]", '{"3": 5}', '{"3": {"score": "high"}}'])
def test_damaged_scores_are_named(tmp_path, text):
    map_root, truth = make_map(tmp_path)
    (map_root / "segments/img9.json").write_text(text)
    with pytest.raises(DataError, match=r"img9.json: (damaged|no valid JSON)"):
        evaluate_map(map_root, truth)


def test_missing_or_empty_folders(tmp_path):
    map_root, truth = make_map(tmp_path)
    with pytest.raises(DataError, match=r"nowhere: no such folder"):
        evaluate_map(tmp_path / "nowhere", truth)
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: holds no truth"):
        evaluate_map(map_root, tmp_path / "empty")
    with pytest.raises(DataError, match=r"labels: holds no label images"):
        evaluate_map(tmp_path / "empty", truth)


def test_command_prints_and_keeps_the_result(tmp_path, capsys):
    map_root, truth = make_map(tmp_path)
    MapStore(map_root).update_metrics({"counts": {"images": 3}})
    (map_root / "report.html").write_text("before")
    assert main(["evaluate", str(map_root), "--truth", str(truth), "--json", str(tmp_path / "out/result.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = lines[2 : 4 + len(METHODS) - 1]
    assert len({len(line) for line in table}) == 1
    assert table[2].split()[:3] == ["this", "map", "1.000"]
    for heading, meaning in COLUMNS.values():
        assert heading in table[0]
        assert any(line.startswith(f"  {heading} ") and line.endswith(meaning) for line in lines)
    written = json.loads((tmp_path / "out/result.json").read_text())
    kept = json.loads((map_root / "metrics.json").read_text())
    assert kept["truth"] == written
    assert kept["counts"] == {"images": 3}
    assert "Measured against the truth" in (map_root / "report.html").read_text()


def test_command_fails_in_words(tmp_path, capsys):
    map_root, _ = make_map(tmp_path)
    assert main(["evaluate", str(map_root), "--truth", str(tmp_path / "no")]) == 1
    assert "no such folder" in capsys.readouterr().err
    assert main(["evaluate", str(map_root)]) == 2
    assert "required: --truth" in capsys.readouterr().err
