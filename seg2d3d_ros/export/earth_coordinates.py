"""Where things lie on the Earth: the map's frame, metres east, north, up of a datum, in another coordinate reference system."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.export.libraries import needed
from seg2d3d_ros.findings import NOTE, Findings, Kind
from seg2d3d_ros.geometry.wgs84 import enu_to_geodetic

if TYPE_CHECKING:
    import pyproj

WGS84, GEODETIC, ECEF = "EPSG:4326", "EPSG:4979", "EPSG:4978"
"""Longitude and latitude; with heights above the ellipsoid; from the middle of the Earth."""
CENTIMETRE = 0.01

TRANSFORMATION_ROUGH = Kind(
    "transformation_rough",
    "coordinate transformations that are less exact than they could be",
    cause="{detail}",
    remedy="get the grid file with 'projsync', or put it into the folder that PROJ_DATA names, and export again",
    level=NOTE,
)


@dataclass(frozen=True)
class Coordinates:
    """From the map's frame to a coordinate reference system.

    Attributes:
        crs: the system; None = the map's own frame, which is nowhere on the Earth or was asked for.
        datum: latitude, longitude (degrees) and height above the WGS84 ellipsoid (metres) of the map's origin.
    """

    crs: pyproj.CRS | None
    datum: tuple[float, float, float] | None
    _transformer: Any = None

    @classmethod
    def of(cls, frame: Mapping[str, Any], wanted: str | None, findings: Findings) -> Coordinates:
        """Of a map with this ``frame`` (tracks.json).

        Args:
            wanted: any text that PROJ takes for a system ("EPSG:25833", "EPSG:25833+7837"), "local" for the map's frame, or
                None: the UTM zone of the datum, or the map's own frame where it has no datum.

        Raises:
            UsageError: no such system.
            DataError: the map does not lie on the Earth, pyproj is not installed, or heights need a grid that is not there.
        """
        datum = frame.get("datum")
        if wanted == "local" or (wanted is None and datum is None):
            return cls(None, None)
        if datum is None:
            raise DataError(
                f"the map does not lie on the Earth (frame: {frame.get('kind')}), so it cannot be given in {wanted}: make it "
                "with positions (--gps), or export with '--crs local' where the format allows it"
            )
        origin = datum["latitude"], datum["longitude"], datum["altitude"]
        pyproj = needed("pyproj", "a coordinate reference system")
        try:
            crs = pyproj.CRS.from_user_input(wanted or utm_zone(*origin[:2]))
        except pyproj.exceptions.CRSError as error:
            raise UsageError(f"--crs {wanted}: no coordinate reference system ({error}); e.g. EPSG:25833") from error
        if crs.is_vertical and not crs.is_compound:
            raise UsageError(f"--crs {wanted}: {crs.name} has no horizontal part; e.g. EPSG:25833+7837")
        return cls(crs, origin, _best_transformer(pyproj, crs, findings))

    @property
    def name(self) -> str:
        """Of the system, for people."""
        if self.crs is None:
            return "the map's own frame"
        authority = self.crs.to_authority()
        return f"{self.crs.name} ({':'.join(authority)})" if authority else str(self.crs.name)

    @property
    def wkt(self) -> str | None:
        """The system as OGC WKT 1, which all readers know; WKT 2 where that cannot say it. None for the map's own frame."""
        if self.crs is None:
            return None
        return str(self.crs.to_wkt("WKT1_GDAL") or self.crs.to_wkt())

    @property
    def geographic(self) -> bool:
        """Whether x and y are degrees of longitude and latitude."""
        return self.crs is not None and bool(self.crs.is_geographic)

    def transform(self, xyz: np.ndarray) -> np.ndarray:
        """(N, 3) float64 x (east, longitude), y (north, latitude), z of places (N, 3) in the map's frame; NaN stays NaN."""
        xyz = np.asarray(xyz, np.float64).reshape(-1, 3)
        if self.crs is None or len(xyz) == 0:
            return xyz.copy()
        assert self.datum is not None
        latitude, longitude, height = enu_to_geodetic(xyz, self.datum).T
        found = np.stack(self._transformer.transform(longitude, latitude, height), axis=1)
        lost = ~np.isfinite(found).all(axis=1) & np.isfinite(xyz).all(axis=1)
        if lost.any():
            raise DataError(
                f"{self.name} does not reach to where the map is ({latitude[lost][0]:.5f}, {longitude[lost][0]:.5f})"
            )
        return found


def utm_zone(latitude: float, longitude: float) -> str:
    """The UTM zone of a place on WGS84, with those of Norway and Svalbard as they are."""
    zone = int((longitude + 180.0) % 360.0 // 6.0) + 1
    if 56 <= latitude < 64 and 3 <= longitude < 12:
        zone = 32
    elif 72 <= latitude < 84:
        for first, last, special in ((0, 9, 31), (9, 21, 33), (21, 33, 35), (33, 42, 37)):
            if first <= longitude < last:
                zone = special
    return f"EPSG:{326 if latitude >= 0 else 327}{zone:02d}"


def _best_transformer(pyproj: Any, crs: pyproj.CRS, findings: Findings) -> Any:
    """The most exact transformation that PROJ has; a missing grid is told of, and heights are never guessed for want of one."""
    from pyproj.transformer import TransformerGroup

    with warnings.catch_warnings():  # of missing grids, which are told of below
        warnings.simplefilter("ignore")
        group = TransformerGroup(GEODETIC, crs, always_xy=True)
    if not group.transformers:
        raise DataError(f"{crs.name}: PROJ knows no transformation from WGS84 into it")
    if group.best_available:
        return group.transformers[0]
    missing = sorted({grid.short_name for item in group.unavailable_operations for grid in item.grids if not grid.available})
    named = ", ".join(missing[:3]) or "unknown"
    if crs.is_compound and not _shifts_heights(group.transformers[0]):
        raise DataError(
            f"{crs.name}: its heights need the geoid grid {named}, which is not here: get it with 'projsync --file "
            f"{missing[0] if missing else 'GRID'}', or take a system without heights: they are then above the ellipsoid"
        )
    accuracy = group.transformers[0].accuracy
    known = f"{accuracy:g} m" if accuracy >= 0 else "an unknown error"
    if not 0 <= accuracy <= CENTIMETRE:
        findings.add(
            TRANSFORMATION_ROUGH, str(crs.name), detail=f"to {crs.name} with up to {known}: the grid {named} is not here"
        )
    return group.transformers[0]


def _shifts_heights(transformer: Any) -> bool:
    return any(word in transformer.definition for word in ("vgridshift", "geoidgrid", "gridshift"))
