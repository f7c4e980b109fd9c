"""Temporary files and folders: those of killed processes are cleared by the next run, those of living ones never."""

import os
import tempfile
from pathlib import Path

import pytest
from helpers_mapdir import kill, start

from seg2d3d_ros.disk import leftovers


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_a_killed_process_left_is_cleared(temporary):
    code = (
        "import sys, tempfile, time\ntempfile.tempdir = sys.argv[1]\n"
        "from seg2d3d_ros.disk.leftovers import ScratchFolder\n"
        "folder = ScratchFolder()\nprint(folder.name, flush=True)\ntime.sleep(600)\n"
    )
    process = start(code, temporary)
    made = Path(process.stdout.readline().strip())
    (made / "pairs.txt").write_text("half")
    leftovers.clear_scratch()
    assert (made / "pairs.txt").exists(), "its process lives"
    kill(process)
    leftovers.clear_scratch()
    assert not made.exists()


def test_other_files_stay(temporary):
    dead = "seg2d3d_999999999_abc"
    (temporary / "outside").mkdir()
    (temporary / "outside/own.txt").write_text("precious")
    for name in ("seg2d3d_notes", "seg2d3d_999999999", "my_seg2d3d_999999999_x", f"{dead}.d.e"):
        (temporary / name).write_text("precious")
    (temporary / f"{dead}1").symlink_to(temporary / "outside")
    (temporary / f"{dead}2.yaml").write_text("litter")
    with leftovers.ScratchFolder() as mine:
        leftovers.clear_scratch()
        assert Path(mine).is_dir()
    assert not Path(mine).exists()
    names = {path.name for path in temporary.iterdir()}
    assert names == {"outside", "seg2d3d_notes", "seg2d3d_999999999", "my_seg2d3d_999999999_x", f"{dead}.d.e"}
    assert (temporary / "outside/own.txt").read_text() == "precious"


def test_temporary_names_fit_where_the_name_itself_does(tmp_path):
    path = tmp_path / ("x" * 250 + ".png")
    assert len(leftovers.temporary_path(path).name) < 60
    assert leftovers.temporary_path(path).suffix == ".png"
    assert leftovers.is_temporary(leftovers.temporary_path(path).name)
    assert not leftovers.is_temporary(".metrics.json")
    assert not leftovers.abandoned(leftovers.temporary_path(path).name)
    assert leftovers.scratch_prefix() == f"seg2d3d_{os.getpid()}_"
