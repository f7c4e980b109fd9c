"""Tables with places, each read by another library than the one that wrote it."""

import csv
import json
import sqlite3

import cv2
import numpy as np
import pytest
from helpers_exported_map import COVARIANCE, HOUSES, codes_of, contents_of, exported_map

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.export.contents import ELSEWHERE, IMAGES_WITHOUT_LABELS
from seg2d3d_ros.export.gis import (
    cityjson_writer,
    geojson_writer,
    geoparquet_writer,
    gpkg_writer,
    oriented_imagery_writer,
    panoramax_writer,
    parquet_writer,
)
from seg2d3d_ros.export.gis.features import WITHOUT_PLACE, instance_table, moment, observation_table

shapely = pytest.importorskip("shapely")
GPKG_HEADER = 40
"""Bytes of a GeoPackage geometry before its well-known binary: with an envelope of x and y."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return exported_map(tmp_path_factory.mktemp("export") / "map")


def corners_of(item) -> np.ndarray:
    """(4, 2) of a box's base, by hand."""
    angle = 2 * np.arcsin(item["box3d"]["quaternion_xyzw"][2])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    half = np.array(item["box3d"]["size"][:2]) / 2
    return np.array(item["box3d"]["center"][:2]) + (np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half) @ turn.T


def test_geopackage_is_plain_sqlite_with_three_layers(store, tmp_path):
    pytest.importorskip("pyogrio")
    contents, findings = contents_of(store, crs="local")
    assert "4 instances, 6 cameras" in gpkg_writer.export(contents, tmp_path / "map.gpkg")
    assert codes_of(findings) == [WITHOUT_PLACE.code]
    with sqlite3.connect(tmp_path / "map.gpkg") as base:
        assert {row[0] for row in base.execute("select table_name from gpkg_contents")} == {
            "instances",
            "cameras",
            "observations",
        }
        rows = base.execute(
            "select id, class, score, height, views, best_image, var_e, var_n, cov_en, geom from instances"
        ).fetchall()
        assert [row[0] for row in rows] == [1, 2, 3, 4]
        assert rows[2][1] == "lamp post"
        assert rows[0][2] == 0.6
        assert rows[0][3] == 7.0
        assert rows[1][6:9] == (COVARIANCE[0][0], COVARIANCE[1][1], COVARIANCE[0][1])
        assert rows[0][6] is None
        shape = shapely.from_wkb(rows[0][9][GPKG_HEADER:])
        assert shape.exterior.is_ccw
        assert shape.equals_exact(shapely.Polygon(corners_of(contents.instances[0])), 1e-9)
        assert rows[3][9] is None
        seen = base.execute("select count(*), min(left), max(recovered) from observations where instance = 1").fetchone()
        assert seen[0] == len(contents.instances[0]["observations"])
        assert seen[2] == 0
        cameras = base.execute("select image, heading, pitch, roll, time from cameras order by image").fetchall()
        assert {round(row[1]) for row in cameras if row[0].startswith("left")} == {0}, "these look north"
        assert {round(row[1]) for row in cameras if row[0].startswith("right")} == {180}
        assert max(abs(row[2]) + abs(row[3]) for row in cameras) < 1e-6


def test_geojson_has_longitude_and_latitude_as_gdal_reads_it(store, tmp_path):
    raw = pytest.importorskip("pyogrio.raw")
    pyproj = pytest.importorskip("pyproj")
    contents, _ = contents_of(store, crs="EPSG:4326")
    geojson_writer.export(contents, tmp_path / "map.geojson")
    meta, _, shapes, columns = raw.read(tmp_path / "map.geojson")
    assert meta["crs"] == "EPSG:4326"
    fields = dict(zip(meta["fields"], columns, strict=True))
    assert fields["class"].tolist() == ["building", "building", "lamp post", "building"]
    utm = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True)
    flat = shapely.transform(shapely.from_wkb(shapes[0]), lambda xy: np.column_stack(utm.transform(*xy.T)))
    expected = instance_table(contents_of(store)[0]).shapes[0][:, :2]
    assert flat.equals_exact(shapely.Polygon(expected), 2e-4)
    assert shapes[3] is None


