"""GeoPackage: the layers ``instances``, ``cameras`` and ``observations``."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from seg2d3d_ros.disk.atomic import replacing
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.export.gis.features import Table, camera_table, instance_table, observation_table
from seg2d3d_ros.export.gis.shapes import typed_columns, well_known_binary
from seg2d3d_ros.export.libraries import needed


def export(contents: Contents, path: Path) -> str:
    """Write the three layers; an empty layer is there with its columns."""
    return export_parts([contents], path)


def export_parts(parts: Iterable[Contents], path: Path) -> str:
    """The same of a map in parts, at least one, which are read one after the other."""
    counts: Counter[str] = Counter()
    name = ""
    with replacing(path, RuntimeError) as temporary:
        for k, contents in enumerate(parts):
            layers = {
                "instances": instance_table(contents),
                "cameras": camera_table(contents),
                "observations": observation_table(contents),
            }
            write_layers(temporary, layers, contents.coordinates.wkt, more=k > 0)
            counts.update({layer: len(table) for layer, table in layers.items()})
            name = contents.coordinates.name
    return f"{', '.join(f'{counts[layer]} {layer}' for layer in ('instances', 'cameras', 'observations'))}, in {name}"


def write_layers(path: Path, layers: Mapping[str, Table], wkt: str | None, *, more: bool = False) -> None:
    """Write a GeoPackage with one layer for each table, in the system ``wkt`` (None = unknown).

    Args:
        more: add the rows to the layers of a file that is there; else it is new.

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
                append=more or k > 0,
                layer_options={"SPATIAL_INDEX": "YES"},
            )
