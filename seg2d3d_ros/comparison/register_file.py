"""A register: any vector file with places that GDAL reads (GeoPackage, GeoJSON, Shapefile, …)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.comparison.compared_things import ComparedThing, outline_samples
from seg2d3d_ros.declaration import nearest
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.export.libraries import needed
from seg2d3d_ros.findings import Findings, Kind

REGISTER_SKIPPED = Kind(
    "register_skipped",
    "entries of the register without a usable shape",
    cause="their geometry is empty or broken beyond repair",
    remedy="mend the geometries, e.g. with QGIS' 'Fix geometries'",
)


def read_register(
    path: Path,
    target: Any,
    findings: Findings,
    *,
    layer: str | None = None,
    id_field: str | None = None,
    crs: str | None = None,
) -> list[ComparedThing]:
    """The things of a vector file, in the projected system ``target``.

    Args:
        layer: which; None = the only one, or that called ``instances``.
        id_field: the field that names them; None = the feature id.
        crs: the system of a file that does not say its own.

    Raises:
        UsageError: no such layer or field.
        DataError: the file cannot be read, or nobody says in which system its places are.
    """
    raw = needed("pyogrio.raw", "reading a register", "pyogrio")
    errors = needed("pyogrio.errors", "reading a register", "pyogrio")
    shapely = needed("shapely", "reading a register")
    pyproj = needed("pyproj", "reading a register")
    try:
        layer = _layer([str(name) for name, _ in needed("pyogrio", "reading a register").list_layers(path)], layer, path)
        with warnings.catch_warnings():  # broken shapes are counted below
            warnings.simplefilter("ignore", RuntimeWarning)
            meta, ids, shapes, columns = raw.read(path, layer=layer, return_fids=True, force_2d=True)
    except (errors.DataSourceError, errors.DataLayerError, UnicodeDecodeError) as error:  # the last: names of columns
        raise DataError(f"{path}: cannot be read as a register ({error}); give a GeoPackage, GeoJSON or Shapefile") from error
    source = meta["crs"] or crs
    if source is None:
        raise DataError(
            f"{path}: does not say in which coordinate reference system its places are; say it with --with-crs EPSG:…"
        )
    names = ids.astype(str) if id_field is None else _field(meta, columns, id_field, path).astype(str)
    to_target = pyproj.Transformer.from_crs(source, target, always_xy=True)
    things = []
    for name, encoded in zip(names.tolist(), shapes, strict=True):
        try:
            shape = None if encoded is None else shapely.make_valid(shapely.from_wkb(encoded))
        except shapely.errors.ShapelyError:  # a ring that is not closed, say
            shape = None
        if shape is None or shape.is_empty:
            findings.add(REGISTER_SKIPPED, name, of=len(names))
            continue
        shape = shapely.transform(shape, lambda xy: np.column_stack(to_target.transform(xy[:, 0], xy[:, 1])))
        if not np.isfinite(shapely.get_coordinates(shape)).all():
            raise DataError(f"{path}: the place of {name} is beyond its own system {source}; say the right one with --with-crs")
        things.append(ComparedThing(name, "", shape, outline_samples(shape)))
    return things


def _layer(layers: list[str], wanted: str | None, path: Path) -> str:
    if wanted is not None:
        if wanted not in layers:
            raise UsageError(f"--layer {wanted}: {path} has no such layer; it has {', '.join(layers)}")
        return wanted
    if len(layers) == 1 or "instances" in layers:
        return "instances" if "instances" in layers else layers[0]
    raise UsageError(f"{path}: has several layers; choose one with --layer: {', '.join(layers)}")


def _field(meta: dict[str, Any], columns: list[np.ndarray], name: str, path: Path) -> np.ndarray:
    fields = [str(field) for field in meta["fields"]]
    if name not in fields:
        raise UsageError(f"--id-field {name}: {path} has no such field{nearest(name, fields)}")
    return columns[fields.index(name)]
