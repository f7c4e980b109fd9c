"""Maps whose files hold something else than they should: each is one line that names the file, and never a traceback."""

import copy
import json
import random
import re

import numpy as np
import pytest
from helpers_mapdir import write_map

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.images import encode_png
from seg2d3d_ros.mapstore.store import MapStore

ODD = [None, True, -1, 1e308, 10**30, "text", "../../etc/passwd", "\x1b[31m", [], {}, [[]], [None], {"a": {}}, float("nan")]
READERS = {
    "tracks.json": MapStore.read_tracks,
    "keyframes.json": MapStore.read_keyframes,
    "metrics.json": MapStore.read_metrics,
    "segments/view0.json": lambda store: store.read_named_segments("view0"),
}
METRICS = {
    "counts": {"images": 4, "registered": 4},
    "timings": {"matching": 1.0},
    "findings": [{"code": "a", "level": "note", "count": 1, "of": 0, "examples": [], "text": "b"}],
    "warnings": ["w"],
    "unregistered": [{"image": "view9", "reason": "r"}],
    "missed": [],
    "truth": {"methods": {"this_map": {"coverage": 0.5}}, "per_object": [{"id": 1, "coverage": 0.1, "best_track": None}]},
}


@pytest.fixture
def root(tmp_path):
    store = write_map(tmp_path / "map")
    store.update_metrics(METRICS)
    (store.root / "sparse/0/images.bin").unlink()
    (store.root / "sparse/0/frame.json").unlink()
    (store.root / "sparse/0").rmdir()
    (store.root / "sparse").rmdir()
    return store.root


def places(value, path=()):
    """The path of everything in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def damaged(value, path, odd):
    """A copy with ``odd`` in one place; where ``odd`` is ``...`` the entry is left out."""
    if not path:
        return odd
    changed = copy.deepcopy(value)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    if odd is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = odd
    return changed


@pytest.mark.parametrize("name", READERS)
def test_anything_may_stand_anywhere(root, name):
    """Either the reader takes it, or it says in one line which file is damaged, and where."""
    random.seed(1)
    path, store = root / name, MapStore(root)
    value = json.loads(path.read_text())
    cases = [(place, odd) for place in places(value) for odd in (*ODD, *([...] if place else []))]
    refused = 0
    for place, odd in random.sample(cases, min(len(cases), 400)):
        path.write_text(json.dumps(damaged(value, place, odd)))
        try:
            READERS[name](store)
        except DataError as error:
            refused += 1
            words = str(error)
            assert re.search(rf"{re.escape(name)}: (damaged|no usable JSON|no valid JSON|nested)", words), words
            assert "\n" not in words
    assert refused > 0.2 * min(len(cases), 400)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\x00" * 10, '{"a": 1e999}', "NaN", "[1,2", "\xff\xfe"])
def test_a_file_that_is_no_json(root, name, text):
    (root / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=rf"{re.escape(name)}: (damaged|no usable JSON|no valid JSON|nested)"):
        READERS[name](MapStore(root))


DAMAGE = {
    "tracks.json": ['{"instances": [{"id": {}}]}', '{"instances": 5, "frame": 1}', "[]", "[" * 9999],
    "keyframes.json": ['{"keyframes": [{"name": "../x"}]}', '{"keyframes": {"a": 1}}', "7", "[" * 9999],
    "metrics.json": ['{"counts": {"images": "many"}}', '{"truth": {"methods": {"x": 3}}}', '{"warnings": {"a": 1}}', "null"],
    "points.ply": ["ply\nelement vertex x\nend_header\n", "", "ply\nformat binary_little_endian 1.0\nend_header\n"],
    "config.yaml": ["- 1\n- 2", "{", "a: [" * 200],
    "labels/view0.png": ["no image", ""],
    "segments/view0.png": ["no image"],
    "segments/view0.json": ["[]", '{"3": 5}'],
    "map.json": ["[]"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in DAMAGE.items() for text in texts])
def test_commands_end_in_words(root, tmp_path, capsys, caplog, name, text):
    truth = tmp_path / "truth"
    truth.mkdir()
    (truth / "view0.png").write_bytes(encode_png(np.ones((48, 64), np.uint16)))
    (root / name).write_text(text)
    commands = (
        ["report", str(root)],
        ["evaluate", str(root), "--truth", str(truth)],
        ["export", str(root), "--format", "ply", "--out", str(tmp_path / "cloud.ply")],
    )
    codes = [main(command) for command in commands]
    said = capsys.readouterr().err
    assert set(codes) <= {0, 1, 2}
    assert "Traceback" not in said
    assert all(line.startswith("seg2d3d ") for line in said.splitlines() if codes != [0, 0, 0] and line)
    assert name in said + caplog.text or name == "segments/view0.png"


def test_a_keyframe_whose_image_is_no_file_is_not_waited_for(root):
    """A pipe or a device would never end."""
    store = MapStore(root)
    (record, *_) = store.read_keyframes()
    document = json.loads((root / "keyframes.json").read_text())
    document["keyframes"][0]["image"] = "/dev/zero"
    (root / "keyframes.json").write_text(json.dumps(document))
    (record, *_) = store.read_keyframes()
    with pytest.raises(DataError, match="is no file"):
        store.read_image(record)


def test_an_export_into_the_map_is_refused(root, capsys):
    """It would be a foreign file there, or take the place of one of the map's."""
    before = (root / "points.ply").read_bytes()
    assert main(["export", str(root), "--format", "ply", "--out", str(root / "points.ply")]) == 2
    assert "choose another --out" in capsys.readouterr().err
    assert (root / "points.ply").read_bytes() == before
