"""Clouds, each read by another library than the one that wrote it."""

import itertools
import json
import struct

import numpy as np
import numpy.lib.recfunctions as rfn
import pytest
from helpers_exported_map import HOUSES, codes_of, contents_of, exported_map

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.export.clouds import copc_writer, e57_writer, laz_writer, ply_writer, tiles_writer
from seg2d3d_ros.export.clouds.asprs import CLASS_WITHOUT_CODE, code_of, parse_codes
from seg2d3d_ros.export.clouds.octree import GRID, octree_nodes, root_cube
from seg2d3d_ros.export.contents import ELSEWHERE, xyz_of
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, read_points, write_points

MILLIMETRE = 1e-3


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return exported_map(tmp_path_factory.mktemp("export") / "map")


def sorted_rows(*columns):
    rows = np.column_stack(columns)
    return rows[np.lexsort(rows.T[::-1])]


@pytest.mark.parametrize("suffix", ["laz", "las"])
def test_laz_survives_in_copclib_to_the_millimetre(store, tmp_path, suffix):
    pytest.importorskip("laspy")
    copc = pytest.importorskip("copclib")
    contents, findings = contents_of(store, crs="EPSG:25833")
    path = tmp_path / f"cloud.{suffix}"
    assert "800 points" in laz_writer.export(contents, path)
    points = contents.points()
    expected = contents.coordinates.transform(xyz_of(points))
    if suffix == "laz":
        reader = copc.LazReader(str(path))
        found = reader.GetPoints()
        place = np.column_stack([found.x, found.y, found.z])
        order = np.arange(len(points))
        np.testing.assert_allclose(place[order], expected, atol=MILLIMETRE)
        assert set(found.classification) == {1, 6}
        assert np.array_equal(found.red, points["red"].astype(int) * 257)
        extra = np.array([list(found[k].extra_bytes) for k in range(len(points))], np.uint8)
        assert np.array_equal(np.ascontiguousarray(extra[:, :4]).view("<i4").ravel(), points["instance"])
        assert np.array_equal(np.ascontiguousarray(extra[:, 4:]).view("<f4").ravel(), points["confidence"])
    data = path.read_bytes()
    assert data[:4] == b"LASF"
    assert data[24:26] == b"\x01\x04"
    assert b"ETRS89 / UTM zone 33N" in data
    assert codes_of(findings) == [CLASS_WITHOUT_CODE.code], "a lamp post has no ASPRS class"


def test_copc_is_read_by_laspy_whole_and_in_parts(store, tmp_path):
    pytest.importorskip("copclib")
    laspy = pytest.importorskip("laspy")
    pytest.importorskip("lazrs")
    contents, _ = contents_of(store, class_codes={"lamp post": 64})
    path = tmp_path / "cloud.copc.laz"
    copc_writer.export(contents, path)
    points = contents.points()
    expected = contents.coordinates.transform(xyz_of(points))
    whole = laspy.read(path)
    assert whole.header.parse_crs().to_epsg() == 32633
    assert whole.header.number_of_points_by_return[0] == len(points)
    got = sorted_rows(whole.x, whole.y, whole.z, whole.instance, whole.confidence, whole.red)
    wanted = sorted_rows(expected, points["instance"], points["confidence"], points["red"].astype(int) * 257)
    np.testing.assert_allclose(got, wanted, atol=MILLIMETRE)
    assert set(np.unique(whole.classification[whole.instance == 3])) == {64}
    with laspy.CopcReader.open(path) as reader:
        middle = np.median(expected, axis=0)
        box = laspy.copc.Bounds(middle - 20.0, middle + 20.0)
        inside = (np.abs(expected - middle) <= 20.0).all(axis=1)
        assert len(reader.query(box)) == inside.sum() > 0


def test_e57_is_read_by_a_library_in_rust(store, tmp_path):
    pytest.importorskip("pye57")
    e57 = pytest.importorskip("e57")
    contents, _ = contents_of(store)
    path = tmp_path / "cloud.e57"
    e57_writer.export(contents, path)
    points = contents.points()
    found = e57.read_points(str(path))
    got = sorted_rows(np.asarray(found.points))
    np.testing.assert_allclose(got, sorted_rows(contents.coordinates.transform(xyz_of(points))), atol=2e-3)
    text = e57.raw_xml(str(path))
    assert "building 1" in text
    assert "lamp post 3" in text
    assert "unlabelled" in text
    assert "UTM zone 33N" in text
    with pytest.raises(DataError, match="degrees"):
        e57_writer.export(contents_of(store, crs="EPSG:4326")[0], path)


