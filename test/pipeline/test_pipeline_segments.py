"""How a finite run hands keyframes to a segmenter: in groups where it takes them, and one by one where a group fails."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_session import Solved

from seg2d3d_ros.config import make_config
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.images import encode_png
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.offline import build_map
from seg2d3d_ros.reconstruction import opening
from seg2d3d_ros.segmentation.files.bag_segments import NOT_RECORDED
from seg2d3d_ros.segmentation.segmenter import no_segments
from seg2d3d_ros.types import Keyframe, Segments

CONFIG = make_config({"segmentation.prompts": ["house"]})


class Groups:
    """Remembers its groups; one keyframe cannot be segmented."""

    def __init__(self, batch, bad=""):
        self.batch, self.bad, self.groups = batch, bad, []

    def segment_all(self, keyframes):
        self.groups.append([keyframe.name for keyframe in keyframes])
        if self.bad in self.groups[-1]:
            raise DataError(f"{self.bad}: no")
        return [one(keyframe.name) for keyframe in keyframes]


def one(name: str) -> Segments:
    labels = np.full((6, 8), 1, np.uint16)
    return Segments(name, labels, np.array([1], np.uint16), np.array([1], np.int32), np.array([0.5], np.float32))


def build(tmp_path, monkeypatch, segmenter, count=5):
    monkeypatch.setattr(opening, "open_reconstructor", lambda *_: Solved())
    encoded = encode_png(np.zeros((6, 8, 3), np.uint8))
    keyframes = [Keyframe(f"k{k}", "camera", 0, encoded, file_name=f"k{k}.png") for k in range(count)]
    store = MapStore(tmp_path / "map")
    with pytest.raises(DataError, match="no two images"):
        build_map(keyframes, store, CONFIG, segmenter, progress=lambda *what: None, findings=Findings())
    written = sorted(path.stem for path in (store.root / "segments").glob("*.png"))
    found = store.read_metrics()["findings"]
    return written, {entry["code"]: entry["examples"] for entry in found}


class Given:
    """Masks that somebody made, of some keyframes; ``objects`` in each."""

    given = True

    def __init__(self, names, objects=1):
        self.names, self.objects = names, objects

    def segment(self, keyframe):
        if keyframe.name not in self.names:
            return None
        return one(keyframe.name) if self.objects else no_segments(keyframe.name, (6, 8))

    def close(self):
        pass


def test_a_keyframe_that_nobody_segmented_has_no_segments_at_all(tmp_path, monkeypatch):
    assert build(tmp_path, monkeypatch, Given({"k1", "k3"}))[0] == ["k1", "k3"]


@pytest.mark.parametrize(("names", "objects"), [(set(), 1), ({"k0", "k1"}, 0)])
def test_given_masks_without_an_object_stop_before_the_reconstruction(tmp_path, monkeypatch, names, objects):
    monkeypatch.setattr(opening, "open_reconstructor", lambda *_: Unsolvable())
    findings, keyframes = Findings(), [Keyframe(f"k{k}", "c", 0, b"", file_name=f"k{k}.png") for k in range(3)]
    findings.add(NOT_RECORDED, "k2")
    with pytest.raises(
        DataError, match=rf"no object in the masks of {len(names)} of 3 images .*keyframes without recorded masks"
    ):
        build_map(
            keyframes, MapStore(tmp_path), CONFIG, Given(names, objects), images_in=tmp_path, progress=print, findings=findings
        )


class Unsolvable:
    def add(self, keyframe, ignore):
        pass

    def solve(self, progress):
        pytest.fail("the reconstruction was begun")

    def close(self):
        pass


def test_groups_of_the_segmenters_size(tmp_path, monkeypatch):
    segmenter = Groups(2)
    written, warnings = build(tmp_path, monkeypatch, segmenter)
    assert segmenter.groups == [["k0", "k1"], ["k2", "k3"], ["k4"]]
    assert (written, warnings) == (["k0", "k1", "k2", "k3", "k4"], {"nothing_to_associate": []})


def test_one_bad_keyframe_costs_only_itself(tmp_path, monkeypatch):
    segmenter = Groups(4, bad="k1")
    written, warnings = build(tmp_path, monkeypatch, segmenter)
    assert segmenter.groups == [["k0", "k1", "k2", "k3"], ["k0"], ["k1"], ["k2"], ["k3"], ["k4"]]
    assert written == ["k0", "k2", "k3", "k4"]
    assert warnings == {"images_without_segments": ["k1"], "nothing_to_associate": []}


def test_a_segmenter_of_single_keyframes_gets_each_as_it_comes(tmp_path, monkeypatch):
    class Single:
        def __init__(self):
            self.names = []

        def segment(self, keyframe):
            self.names.append(keyframe.name)
            return one(keyframe.name)

    segmenter = Single()
    written, _ = build(tmp_path, monkeypatch, segmenter, count=3)
    assert written == segmenter.names == ["k0", "k1", "k2"]
