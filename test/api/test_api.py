"""The Python functions: what they give is what the map holds, and every example of the documents runs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers_exported_map import exported_map
from helpers_maps import two_houses
from helpers_report import write_sparse
from PIL import Image

import seg2d3d_ros
from seg2d3d_ros.api.functions import MASKS_WITHOUT_IMAGE
from seg2d3d_ros.errors import DataError, UsageError

EXAMPLES = Path(__file__).parents[2] / "docs/examples"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return exported_map(tmp_path_factory.mktemp("api") / "map")


def test_an_opened_map_gives_what_is_in_its_files(store):
    street = seg2d3d_ros.open_map(store.root)
    assert sorted(street.instances) == [1, 2, 3, 4]
    assert street.instances[3].name == "lamp post"
    np.testing.assert_allclose(street.instances[1].world_from_box[:2, 0], [np.cos(0.1), np.sin(0.1)])
    assert street.instances[4].center is None
    name = street.images[0]
    np.testing.assert_array_equal(street.labels(name), store.read_labels(name))
    assert street.image(name).shape == (*street.labels(name).shape, 3)
    assert len(street.points()) == 800
    assert set(street.poses) == set(street.images)
    assert street.warnings == ["3 of 60 segments hold no 3D point & cannot be associated"]
    assert {seen.image for seen in street.instances[1].observations} <= set(street.images)


def test_what_is_not_there_is_said_in_words(store, tmp_path):
    street = seg2d3d_ros.open_map(str(store.root))
    with pytest.raises(UsageError, match="no such image"):
        street.image("nobody")
    with pytest.raises(UsageError, match="points, dense, lidar"):
        street.points("cloud")
    with pytest.raises(DataError, match="--densify"):
        street.points("dense")
    with pytest.raises(DataError, match="no map directory"):
        seg2d3d_ros.open_map(tmp_path)
    with pytest.raises(AttributeError):
        seg2d3d_ros.nothing  # noqa: B018


def test_masks_over_a_model_of_ones_own_become_two_houses(tmp_path):
    """The masks are numbered differently in each image; named with and without ending, and one belongs nowhere."""
    model, segments = two_houses()
    masks = {f"{name}.jpg" if k % 2 else name: item.labels for k, (name, item) in enumerate(segments.items())}
    found = seg2d3d_ros.associate(model, {**masks, "elsewhere": masks[next(iter(masks))]})
    assert len(found.instances.ids) == 2
    columns = [(labels[10, 10], labels[10, 50]) for labels in found.labels.values()]
    assert len(found.labels) == 4
    assert len(set(columns)) == 1
    assert columns[0][0] != columns[0][1]
    assert (found.point_instance > 0).all()
    assert len(found.point_ids) == len(found.point_instance)
    assert [finding.kind.code for finding in found.findings.list()] == [MASKS_WITHOUT_IMAGE.code]
    with pytest.raises(DataError, match="none of the 1 masks"):
        seg2d3d_ros.associate(model, {"elsewhere": masks[next(iter(masks))]})
    for wrong in (np.full((48, 64), -1), np.full((48, 64), 70_000), np.zeros((48, 64, 3), int), np.zeros((48, 64))):
        with pytest.raises(DataError, match="from 0 to 65535"):
            seg2d3d_ros.associate(model, {model.names[0]: wrong})
    with pytest.raises(UsageError, match="image of every mask"):
        seg2d3d_ros.associate(model, masks, {})
    with pytest.raises(UsageError, match="method"):
        seg2d3d_ros.associate(model, masks, methode="published")


def test_run_takes_the_options_of_the_command_and_refuses_others(tmp_path):
    with pytest.raises(UsageError, match="nonsense"):
        seg2d3d_ros.run(tmp_path, out=tmp_path / "map", label="building", nonsense=1)
    with pytest.raises((UsageError, DataError)):
        seg2d3d_ros.run(tmp_path / "nothing", out=tmp_path / "map", segmenter="none", gps="none")
    assert not (tmp_path / "map").exists()


def run_example(name: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_examples_run(store, tmp_path):
    said = run_example("open_map.py", store.root, tmp_path / "house.png")
    assert said.count("images") == 4
    assert np.array(Image.open(tmp_path / "house.png")).std() > 10

    run_example("picture.py", store.root, tmp_path / "street.png")
    name = seg2d3d_ros.open_map(store.root).images[0]
    assert np.array(Image.open(tmp_path / "street.png")).shape == (*store.read_labels(name).shape, 3)
    assert (np.array(Image.open(tmp_path / "street.png")) != seg2d3d_ros.open_map(store.root).image(name)).any()

    model, segments = two_houses()
    write_sparse(tmp_path / "model", model)
    (tmp_path / "masks").mkdir()
    (tmp_path / "out").mkdir()
    for name, item in segments.items():
        Image.fromarray(item.labels).save(tmp_path / "masks" / f"{name}.png")
    assert "2 objects in 4 images" in run_example(
        "associate.py", tmp_path / "model/sparse/0", tmp_path / "masks", tmp_path / "out"
    )
    assert {path.stem for path in (tmp_path / "out").iterdir()} == set(segments)
    run_here = {"open_map.py", "associate.py", "picture.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == run_here, "every example is"
