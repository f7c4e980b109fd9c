"""The command from drives to files: two drives of one street on two days, cut into blocks, against the truth."""

import json
from collections import Counter
from pathlib import Path

import laspy
import numpy as np
import pyarrow.parquet
import pyogrio
import pytest
from helpers_city import DATUM, HOUSE, write_drive

from seg2d3d_ros.city.blocks import block_run
from seg2d3d_ros.city.outputs.opened_city import OpenedCity
from seg2d3d_ros.cli.main import main
from seg2d3d_ros.geometry.wgs84 import GeoPosition, to_enu
from seg2d3d_ros.images import read_labels
from seg2d3d_ros.mapstore.store import MapStore

pytestmark = pytest.mark.timeout(1500)  # two dozen CPU seconds, which crowded machines take their time for
HOUSES = 3
DRIVES = ("monday", "friday")


def command(root: Path, out: str, drives: tuple[str, ...] = DRIVES) -> list[str]:
    words = ["city", *(str(root / drive / "images") for drive in drives)]
    for drive in drives:
        words += ["--segments", str(root / drive / "segments"), "--gps", str(root / drive / "gps.csv")]
        words += ["--camera", str(root / drive / "camera.json")]
    words += ["--label", "building", "--out", str(root / out), "--workers", "0", "--block-keyframes", "20", "--overlap", "4"]
    words += ["--set", "reconstruction.max_features=600", "--set", "association.overlay_width=0"]
    return words


