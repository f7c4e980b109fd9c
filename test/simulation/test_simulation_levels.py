"""The truth at three levels, and the detector that cuts each house at a level of its own choice."""

import json

import numpy as np
import pytest

from seg2d3d_ros.images import read_labels
from seg2d3d_ros.mapstore.files.masks_file import read_masks_document
from seg2d3d_ros.simulation.former_street import remove_street
from seg2d3d_ros.simulation.street_folder import IGNORE, simulate

pytest.importorskip("open3d")


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    out = tmp_path_factory.mktemp("levels") / "street"
    return simulate(out, seed=3, buildings=4, keyframes=6, width=320, height=214, bag=False, levels=True)


def truths(street):
    for path in sorted((street / "truth").iterdir()):
        yield [read_labels(street / folder / path.name).astype(int) for folder in ("truth", "truth_storeys", "truth_parts")]


def test_parts_lie_in_storeys_and_storeys_in_houses(street):
    objects = {int(i): fact for i, fact in json.loads((street / "levels.json").read_text())["objects"].items()}
    levels = [{i for i, fact in objects.items() if fact["level"] == level} for level in ("house", "storey", "part")]
    assert all(objects[i]["parent"] in levels[0] for i in levels[1])
    assert all(objects[i]["parent"] in levels[1] for i in levels[2])
    assert {"shop front", "storey", "roof", "window", "door", "sign", "house"} == {fact["kind"] for fact in objects.values()}
    shown = set()
    for houses, storeys, parts in truths(street):
        for fine, coarse, level in ((storeys, houses, 1), (parts, storeys, 2)):
            known = (fine > 0) & (fine != IGNORE) & (coarse != IGNORE)
            assert set(np.unique(fine[known]).tolist()) <= levels[level]
            parent = np.array([objects[i]["parent"] for i in fine[known].tolist()])
            assert (parent == coarse[known]).mean() > 0.99
            shown |= {objects[i]["kind"] for i in np.unique(fine[known]).tolist()}
        whole = (houses > 0) & (houses != IGNORE)
        assert ((storeys > 0)[whole]).all()
    assert {"storey", "window", "roof"} <= shown


def test_each_mask_shows_an_object_of_some_level_with_a_ragged_border(street):
    found, exact = [], 0
    for path, truth in zip(sorted((street / "masks").iterdir()), truths(street), strict=True):
        masks = read_masks_document(path, path.stem, ("object",))
        for k in range(len(masks)):
            region = masks.region(k)
            best = (0.0, -1)
            for level, labels in enumerate(truth):
                ids, counts = np.unique(labels[region.window][region.pixels], return_counts=True)
                for i, count in zip(ids.tolist(), counts.tolist(), strict=True):
                    if i not in (0, IGNORE):
                        best = max(best, (count / (region.area + (labels == i).sum() - count), level))
            found.append(best)
            exact += best[0] == 1.0
    overlap, level = np.array(found).T
    assert np.median(overlap) > 0.7
    assert exact < 0.2 * len(found)
    assert {0, 1, 2} <= set(level.astype(int).tolist())


def test_plain_rows_have_levels_too(tmp_path):
    out = simulate(
        tmp_path / "hard",
        seed=1,
        buildings=4,
        keyframes=2,
        cameras=1,
        width=160,
        height=107,
        bag=False,
        levels=True,
        scene="hard",
    )
    kinds = {fact["kind"] for fact in json.loads((out / "levels.json").read_text())["objects"].values()}
    assert {"house", "storey", "roof", "window", "door"} <= kinds
    assert len(list((out / "masks").iterdir())) == 2


def test_without_levels_nothing_changes_and_a_former_street_goes_whole(street, tmp_path):
    plain = simulate(tmp_path / "plain", seed=3, buildings=4, keyframes=6, width=320, height=214, bag=False)
    assert not (plain / "masks").exists()
    for path in (plain / "segments").iterdir():
        assert path.read_bytes() == (street / "segments" / path.name).read_bytes()
    remove_street(street)
    assert not street.exists()