def read_glb(path):
    """JSON and binary chunk of a glTF binary, by the specification."""
    data = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def test_tiles_hold_every_point_once_where_the_transform_puts_it_with_its_attributes(store, tmp_path):
    pygltflib = pytest.importorskip("pygltflib")
    contents, _ = contents_of(store, crs="EPSG:4978")
    tiles_writer.export(contents, tmp_path / "tiles")
    tileset = json.loads((tmp_path / "tiles/tileset.json").read_text())
    assert tileset["asset"]["version"] == "1.1"
    earth_from_map = np.array(tileset["root"]["transform"]).reshape(4, 4).T
    found, names = [], set()

    def walk(tile, error):
        assert tile["geometricError"] <= error
        path = tmp_path / "tiles" / tile["content"]["uri"]
        assert pygltflib.GLTF2.load_binary(str(path)).meshes[0].primitives[0].mode == 0
        document, binary = read_glb(path)
        views = document["bufferViews"]

        def blob(view, kind):
            start = views[view]["byteOffset"]
            return np.frombuffer(binary[start : start + views[view]["byteLength"]], kind)

        place = blob(0, "<f4").reshape(-1, 3).astype(float) + document["nodes"][0]["translation"]
        upright = np.column_stack([place[:, 0], -place[:, 2], place[:, 1]])  # glTF's y is the map's z
        box = np.array(tile["boundingVolume"]["box"])
        assert (np.abs(upright - box[:3]) <= box[[3, 7, 11]] + 1e-3).all()
        row, ids, classes, offsets = blob(2, "<u2")[::2], blob(3, "<i4"), blob(5, "u1").tobytes(), blob(6, "<u4")
        names.update(classes[a:b].decode() for a, b in itertools.pairwise(offsets))
        found.append(np.column_stack([upright, ids[row]]))
        for child in tile.get("children", ()):
            walk(child, tile["geometricError"])

    walk(tileset["root"], np.inf)
    got, points = np.concatenate(found), contents.points()
    assert names == {"building", "lamp post", ""}
    np.testing.assert_allclose(sorted_rows(got), sorted_rows(xyz_of(points), points["instance"]), atol=MILLIMETRE)
    on_earth = got[:, :3] @ earth_from_map[:3, :3].T + earth_from_map[:3, 3]
    np.testing.assert_allclose(on_earth, contents.coordinates.transform(got[:, :3]), atol=MILLIMETRE)


def test_the_octree_holds_every_point_once_in_its_own_cube_and_thins_its_upper_levels():
    rng = np.random.default_rng(3)
    xyz = rng.uniform(0, 1, (60_000, 3)) * [60.0, 30.0, 8.0] + [4e5, 6e6, 10.0]
    center, half = root_cube(xyz)
    seen = np.zeros(len(xyz), int)
    for (level, *place), places in octree_nodes(xyz, center, half):
        seen[places] += 1
        size = half / 2**level
        middle = center - half + (2 * np.array(place) + 1) * size
        assert (np.abs(xyz[places] - middle) <= size * (1 + 1e-6)).all()
        if level == 0:
            cell = np.floor((xyz[places] - (middle - size)) / (2 * size) * GRID)
            assert len(np.unique(cell, axis=0)) == len(places) < len(xyz)
    assert (seen == 1).all()


def test_ply_colours_instances_and_keeps_only_those_that_were_chosen(store, tmp_path):
    contents, _ = contents_of(store, crs="local", ids=[2])
    ply_writer.export(contents, tmp_path / "cloud.ply")
    assert set(np.unique(read_points(tmp_path / "cloud.ply")["instance"])) == {0, 2}


def test_another_cloud_is_taken_or_the_way_to_it_is_told(store, tmp_path):
    contents, _ = contents_of(store, crs="local", cloud="dense")
    with pytest.raises(DataError, match="--densify"):
        ply_writer.export(contents, tmp_path / "cloud.ply")
    points = read_points(store.root / "points.ply")[:50]
    write_points(store.root / "dense.ply", rfn.repack_fields(points[list(CLOUD_POINT.names)]))
    try:
        assert ply_writer.export(contents, tmp_path / "cloud.ply").startswith("50 points")
    finally:
        (store.root / "dense.ply").unlink()


def test_points_of_other_models_are_left_out_and_told(tmp_path):
    store = exported_map(tmp_path / "map", component=1)
    everything = store.read_points()
    everything["point_id"][everything["instance"] == HOUSES] += 10_000  # of a model that is not the largest
    write_points(store.root / "points.ply", everything)
    contents, findings = contents_of(store)
    points = contents.points()
    assert HOUSES not in points["instance"]
    assert len(points) == (everything["instance"] != HOUSES).sum()
    assert codes_of(findings) == [ELSEWHERE.code]


@pytest.mark.parametrize(
    ("name", "code"),
    [("building", 6), ("Brick building", 6), ("houses", 6), ("tree", 5), ("shop front", None), ("road bridge", 17)],
)
def test_classes_by_their_words(name, code):
    assert code_of(name, {}) == code


def test_codes_of_the_user_come_first_and_nonsense_is_refused():
    assert code_of("building", parse_codes("Building=70, shop front=64")) == 70
    for wrong in ("building", "building=x", "building=256", "=6"):
        with pytest.raises(UsageError, match="NAME=CODE"):
            parse_codes(wrong)


def test_names_that_do_not_fit_the_format_are_refused(store, tmp_path):
    pytest.importorskip("laspy")
    for writer in (laz_writer, copc_writer):
        with pytest.raises(UsageError, match="laz"):
            writer.export(contents_of(store)[0], tmp_path / "cloud.txt")


def test_the_command_says_what_is_refused_and_tells_what_was_doubted(store, tmp_path, capsys):
    pytest.importorskip("laspy")
    out = ["--out", str(tmp_path / "x.laz")]
    assert main(["export", str(store.root), "--format", "laz", *out]) == 0
    spoken = capsys.readouterr()
    assert "800 points" in spoken.out
    assert "EPSG:32633" in spoken.out
    assert "note: classes without an ASPRS code" in spoken.err
    for options, words in (
        (["--format", "ply", "--crs", "EPSG:25833"], "own frame"),
        (["--format", "geojson", "--crs", "EPSG:25833"], "EPSG:4326"),
        (["--format", "gpkg", "--cloud", "dense"], "no cloud"),
        (["--format", "laz", "--instances", "1,99"], "no instance 99"),
        (["--format", "laz", "--instances", "one"], "3,7,12"),
    ):
        assert main(["export", str(store.root), *options, *out]) == 2
        assert words in capsys.readouterr().err