def test_geoparquet_and_parquet_are_read_by_duckdb(store, tmp_path):
    pytest.importorskip("pyarrow")
    duckdb = pytest.importorskip("duckdb")
    pyproj = pytest.importorskip("pyproj")
    contents, _ = contents_of(store)
    geoparquet_writer.export(contents, tmp_path / "map.parquet")
    base = duckdb.connect()
    geo = base.execute(f"select value from parquet_kv_metadata('{tmp_path}/map.parquet') where key = 'geo'").fetchone()[0]
    column = json.loads(geo)["columns"]["geometry"]
    assert pyproj.CRS.from_json_dict(column["crs"]).to_epsg() == 32633
    assert column["encoding"] == "WKB"
    rows = base.execute(f"select id, var_n, geometry from read_parquet('{tmp_path}/map.parquet')").fetchall()
    shape = shapely.from_wkb(bytes(rows[0][2]))
    assert shape.equals_exact(shapely.Polygon(instance_table(contents).shapes[0][:, :2]), 1e-9)
    every = [ring[:, :2] for ring in instance_table(contents).shapes if ring is not None]
    np.testing.assert_allclose(column["bbox"][:2], np.concatenate(every).min(axis=0))
    assert rows[1][1] == COVARIANCE[1][1]
    assert rows[0][1] is None

    parquet_writer.export(contents, tmp_path / "tables")
    count = "select count(*) from read_parquet('{}/tables/{}.parquet')"
    assert base.execute(count.format(tmp_path, "points")).fetchone()[0] == 800
    assert base.execute(count.format(tmp_path, "observations")).fetchone()[0] == len(observation_table(contents))
    x, y, z = base.execute(f"select x, y, z from read_parquet('{tmp_path}/tables/instances.parquet') where id = 2").fetchone()
    middle = contents.coordinates.transform(np.array([contents.instances[1]["box3d"]["center"]]))[0]
    np.testing.assert_allclose([x, y, z], middle, atol=1e-9)
    with pytest.raises(Exception, match="not empty"):
        parquet_writer.export(contents, tmp_path / "tables")


def by_cjio():
    """Its module. When it is imported it makes Python's json round every number to six digits, for the whole process."""
    encoder = json.encoder.c_make_encoder
    module = pytest.importorskip("cjio.cityjson")
    json.encoder.c_make_encoder = encoder
    vars(json.encoder).pop("float", None)
    assert json.dumps(1 / 3, indent=1) == repr(1 / 3)
    return module


def test_cityjson_solids_are_closed_outward_and_as_large_as_their_boxes(store, tmp_path):
    contents, _ = contents_of(store, crs="EPSG:25833")
    assert "3 of them with a solid" in cityjson_writer.export(contents, tmp_path / "map.city.json")
    model = json.loads((tmp_path / "map.city.json").read_text())
    cityjson = by_cjio()
    with (tmp_path / "map.city.json").open() as file:
        assert len(cityjson.reader(file).j["CityObjects"]) == 4
    assert model["version"] == "2.0"
    assert model["metadata"]["referenceSystem"].endswith("EPSG/0/25833")
    assert model["CityObjects"]["instance-3"]["type"] == "CityFurniture"
    vertices = np.array(model["vertices"]) * model["transform"]["scale"] + model["transform"]["translate"]
    for item in contents.instances[:3]:
        (shell,) = model["CityObjects"][f"instance-{item['id']}"]["geometry"][0]["boundaries"]
        edges = [(a, b) for (face,) in shell for a, b in zip(face, face[1:] + face[:1], strict=True)]
        assert sorted(edges) == sorted((b, a) for a, b in edges), "each edge once in each direction: closed, and facing one way"
        volume = 0.0
        for (face,) in shell:
            a, b, c, d = vertices[face] - vertices[0]
            volume += (np.dot(a, np.cross(b, c)) + np.dot(a, np.cross(c, d))) / 6
        assert volume == pytest.approx(np.prod(item["box3d"]["size"]), rel=2e-3)
    with pytest.raises(DataError, match="degrees"):
        cityjson_writer.export(contents_of(store, crs="EPSG:4326")[0], tmp_path / "map.city.json")


