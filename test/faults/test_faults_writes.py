"""A small part of ``benchmarks/write_faults.py``, and what it found: disks that run full or fail while something is written."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seg2d3d_ros.disk.atomic import replacing
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, PointWriter, read_points

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
from write_faults import End, judge, lacks  # noqa: E402


@pytest.fixture
def nearly_full():
    """Files may have 1000 bytes in this process: the system refuses more, as a full disk does."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, former[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, former)


@pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler")
@pytest.mark.parametrize(
    ("jobs", "way", "least"), [("export gpkg,export laz,report", "once-full", 15), ("live stores", "full", 20)]
)
def test_each_kind_of_call_may_fail(tmp_path, jobs, way, least):
    told = tmp_path / "told.json"
    command = [sys.executable, BENCHMARKS / "write_faults.py", "--jobs", jobs, "--ways", way, "--each", "1", "--json", told]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == 0, f"{done.stdout[-3000:]} {done.stderr[-1500:]}"
    rows = json.loads(told.read_text())
    assert {row["job"] for row in rows} == set(jobs.split(","))
    assert sum(row["tried"] for row in rows) >= least
    assert all(row["refused"] + row["told"] for row in rows), "no fault was noticed"


def test_what_is_wrong_after_a_fault_is_seen():
    """The judge itself."""
    refused = "seg2d3d export: /out/a.ply: cannot be written (No space left on device); free space or choose another folder\n"
    assert judge(End(1, refused, 1, ""), complete=False, words="") == []
    assert judge(End(1, refused * 2, 1, ""), complete=False, words="")
    assert judge(End(1, refused.replace("/out/a.ply: ", ""), 1, ""), complete=False, words="")
    assert judge(End(1, refused.partition(";")[0], 1, ""), complete=False, words="")
    assert judge(End(1, "", 1, ""), complete=False, words="")
    assert judge(End(-11, refused, 1, ""), complete=False, words="")
    assert judge(End(1, "Traceback (most recent call last)\n" + refused, 1, ""), complete=False, words="")
    assert judge(End(0, "", 1, ""), complete=True, words="") == []
    assert judge(End(0, "", 1, ""), complete=False, words="")
    note = "note: images left out: 1 (a)\n"
    assert judge(End(0, note, 1, ""), complete=False, words="") == []
    assert judge(End(0, note, 1, ""), complete=False, words=note), "that was said without the fault, too"
    assert lacks({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": ""}) == ["b", "c"]


def test_a_library_that_cannot_write_names_the_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "things.gpkg"
    path.write_text("former")

    def write():
        with replacing(path, RuntimeError) as temporary:
            for ending in ("", "-journal", "-wal"):
                Path(f"{temporary}{ending}").write_text("half")
            raise RuntimeError(f"no table\n in {temporary}")

    with pytest.raises(DataError, match=r"^\S+/things\.gpkg: cannot be written \(no table in \S+/things\.gpkg\); free space"):
        write()
    assert path.read_text() == "former"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(RuntimeError), replacing(path):  # whose errors are not announced is a mistake of ours
        raise RuntimeError


def test_an_error_in_words_names_the_file_that_was_wanted(tmp_path):
    with pytest.raises(DataError) as told, replacing(tmp_path / "a.ply") as temporary:
        raise DataError(f"{temporary}: no points; give some")
    assert str(told.value) == f"{tmp_path / 'a.ply'}: no points; give some"


@pytest.mark.parametrize("points", [60, 2_000_000 // CLOUD_POINT.itemsize])
def test_a_cloud_that_does_not_fit_leaves_the_former_one(tmp_path, nearly_full, points):
    """Whether the disk is full when points are written, or not before the last ones are flushed."""
    path = tmp_path / "cloud.ply"

    def write(count):
        with PointWriter(path) as writer:
            writer.write(np.zeros(count, CLOUD_POINT))

    write(3)
    with pytest.raises(DataError, match=r"cloud\.ply: cannot be written \(File too large\); free space"):
        write(points)
    assert len(read_points(path, CLOUD_POINT)) == 3
    assert list(tmp_path.iterdir()) == [path]