@pytest.fixture(scope="module")
def street(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("street")
    write_drive(root / "monday", np.arange(2.0, 20.0, 1.5), 0.05, HOUSES, 1)
    write_drive(root / "friday", np.arange(2.7, 20.0, 1.5), -0.08, HOUSES, 2)
    return root


@pytest.fixture(scope="module")
def city(street) -> OpenedCity:
    assert main(command(street, "city")) == 0
    return OpenedCity(street / "city")


def test_two_drives_of_one_street_are_one_city_of_blocks(city, street):
    counts = city.index["counts"]
    assert counts["drives"] == 2
    assert counts["blocks"] >= 2
    assert counts["blocks_joined"] == counts["blocks"]
    assert counts["registered"] == counts["keyframes"] == 24
    for block in city.index["blocks"]:
        assert {name.partition("_")[0] for name in block["core"]} == set(DRIVES), "cut by space, not by drive"
        assert (street / "city" / block["folder"] / "report.html").exists()


def test_each_house_has_one_identity_in_all_blocks_and_drives(city, street):
    owners: dict[int, Counter] = {}
    for block in city.placed:
        for item in city.instances(block):
            for seen in item["observations"]:
                drive, _, stem = seen["image"].partition("_")
                segments = read_labels(street / drive / "segments" / f"{stem}.png")
                assert (segments == seen["segment"]).any(), "the masks are those that were given"
                owners.setdefault(item["id"], Counter())[seen["segment"]] += 1  # the masks are the truth
    large = {number: owner for number, owner in owners.items() if sum(owner.values()) >= 3}
    assert all(max(owner.values()) >= 0.9 * sum(owner.values()) for owner in large.values())
    assert sorted(max(owner, key=owner.get) for owner in large.values()) == list(range(1, HOUSES + 1)), "none twice or missing"
    several = [item for block in city.placed for item in city.instances(block) if len(item["blocks"]) > 1]
    assert several
    for item in several:
        assert {seen["image"].partition("_")[0] for seen in item["observations"]} == set(DRIVES)


def test_the_frame_is_that_of_the_positions(city):
    datum = city.frame["datum"]
    origin = to_enu([GeoPosition(*DATUM)], (datum["latitude"], datum["longitude"], datum["altitude"]))[0]
    cameras = np.array([place for block in city.placed for place in city.cameras(block)]) - origin
    assert np.abs(cameras[:, 1]).max() < 0.3, "both drives lie on the line from west to east"
    assert cameras[:, 0].min() == pytest.approx(2.0, abs=0.3)
    assert cameras[:, 0].max() == pytest.approx(19.2, abs=0.6)


def test_a_block_is_an_ordinary_map_for_every_command(city, tmp_path, capsys):
    block = city.folder.find_block("1")
    assert main(["export", str(block), "--format", "ply", "--out", str(tmp_path / "block.ply")]) == 0
    assert main(["report", str(block)]) == 0
    assert "report.html" in capsys.readouterr().out


def test_a_block_is_looked_at_in_the_viewer(city, tmp_path, capsys):
    pytest.importorskip("rerun")
    root, words = str(city.folder.root), ["--save", str(tmp_path / "block.rrd"), "--width", "64"]
    assert main(["view", root, "--block", "1", *words]) == 0
    assert (tmp_path / "block.rrd").stat().st_size > 1000
    assert main(["view", root, "--block", "77", *words]) == 2
    assert "--block 77" in capsys.readouterr().err
    assert main(["view", str(city.folder.find_block("1")), "--block", "1", *words]) == 2
    assert "no city" in capsys.readouterr().err
    assert main(["view", root, *words]) == 2
    assert "city" in capsys.readouterr().err


def test_exports_hold_each_thing_once(city, tmp_path):
    root = city.folder.root
    for name, file in (("laz", "c.laz"), ("gpkg", "c.gpkg"), ("geojson", "c.geojson"), ("ply", "c.ply"), ("parquet", "tables")):
        assert main(["export", str(root), "--format", name, "--out", str(tmp_path / file)]) == 0
    number = city.index["counts"]["instances"]
    assert pyogrio.read_info(tmp_path / "c.gpkg", layer="instances")["features"] == number
    assert pyogrio.read_info(tmp_path / "c.gpkg", layer="cameras")["features"] == 24
    features = json.loads((tmp_path / "c.geojson").read_text())["features"]
    assert sorted(feature["id"] for feature in features) == list(range(1, number + 1))
    assert pyarrow.parquet.read_table(tmp_path / "tables/instances.parquet").num_rows == number
    cloud = laspy.read(tmp_path / "c.laz")
    assert set(np.unique(cloud.instance)) <= set(range(number + 1))
    every = sum(len(MapStore(city.folder.block(name)).read_points()) for name in city.placed)
    assert 0.4 * every < len(cloud) < 0.95 * every, "points of the overlaps are written once"
    houses = np.array([(x - cloud.x.min()) / HOUSE for x in cloud.x[cloud.instance > 0]])
    assert houses.max() > 0.8 * HOUSES


def test_formats_that_are_not_written_in_parts_are_refused_with_the_way_out(city, tmp_path, capsys):
    assert main(["export", str(city.folder.root), "--format", "coco", "--out", str(tmp_path / "c.json")]) == 2
    assert "its blocks are maps" in capsys.readouterr().err


def test_the_overview_links_to_the_blocks(city, capsys):
    assert main(["report", str(city.folder.root)]) == 0
    page = (city.folder.root / "report.html").read_text()
    for block in city.index["blocks"]:
        assert f'href="{block["folder"]}/report.html"' in page
    assert "<svg" in page


def test_nothing_is_made_twice_whatever_the_order_of_the_drives(city, street, monkeypatch, capsys):
    before = {path: path.stat().st_mtime_ns for path in (street / "city/blocks").glob("*/metrics.json")}

    def never(job):
        raise AssertionError(f"{job.name} is made again")

    monkeypatch.setattr(block_run.run_blocks, "__defaults__", (never,))
    assert main(command(street, "city", DRIVES[::-1])) == 0
    assert {path: path.stat().st_mtime_ns for path in (street / "city/blocks").glob("*/metrics.json")} == before
    assert "24 of 24 keyframes" in capsys.readouterr().out


def test_a_folder_with_something_else_is_refused(street, tmp_path, capsys):
    (street / "other").mkdir()
    (street / "other/thesis.txt").write_text("mine")
    assert main(command(street, "other")) == 2
    assert "thesis.txt" in capsys.readouterr().err
    assert (street / "other/thesis.txt").read_text() == "mine"
