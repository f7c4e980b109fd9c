"""Kept results: found again, never mixed up, mended when damaged, bounded in size."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest

from seg2d3d_ros.images import encode_png
from seg2d3d_ros.networks.runtime import Runtime
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.cache import CachedSegmenter
from seg2d3d_ros.types import Keyframe, Segments

CONFIG = SegmentationConfig(segmenter="grounded_sam", prompts=("house", "car"))


def photo(grey: int, name: str = "k") -> Keyframe:
    return Keyframe(name, "camera", 0, encode_png(np.full((30, 40, 3), grey, np.uint8)))


class Counting:
    """One segment whose score counts the calls."""

    def __init__(self, config=CONFIG):
        self.calls, self.loaded, self.config, self.runtime = [], 0, config, Runtime()

    def load(self):
        self.loaded += 1

    def close(self):
        self.loaded = 0

    def asking_for(self, config):
        return Counting(config)

    def segment(self, keyframe):
        self.calls.append(keyframe.name)
        labels = np.zeros((30, 40), np.uint16)
        labels[3:9, 4:20] = 7
        score = np.array([len(self.calls) / 100], np.float32)
        return Segments(keyframe.name, labels, np.array([7], np.uint16), np.array([2], np.int32), score)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def test_the_second_run_asks_no_model(folder):
    first, second = CachedSegmenter(Counting(), ["m"], CONFIG, folder), CachedSegmenter(Counting(), ["m"], CONFIG, folder)
    made, found = first.segment(photo(1)), second.segment(photo(1, "renamed"))
    assert second._inner.calls == []
    assert (second.hits, second.misses) == (1, 0)
    assert found.name == "renamed"
    np.testing.assert_array_equal(found.labels, made.labels)
    for field in ("ids", "classes", "scores"):
        np.testing.assert_array_equal(getattr(found, field), getattr(made, field))
        assert getattr(found, field).dtype == getattr(made, field).dtype


@pytest.mark.parametrize(
    "changes",
    [{"prompts": ("car", "house")}, {"box_threshold": 0.5}, {"clean": 0.0}, {"segmenter": "panoptic"}, {"precision": "half"}],
)
def test_what_changes_the_result_is_another_entry(folder, changes):
    CachedSegmenter(Counting(), ["m"], CONFIG, folder).segment(photo(1))
    other = CachedSegmenter(Counting(), ["m"], dataclasses.replace(CONFIG, **changes), folder)
    other.segment(photo(1))
    assert other.misses == 1


def test_other_images_and_weights_are_other_entries_and_the_device_is_not(folder):
    CachedSegmenter(Counting(), ["m"], CONFIG, folder).segment(photo(1))
    same = CachedSegmenter(Counting(), ["m"], dataclasses.replace(CONFIG, device="cuda", batch_size=9), folder)
    same.segment(photo(1))
    assert same.hits == 1
    same.segment(photo(2))
    weights = CachedSegmenter(Counting(), ["n"], CONFIG, folder)
    weights.segment(photo(1))
    assert (same.misses, weights.misses) == (1, 1)


def test_new_prompts_share_the_folder_and_not_the_entries(folder):
    house = CachedSegmenter(Counting(), ["m"], CONFIG, folder)
    house.segment(photo(1))
    tree = house.asking_for(["tree"])
    tree.segment(photo(1))
    assert tree.misses == 1
    back = tree.asking_for(CONFIG.prompts)
    back.segment(photo(1))
    assert back.hits == 1


def test_a_batch_keeps_its_order_and_only_the_rest_is_made(folder):
    segmenter = CachedSegmenter(Counting(), ["m"], CONFIG, folder)
    segmenter.segment_all([photo(2, "b")])
    results = segmenter.segment_all([photo(1, "a"), photo(2, "b"), photo(3, "c")])
    assert [segments.name for segments in results] == ["a", "b", "c"]
    assert segmenter._inner.calls == ["b", "a", "c"]
    np.testing.assert_allclose([segments.scores[0] for segments in results], [0.02, 0.01, 0.03])


def test_a_damaged_entry_is_made_again(folder):
    segmenter = CachedSegmenter(Counting(), ["m"], CONFIG, folder)
    segmenter.segment(photo(1))
    (entry,) = folder.glob("??/*.npz")
    whole = entry.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", whole.replace(b"PNG", b"GNP")):
        entry.write_bytes(damaged)
        segmenter.segment(photo(1))
    assert segmenter.misses == 4
    segmenter.segment(photo(1))
    assert segmenter.hits == 1


def test_without_a_folder_nothing_is_kept(tmp_path):
    segmenter = CachedSegmenter(Counting(), ["m"], CONFIG, None)
    segmenter.segment(photo(1))
    segmenter.segment(photo(1))
    assert segmenter._inner.calls == ["k", "k"]
    assert list(tmp_path.iterdir()) == []


def test_what_was_not_used_for_longest_goes_first(folder):
    config = dataclasses.replace(CONFIG, cache_size=1)
    segmenter = CachedSegmenter(Counting(), ["m"], config, folder)
    segmenter.segment(photo(1))
    (entry,) = folder.glob("??/*.npz")
    segmenter.segment(photo(2))
    large = folder / "00" / "large.npz"
    large.parent.mkdir(exist_ok=True)
    large.write_bytes(b"x" * 1_000_000)
    os.utime(entry, ns=(0, 0))
    os.utime(large, ns=(10, 10))
    segmenter.segment(photo(1))  # the oldest is used again, which keeps it
    assert segmenter.hits == 1
    fresh = CachedSegmenter(Counting(), ["m"], config, folder)
    fresh.segment(photo(200))
    assert not large.exists()
    assert entry.exists()
    left = list(folder.glob("??/*.npz"))
    assert len(left) == 3
    assert fresh._bytes == sum(path.stat().st_size for path in left)


def test_a_folder_that_cannot_be_written_costs_only_the_cache(tmp_path, caplog):
    (tmp_path / "file").write_text("x")
    segmenter = CachedSegmenter(Counting(), ["m"], CONFIG, tmp_path / "file")
    assert segmenter.segment(photo(1)).ids.tolist() == [7]
    assert "not kept" in caplog.text
