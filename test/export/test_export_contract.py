"""What holds for every format of the table: whole or not at all, never into the map or over what is there, and documented."""

import importlib
import json
import runpy
from pathlib import Path

import pytest
from helpers_mapdir import contents as digests
from helpers_mapdir import start
from helpers_odd_map import odd_map

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.export.contents import NOTHING_FOUND
from seg2d3d_ros.export.formats import FORMATS
from seg2d3d_ros.mapstore.store import MapStore

ROOT = Path(__file__).parents[2]
SUFFIX = {"laz": ".laz", "copc": ".copc.laz"}
FOLDERS = [name for name, item in FORMATS.items() if item.folder]
LIMIT = 48
"""Bytes of a file beyond which the disk is full; no format has files that are all as small."""


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> MapStore:
    return odd_map(tmp_path_factory.mktemp("odd"))


def require(name: str) -> None:
    """Skip where a library is missing that writes the format."""
    for library in FORMATS[name].needs:
        pytest.importorskip(library)


def target(folder: Path, name: str) -> Path:
    return folder / f"{name}{SUFFIX.get(name, '')}"


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("name", FORMATS)
def test_a_map_of_odd_names_is_written_and_stays_as_it_was(name, store, tmp_path, capsys):
    require(name)
    before = digests(store.root)
    out = target(tmp_path, name)
    assert main(["export", str(store.root), "--format", name, "--out", str(out)]) == 0
    assert digests(store.root) == before
    assert [path.name for path in tmp_path.iterdir()] == [out.name], "nothing temporary is left"
    assert out.is_dir() == FORMATS[name].folder
    said = capsys.readouterr()
    assert said.out.startswith(f"{out}: ")
    assert "Traceback" not in said.err


@pytest.mark.parametrize("name", FORMATS)
def test_a_map_without_instances_and_place_is_written_or_refused_in_words(name, tmp_path, capsys):
    require(name)
    store = odd_map(tmp_path, kind="arbitrary", empty=True)
    out = target(tmp_path / "out", name)
    status = main(["export", str(store.root), "--format", name, "--out", str(out)])
    assert status in (0, 1)
    assert out.exists() == (status == 0)
    said = capsys.readouterr().err
    assert "no object was found when the map was made" in said or (status and "map" in said)
    if FORMATS[name].instances:
        assert status == 1, "an empty file is no success"


def test_a_map_without_instances_that_has_a_place_gives_its_points_and_cameras_and_says_so(tmp_path, capsys):
    require("laz")
    store = odd_map(tmp_path, empty=True)
    assert main(["export", str(store.root), "--format", "laz", "--out", str(tmp_path / "cloud.laz")]) == 0
    assert (tmp_path / "cloud.laz").exists()
    assert NOTHING_FOUND.cause in capsys.readouterr().err


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_written_into_the_map(name, store, capsys):
    before = digests(store.root)
    assert main(["export", str(store.root), "--format", name, "--out", str(target(store.root / "labels", name))]) == 2
    assert digests(store.root) == before
    assert "the map's own files" in capsys.readouterr().err


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_holds_something_is_refused(name, store, tmp_path, capsys):
    require(name)
    (tmp_path / "there").mkdir()
    (tmp_path / "there/mine.txt").write_text("mine")
    assert main(["export", str(store.root), "--format", name, "--out", str(tmp_path / "there")]) == 2
    assert below(tmp_path) == ["there", "there/mine.txt"]
    assert "not empty" in capsys.readouterr().err


FULL_DISK = f"""
import json, os, resource, signal, sys
from pathlib import Path
import numpy, scipy.spatial, cv2
from seg2d3d_ros.cli.main import main
import seg2d3d_ros.export.contents
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({LIMIT}, resource.RLIM_INFINITY))
root, *outs = map(Path, sys.argv[1:])
statuses = {{}}
for out in outs:
    name = out.name.partition(".")[0]
    process = os.fork()
    if process == 0:
        os._exit(main(["export", str(root), "--format", name, "--out", str(out)]))
    statuses[name] = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
print("STATUSES " + json.dumps(statuses))
"""


def test_a_full_disk_leaves_nothing_and_is_said(store, tmp_path):
    for name in FORMATS:
        require(name)
    folder = tmp_path / "out"
    folder.mkdir()
    before = digests(store.root)
    process = start(FULL_DISK, store.root, *(target(folder, name) for name in FORMATS))
    out, err = process.communicate(timeout=300)
    said = [line for line in out.splitlines() if line.startswith("STATUSES ")]
    assert said, err
    assert json.loads(said[0].removeprefix("STATUSES ")) == dict.fromkeys(FORMATS, 1), err
    assert err.count("cannot be written") == len(FORMATS), err
    assert "Traceback" not in err
    assert below(folder) == []
    assert digests(store.root) == before


def test_every_module_is_there_and_has_a_format():
    modules = {
        f"{folder}.{path.stem}"
        for folder in ("annotations", "clouds", "gis", "poses")
        for path in (ROOT / "seg2d3d_ros/export" / folder).glob("*_writer.py")
    }
    assert modules == {item.module for item in FORMATS.values()}
    for item in FORMATS.values():
        assert callable(importlib.import_module(f"seg2d3d_ros.export.{item.module}").export)


def test_the_table_of_formats_in_the_documentation_is_up_to_date():
    document = (ROOT / "docs/exports.md").read_text()
    drawing = runpy.run_path(str(ROOT / "scripts/draw_formats.py"))
    assert document == drawing["drawn"](document), "stale; mend: python scripts/draw_formats.py"
    assert [name for name in FORMATS if f"| `{name}` |" not in document] == []


def test_the_help_names_every_format(capsys):
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    text = capsys.readouterr().out
    assert [name for name in FORMATS if f"  {name} " not in text] == []
