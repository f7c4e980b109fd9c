"""Places on the Earth: against PROJ's own topocentric conversion, in every kind of system, and what is refused."""

import numpy as np
import pytest
from helpers_exported_map import DATUM, codes_of, contents_of, exported_map

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.export.earth_coordinates import TRANSFORMATION_ROUGH, Coordinates, utm_zone
from seg2d3d_ros.findings import Findings

pyproj = pytest.importorskip("pyproj")
FRAME = {"kind": "enu", "datum": dict(zip(("latitude", "longitude", "altitude"), DATUM, strict=True))}
PLACES = np.array([[0.0, 0, 0], [812.5, -340.25, 21.0], [-6000.0, 9000.0, -4.0]])


def by_proj(target: str) -> np.ndarray:
    """The places in ``target`` by PROJ alone: topocentric to geocentric to the target."""
    latitude, longitude, height = DATUM
    geocentric = pyproj.Transformer.from_pipeline(
        f"+proj=pipeline +step +inv +proj=topocentric +ellps=WGS84 +lat_0={latitude} +lon_0={longitude} +h_0={height}"
    )
    onward = pyproj.Transformer.from_crs("EPSG:4978", target, always_xy=True)
    return np.stack(onward.transform(*geocentric.transform(*PLACES.T)), axis=1)


@pytest.mark.parametrize("system", ["EPSG:32633", "EPSG:25833", "EPSG:3006", "EPSG:3857", "EPSG:4978"])
def test_metres_agree_with_proj_to_a_millimetre(system):
    found = Coordinates.of(FRAME, system, Findings()).transform(PLACES)
    np.testing.assert_allclose(found[:, :2], by_proj(system)[:, :2], atol=1e-3)
    height = by_proj(system)[:, 2] if system == "EPSG:4978" else by_proj("EPSG:4979")[:, 2]
    np.testing.assert_allclose(found[:, 2], height, atol=1e-3)


def test_degrees_come_longitude_first_with_heights_above_the_ellipsoid():
    coordinates = Coordinates.of(FRAME, "EPSG:4326", Findings())
    found = coordinates.transform(PLACES)
    np.testing.assert_allclose(found[:, :2], by_proj("EPSG:4979")[:, :2], atol=1e-9)
    np.testing.assert_allclose(found[0], [DATUM[1], DATUM[0], DATUM[2]], atol=1e-6)
    assert coordinates.geographic


def test_the_default_is_the_utm_zone_and_a_map_without_a_datum_keeps_its_frame():
    assert Coordinates.of(FRAME, None, Findings()).name == "WGS 84 / UTM zone 33N (EPSG:32633)"
    local = Coordinates.of({"kind": "metric"}, None, Findings())
    np.testing.assert_array_equal(local.transform(PLACES), PLACES)
    assert local.wkt is None
    assert not local.geographic
    np.testing.assert_array_equal(Coordinates.of(FRAME, "local", Findings()).transform(PLACES), PLACES)


@pytest.mark.parametrize(
    ("place", "zone"),
    [((55.7, 13.19), 32633), ((-33.9, 18.4), 32734), ((60.4, 5.3), 32632), ((78.2, 15.6), 32633), ((0.0, -180.0), 32601)],
)
def test_zones_of_utm_with_norway_and_svalbard(place, zone):
    """Against PROJ's own query of which zone covers a place; Norway's and Svalbard's are wider than the grid says."""
    assert utm_zone(*place) == f"EPSG:{zone}"
    area = pyproj.CRS(utm_zone(*place)).area_of_use
    assert area.south <= place[0] <= area.north


def test_what_is_unknown_stays_unknown():
    found = Coordinates.of(FRAME, "EPSG:32633", Findings()).transform(np.array([[np.nan] * 3, [0.0, 0, 0]]))
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()


@pytest.mark.parametrize("wrong", ["EPSG:999999", "nonsense", "EPSG:5773"])
def test_no_such_system(wrong):
    with pytest.raises(UsageError, match="EPSG:25833"):
        Coordinates.of(FRAME, wrong, Findings())


def test_a_map_that_does_not_lie_on_the_earth_is_refused(tmp_path):
    with pytest.raises(DataError, match="--gps"):
        contents_of(exported_map(tmp_path / "map", on_earth=False), crs="EPSG:32633")


def grids_here(system: str) -> bool:
    """Whether PROJ has all that the best transformation needs."""
    import warnings

    from pyproj.transformer import TransformerGroup

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return TransformerGroup("EPSG:4979", system, always_xy=True).best_available


def test_a_missing_grid_is_told_with_what_it_costs_and_heights_are_never_guessed():
    if grids_here("EPSG:27700") or grids_here("EPSG:2154+5720"):
        pytest.skip("the grids are installed here")
    findings = Findings()
    frame = {"kind": "enu", "datum": {"latitude": 51.5, "longitude": -0.1, "altitude": 20.0}}
    Coordinates.of(frame, "EPSG:27700", findings)
    assert codes_of(findings) == [TRANSFORMATION_ROUGH.code]
    assert "OSTN15" in findings.list()[0].text
    assert "up to 2 m" in findings.list()[0].text
    with pytest.raises(DataError, match="projsync"):
        Coordinates.of(frame, "EPSG:2154+5720", Findings())


def test_an_exact_transformation_needs_no_word():
    findings = Findings()
    Coordinates.of(FRAME, "EPSG:32633", findings)
    assert codes_of(findings) == []