def test_the_oriented_imagery_table_points_where_the_photographs_look(store, tmp_path):
    contents, _ = contents_of(store)
    oriented_imagery_writer.export(contents, tmp_path / "images.csv")
    with (tmp_path / "images.csv").open() as file:
        rows = list(csv.DictReader(file))
    model = contents.models[0]
    places = contents.coordinates.transform(model.centers)
    for row, place, pose in zip(rows, places, model.pose, strict=True):
        np.testing.assert_allclose([float(row[axis]) for axis in "XYZ"], place, atol=1e-6)
        heading, pitch = np.radians([float(row["CameraHeading"]), float(row["CameraPitch"])])
        axis = [np.sin(heading) * np.sin(pitch), np.cos(heading) * np.sin(pitch), -np.cos(pitch)]  # pitch 0 = straight down
        np.testing.assert_allclose(axis, pose.rotation[2], atol=1e-5)
        assert float(row["HorizontalFieldOfView"]) == pytest.approx(2 * np.degrees(np.arctan(240 / 300)), abs=1e-3)
        shown = {item["id"] for item in contents.instances if row["Name"] in {o["image"] for o in item["observations"]}}
        assert {int(word) for word in row["Instances"].split()} == shown
        assert row["SRS"] == "32633"


def test_panoramax_shapes_cover_the_masks(store, tmp_path):
    contents, findings = contents_of(store, crs="local")
    name = next(iter(contents.records))
    hidden = store.label_path(name).rename(store.root / "elsewhere.png")
    try:
        panoramax_writer.export(contents, tmp_path / "map.json")
    finally:
        hidden.rename(store.label_path(name))
    assert codes_of(findings) == [IMAGES_WITHOUT_LABELS.code]
    pictures = json.loads((tmp_path / "map.json").read_text())["pictures"]
    assert name not in {picture["file"].removesuffix(".jpg") for picture in pictures}
    for picture in pictures:
        labels = store.read_labels(picture["file"].removesuffix(".jpg"))
        drawn = np.zeros_like(labels)
        for annotation in picture["annotations"]:
            tags = {tag["key"]: tag["value"] for tag in annotation["semantics"]}
            ring = np.array(annotation["shape"]["coordinates"][0])
            corners = np.column_stack([ring[:, 0], labels.shape[0] - ring[:, 1]]) - 0.5
            cv2.fillPoly(drawn, [np.rint(corners).astype(np.int32)], int(tags["seg2d3d|instance"]))
            lamp = tags["seg2d3d|instance"] == "3"
            assert ("osm|building" in tags) != lamp
            assert (tags.get("seg2d3d|class") == "lamp post") == lamp
        assert ((drawn == labels) | (labels == 0))[labels > 0].mean() > 0.98
        assert (drawn == labels).mean() > 0.98


def test_instances_of_other_models_are_left_out_and_told(tmp_path):
    store = exported_map(tmp_path / "map", component=1)
    contents, findings = contents_of(store)
    assert HOUSES not in instance_table(contents).columns["id"]
    assert codes_of(findings) == [ELSEWHERE.code]


def test_an_empty_choice_gives_empty_layers(store, tmp_path):
    raw = pytest.importorskip("pyogrio.raw")
    contents, _ = contents_of(store, ids=[])
    gpkg_writer.export(contents, tmp_path / "map.gpkg")
    assert len(raw.read(tmp_path / "map.gpkg", layer="instances")[2]) == 0
    geojson_writer.export(contents_of(store, ids=[], crs="EPSG:4326")[0], tmp_path / "map.geojson")
    cityjson_writer.export(contents, tmp_path / "map.city.json")
    assert json.loads((tmp_path / "map.city.json").read_text())["CityObjects"] == {}


def test_moments_are_in_utc_and_counters_are_none():
    assert moment(1_402_922_358_641_000_000).isoformat() == "2014-06-16T12:39:18.641000+00:00"
    assert moment(12_000_000_005) is None
