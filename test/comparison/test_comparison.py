"""A map against a register of which everything is known: what is matched, moved, missing, new, and what nobody can say."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers_exported_map import DATUM, exported_map

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.comparison.compared_things import ComparedThing, front, outline_samples
from seg2d3d_ros.comparison.comparing import NOTHING_COMMON, SIGMAS, WHOLE_MAP_OFF, _sigma, compare_map
from seg2d3d_ros.comparison.pairing import match
from seg2d3d_ros.comparison.register_file import REGISTER_SKIPPED, read_register
from seg2d3d_ros.comparison.sight import in_view, reach
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.export.gis.features import WITHOUT_PLACE
from seg2d3d_ros.findings import Findings

shapely = pytest.importorskip("shapely")
pytest.importorskip("pyogrio")
pyproj = pytest.importorskip("pyproj")


def register_thing(name: str, *box: float) -> ComparedThing:
    shape = shapely.box(*box)
    return ComparedThing(name, "", shape, outline_samples(shape))


def facade(name: str, left: float, right: float, y: float, covariance=None) -> ComparedThing:
    """A front at y that is seen from the south."""
    ring = np.array([[left, y, 0], [right, y, 0], [right, y + 1, 0], [left, y + 1, 0], [left, y, 0.0]])
    edge = front(ring, np.array([(left + right) / 2, -5.0, 0]))[:, :2]
    return ComparedThing(name, "house", shapely.Polygon(ring[:, :2]), edge, covariance)


ROW = [register_thing(f"plot {k}", 10 * k, 0, 10 * k + 10, 12) for k in range(8)]
"""Eight houses wall to wall along a street at y < 0."""


def test_the_front_is_the_long_side_that_the_cameras_face():
    ring = np.array([[0, 0, 0], [10, 0, 0], [10, 4, 0], [0, 4, 0], [0, 0, 0.0]])
    assert (front(ring, np.array([5.0, 30, 0]))[:, 1] == 4).all()
    assert (front(ring, np.array([5.0, -30, 0]))[:, 1] == 0).all()


@pytest.mark.parametrize("off", [(0.0, 0.0), (1.6, -1.2), (-2.5, 1.0)])
def test_a_map_that_is_off_as_a_whole_keeps_its_partners_and_one_moved_house_stands_out(off):
    """Walls are shared: without the common displacement the fronts at the ends of the row would slide to the neighbours."""
    own = [facade(f"{k}", 10 * k + 0.5 + off[0], 10 * k + 9.5 + off[0], off[1] + (2.5 if k == 3 else 0.0)) for k in range(8)]
    found = match(own, ROW, within=5.0)
    assert found.pairs.tolist() == [[k, k] for k in range(8)]
    np.testing.assert_allclose(found.common[1], off[1], atol=0.05)
    rest = found.displacement - found.common
    assert abs(rest[3, 1] - 2.5) < 0.1
    assert np.abs(np.delete(rest[:, 1], 3)).max() < 0.1
    assert found.again == {}
    assert found.covered == {}


def test_two_instances_on_one_plot_and_one_instance_on_two_are_said_as_such():
    own = [facade("left", 10, 14.5, 0.2), facade("right", 15, 19.8, 0.2), facade("wide", 40.5, 59.5, 0.2)]
    found = match(own, ROW, within=5.0)
    partner = dict(found.pairs.tolist())
    alone = ({0, 1} - set(partner)).pop()
    assert found.again == {alone: 1}
    assert set(found.covered) == {4, 5} - set(partner.values())
    assert found.covered.popitem()[1] == 2


def test_nothing_is_paired_beyond_the_limit_and_empty_sides_pair_nothing():
    far = [facade("far", 0, 8, -20.0)]
    assert match(far, ROW, within=5.0).pairs.shape == (0, 2)
    assert match([], ROW, within=5.0).pairs.shape == (0, 2)
    assert match(far, [], within=5.0).pairs.shape == (0, 2)


def test_the_sum_of_the_distances_is_least_not_each_one():
    posts = [ComparedThing(name, "", shapely.Point(x, 0), np.array([[x, 0.0]])) for name, x in (("a", 0.0), ("b", 3.0))]
    own = [ComparedThing(name, "", shapely.Point(x, 0), np.array([[x, 0.0]])) for name, x in (("1", 2.0), ("2", 4.5))]
    assert match(own, posts, within=5.0).pairs.tolist() == [[0, 0], [1, 1]]


def test_what_is_behind_others_beside_the_picture_or_far_is_out_of_view():
    known = [register_thing("before", -5, 5, 5, 9), register_thing("behind", -5, 12, 5, 16)]
    known += [register_thing("beside", 30, -2, 34, 2), register_thing("far", 10, 80, 20, 90)]
    cameras = np.array([[-2.0, -5.0], [2.0, -5.0]])
    north, half = np.tile([[0.0, 1.0]], (2, 1)), np.radians([40.0, 40.0])
    assert in_view(known, cameras, north, half, 60.0).tolist() == [True, False, False, False]
    assert not in_view(known, cameras[:1], north, half, 60.0).any(), "one view alone is no proof"
    assert in_view(known[1:2], cameras, north, half, 60.0).all(), "with nothing before it, it is seen"
    assert reach([facade("1", 0, 5, 7.0)], cameras) == 15.0


def write_register(path: Path, boxes: dict[str, tuple[float, float, float, float]], crs: str | None = "EPSG:32633") -> Path:
    """A GeoJSON of the old kind, with a system, whose boxes are metres east and north of the datum."""
    utm = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True)
    origin = np.array(utm.transform(DATUM[1], DATUM[0]))
    features = []
    for name, (left, low, right, high) in boxes.items():
        ring = [[left, low], [right, low], [right, high], [left, high], [left, low]]
        geometry = {"type": "Polygon", "coordinates": [(np.array(ring) + origin).tolist()]}
        features.append({"type": "Feature", "properties": {"plot": name}, "geometry": geometry if right > left else None})
    document = {"type": "FeatureCollection", "features": features}
    if crs:
        document["crs"] = {"type": "name", "properties": {"name": crs}}
    path.write_text(json.dumps(document))
    return path


PLOTS = {"A": (4, 8, 12, 20), "B": (12, 7, 20, 20), "C": (20, 6, 28, 20), "gone": (2, -20, 12, -9), "far": (900, 0, 910, 10)}


def test_a_map_against_a_register_file(tmp_path, capsys):
    store = exported_map(tmp_path / "map")
    register = write_register(tmp_path / "plots.geojson", {**PLOTS, "empty": (0, 0, 0, 0)})
    findings = Findings()
    result = compare_map(store.root, register, findings, within=5.0, moved=3.0, id_field="plot")
    status = {row.known: row.status for row in result.rows}
    assert {status[name] for name in "ABC"} <= {"matched", "moved"}
    assert status["far"] == "unseen"
    assert status["gone"] == "missing"
    assert {finding.kind.code for finding in findings.list()} == {
        REGISTER_SKIPPED.code,
        NOTHING_COMMON.code,
        WITHOUT_PLACE.code,
    }
    assert result.counts["new"] == 0
    assert sum(result.counts.values()) == len(result.rows)

    command = ["compare", str(store.root), "--with", str(register), "--id-field", "plot", "--moved", "3"]
    outputs = ["--out", str(tmp_path / "out.gpkg"), "--page", str(tmp_path / "out.html")]
    assert main([*command, *outputs]) == 0
    spoken = capsys.readouterr()
    assert "missing" in spoken.out
    assert "gone" in spoken.out
    assert "unusable" not in spoken.out
    assert "entries of the register without a usable shape: 1" in spoken.err
    import pyogrio

    meta, _, shapes, columns = pyogrio.raw.read(tmp_path / "out.gpkg")
    fields = dict(zip(meta["fields"], columns, strict=True))
    assert sorted(fields["status"]) == sorted(row.status for row in result.rows)
    assert all(shape is not None for shape in shapes)
    page = (tmp_path / "out.html").read_text()
    assert page.count("<path d=") >= len(result.rows)
    assert "known gone" in page
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == result.counts


def test_a_comparison_in_which_nothing_agrees_is_no_success(tmp_path, capsys):
    store = exported_map(tmp_path / "map")
    register = write_register(tmp_path / "plots.geojson", {"far": (900, 0, 910, 10)})
    assert main(["compare", str(store.root), "--with", str(register)]) == 1
    assert "too few things agree" in capsys.readouterr().err


def test_the_same_map_again_matches_itself_and_a_shifted_register_is_told(tmp_path):
    store = exported_map(tmp_path / "map")
    result = compare_map(store.root, store.root, Findings(), within=5.0, moved=0.5)
    assert result.counts["matched"] == 3
    assert result.counts["moved"] == 0
    assert max(row.distance for row in result.rows if row.distance is not None) < 1e-6


def test_what_moves_is_judged_by_its_own_error_and_not_by_that_of_the_map():
    """Of two houses 2 m off one is known to .1 m among the others, one to 1 m; all share an error of 3 m."""
    shared = 9.0 * np.eye(2)
    off = {2: 2.0, 5: 2.0}
    own = [
        facade(f"{k}", 10 * k + 0.5, 10 * k + 9.5, off.get(k, 0.0), shared + (1.0 if k == 5 else 0.01 * (k > 0)) * np.eye(2))
        for k in range(8)
    ]
    found = match(own, ROW, within=5.0)
    rests = found.displacement - found.common
    assert found.common.any()
    sigma = [_sigma(thing, own, rests[k], found.common) for k, thing in enumerate(own)]
    assert [k for k in range(8) if np.linalg.norm(rests[k]) > max(1.0, SIGMAS * sigma[k])] == [2]
    assert sigma[5] == pytest.approx(1.0)
    assert _sigma(own[5], own, rests[5], np.zeros(2)) == pytest.approx(10**0.5)  # nothing was taken out
    assert _sigma(ROW[5], ROW, rests[5], found.common) == 0.0


def test_a_map_off_as_a_whole_is_told(tmp_path):
    from seg2d3d_ros.comparison.comparing import _tell

    findings = Findings()
    _tell(np.array([2.0, -1.0]), 12, 12, 1.0, findings)
    assert [finding.kind.code for finding in findings.list()] == [WHOLE_MAP_OFF.code]
    assert "+2.00 m east, -1.00 m north, by 12 pairs" in findings.list()[0].text


def test_what_cannot_be_compared_says_why(tmp_path):
    store = exported_map(tmp_path / "map")
    local = exported_map(tmp_path / "local", on_earth=False)
    register = write_register(tmp_path / "plots.geojson", PLOTS)
    options = {"within": 5.0, "moved": 1.0}
    with pytest.raises(DataError, match="--gps"):
        compare_map(local.root, register, Findings(), **options)
    with pytest.raises(UsageError, match="did you mean 'plot'"):
        compare_map(store.root, register, Findings(), **options, id_field="plots")
    with pytest.raises(UsageError, match="no such layer"):
        compare_map(store.root, register, Findings(), **options, layer="nothing")
    (tmp_path / "broken.gpkg").write_bytes(b"no database")
    with pytest.raises(DataError, match="cannot be read"):
        compare_map(store.root, tmp_path / "broken.gpkg", Findings(), **options)
    (tmp_path / "empty.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(DataError, match="nothing"):
        compare_map(store.root, tmp_path / "empty.geojson", Findings(), **options)
    with pytest.raises(DataError, match="--with-crs"):
        read_register(write_register(tmp_path / "wrong.geojson", PLOTS, crs=None), "EPSG:32633", Findings())
