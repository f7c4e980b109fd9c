"""What damaged files and full disks brought to light, one test for each: a clear error, or the rest without the bad item."""

import json
import struct
import tempfile

import numpy as np
import pytest
from helpers_exported_map import exported_map

from seg2d3d_ros.disk.leftovers import ScratchFolder
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.mapstore.journal import IdentityJournal


def test_a_laz_file_that_announces_more_chunks_than_it_can_hold(tmp_path):
    """Its decoder would make room for them, and end the process where there is not so much memory."""
    laspy = pytest.importorskip("laspy")
    pytest.importorskip("lazrs")
    from seg2d3d_ros.learning.cloud_reading import read_cloud_file

    path, cloud = tmp_path / "a.laz", laspy.LasData(laspy.LasHeader(point_format=7, version="1.4"))
    cloud.x = cloud.y = cloud.z = np.arange(100.0)
    cloud.write(path)
    assert len(read_cloud_file(path).xyz) == 100
    content = bytearray(path.read_bytes())
    (begin,) = struct.unpack_from("<I", content, 96)
    (table,) = struct.unpack_from("<q", content, begin)
    for place, value, reason in (
        (table + 4, 1_429_889_036, "announces 1429889036 chunks"),
        (begin, 1 << 30, "not where it should be"),
        (247, 1 << 31, "announces 2147483648 points"),
        (100, 1 << 31, "announces 2147483648 variable length records"),
        (243, 1 << 31, "announces 2147483648 extended records"),
    ):
        damaged = content.copy()
        struct.pack_into("<I", damaged, place, value)
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=rf"a\.laz: .*{reason}.*write the cloud again"):
            read_cloud_file(path)


def test_one_broken_shape_does_not_lose_a_register(tmp_path):
    pytest.importorskip("pyogrio")
    pytest.importorskip("shapely")
    pyproj = pytest.importorskip("pyproj")
    from seg2d3d_ros.comparison.register_file import REGISTER_SKIPPED, read_register

    square = [[13.0, 55.0], [13.001, 55.0], [13.001, 55.001], [13.0, 55.0]]
    shapes = [square, [*square[:3], [13.5, 55.5]]]  # the second ring is not closed
    features = [{"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [s]}} for s in shapes]
    path = tmp_path / "register.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    findings = Findings()
    assert len(read_register(path, pyproj.CRS.from_epsg(32633), findings)) == 1
    assert [(f.kind, f.count) for f in findings.list()] == [(REGISTER_SKIPPED, 1)]


def test_a_number_without_end_in_the_journal_costs_its_line(tmp_path):
    lines = ['{"next": 4, "images": {"a": {"1": 3}}}', '{"next": 5, "images": {"b": {"1": 1e999}}}']
    (tmp_path / ".identity.jsonl").write_text("\n".join(lines) + "\n")
    assert IdentityJournal(tmp_path).read() == (4, {"a": {1: 3}})


def test_a_given_model_whose_frames_name_images_that_are_not_there(tmp_path):
    from seg2d3d_ros.colmap import pycolmap
    from seg2d3d_ros.reconstruction.given_model import model_poses

    store = exported_map(tmp_path / "map")
    folder = tmp_path / "text"
    folder.mkdir()
    pycolmap.Reconstruction(store.root / "sparse/0").write_text(folder)
    assert len(model_poses(folder)) == 6
    lines = (folder / "images.txt").read_text().splitlines()
    first = next(k for k, line in enumerate(lines) if not line.startswith("#"))
    (folder / "images.txt").write_text("\n".join(lines[:first] + lines[first + 2 :]) + "\n")
    with pytest.raises(DataError, match=r"text: COLMAP cannot read the model"):
        model_poses(folder)


def test_a_full_folder_for_temporary_files_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def library():
        with ScratchFolder() as folder:
            raise ValueError(f"Check failed: (file).is_open()\n Could not open {folder}/0/rigs.bin")

    def mistake():
        with ScratchFolder():
            raise ValueError("of ours")

    with pytest.raises(DataError, match=rf"^{tmp_path}/\S+: temporary files cannot be written \(Check failed.*TMPDIR"):
        library()
    with pytest.raises(ValueError, match="of ours"):
        mistake()
    assert not list(tmp_path.iterdir())
