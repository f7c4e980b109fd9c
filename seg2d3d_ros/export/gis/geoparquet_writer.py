"""GeoParquet 1.1: the instances' footprints as well-known binary, with the system as PROJJSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.disk.atomic import replacing
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.export.gis.features import instance_table
from seg2d3d_ros.export.gis.parquet_writer import arrow_table
from seg2d3d_ros.export.gis.shapes import well_known_binary
from seg2d3d_ros.export.libraries import needed


def export(contents: Contents, path: Path) -> str:
    """Write one row for each instance."""
    arrow = needed("pyarrow", "GeoParquet")
    parquet = needed("pyarrow.parquet", "GeoParquet", "pyarrow")
    table = instance_table(contents)
    rows = arrow_table(table).append_column("geometry", arrow.array(list(well_known_binary(table)), arrow.binary()))
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": ["Polygon"], "orientation": "counterclockwise"}
    crs = contents.coordinates.crs
    column["crs"] = None if crs is None else crs.to_json_dict()
    if corners := [ring[:, :2] for ring in table.shapes if ring is not None]:
        every = np.concatenate(corners)
        column["bbox"] = [*every.min(axis=0).tolist(), *every.max(axis=0).tolist()]
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    rows = rows.replace_schema_metadata({"geo": json.dumps(geo)})
    with replacing(path) as temporary:
        parquet.write_table(rows, temporary)
    return f"{len(table)} instances, in {contents.coordinates.name}"
