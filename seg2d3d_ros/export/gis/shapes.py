"""Shapes of a table as well-known binary, and columns as typed arrays."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np

from seg2d3d_ros.export.gis.features import Table
from seg2d3d_ros.export.libraries import needed


def well_known_binary(table: Table) -> np.ndarray:
    """(N,) object: bytes, None where a row has no shape. Polygons are flat, points and lines have heights; shapes
    of the kind "Unknown" are shapely's already."""
    shapely = needed("shapely", "shapes")
    if table.shape == "Unknown":
        return np.array([None if shape is None else shapely.to_wkb(shape) for shape in table.shapes], object)
    make = {
        "Polygon": lambda ring: shapely.Polygon(ring[:, :2]),
        "Point Z": lambda place: shapely.Point(place[0]),
        "LineString Z": shapely.LineString,
    }[table.shape]
    found = np.empty(len(table), object)
    found[:] = [None if shape is None else shapely.to_wkb(make(shape)) for shape in table.shapes]
    return found


def typed_columns(table: Table) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By name: (N,) values as int64, float64, object (strings) or datetime64[ms] (UTC), and (N,) bool: they are unknown."""
    return {name: _typed(list(values), table.kinds.get(name, "")) for name, values in table.columns.items()}


def _typed(values: list[Any], kind: str) -> tuple[np.ndarray, np.ndarray]:
    unknown = np.array([value is None for value in values], bool)
    known = [value for value in values if value is not None]
    if kind == "moment" or (known and all(isinstance(value, datetime) for value in known)):
        plain = [np.datetime64("NaT") if value is None else value.replace(tzinfo=None) for value in values]
        return np.array(plain, "datetime64[ms]"), unknown
    if kind == "text" or any(isinstance(value, str) for value in known):
        return np.array(values, object), unknown
    if kind == "whole" or (known and all(isinstance(value, int) for value in known)):
        return np.array([0 if value is None else value for value in values], np.int64), unknown
    return np.array([np.nan if value is None else float(value) for value in values], np.float64), unknown
