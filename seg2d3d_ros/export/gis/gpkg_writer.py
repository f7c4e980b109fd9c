"""GeoPackage: the layers ``instances``, ``cameras`` and ``observations``."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

from seg2d3d_ros.disk.atomic import replacing
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.export.gis.features import Table, camera_table, instance_table, observation_table
from seg2d3d_ros.export.gis.shapes import typed_columns, well_known_binary
from seg2d3d_ros.export.libraries import needed


def export(contents: Contents, path: Path) -> str:
    """Write the three layers; an empty layer is there with its columns."""
    layers = {
        "instances": instance_table(contents),
        "cameras": camera_table(contents),
        "observations": observation_table(contents),
    }
    with replacing(path, RuntimeError) as temporary:
        write_layers(temporary, layers, contents.coordinates.wkt)
    counts = ", ".join(f"{len(table)} {name}" for name, table in layers.items())
    return f"{counts}, in {contents.coordinates.name}"


def write_layers(path: Path, layers: Mapping[str, Table], wkt: str | None) -> None:
    """Write a new GeoPackage with one layer for each table, in the system ``wkt`` (None = unknown).

    Raises:
        RuntimeError: GDAL cannot write it.
    """
    raw = needed("pyogrio.raw", "GeoPackage", "pyogrio")
    logging.getLogger("pyogrio").setLevel(logging.WARNING)  # else it tells of every layer
    for k, (name, table) in enumerate(layers.items()):
        columns = typed_columns(table)
        with warnings.catch_warnings():  # of a map without a system on the Earth, and of the temporary file's name
            warnings.simplefilter("ignore")
            raw.write(
                path,
                well_known_binary(table),
                [values for values, _ in columns.values()],
                list(columns),
                field_mask=[unknown if unknown.any() else None for _, unknown in columns.values()],
                layer=name,
                driver="GPKG",
                geometry_type=table.shape,
                crs=wkt,
                append=k > 0,
                layer_options={"SPATIAL_INDEX": "YES"},
            )
