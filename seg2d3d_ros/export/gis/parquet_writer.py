"""Parquet: a folder with ``instances.parquet``, ``observations.parquet`` and ``points.parquet``, without shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.export.contents import Contents, xyz_of
from seg2d3d_ros.export.folders import new_folder
from seg2d3d_ros.export.gis.features import Table, instance_table, observation_table
from seg2d3d_ros.export.gis.shapes import typed_columns
from seg2d3d_ros.export.libraries import needed


def export(contents: Contents, path: Path) -> str:
    """Write the tables; places are x, y, z in the chosen system."""
    arrow = needed("pyarrow", "Parquet")
    parquet = needed("pyarrow.parquet", "Parquet", "pyarrow")
    instances = instance_table(contents)
    middles = [None if "box3d" not in item else item["box3d"]["center"] for item in contents.placed]
    places = contents.coordinates.transform(np.array([[np.nan] * 3 if middle is None else middle for middle in middles]))
    rows = arrow_table(instances)
    for axis, values in zip("xyz", places.T, strict=True):
        rows = rows.append_column(axis, arrow.array(values, mask=np.isnan(values)))
    points = contents.points()
    columns = dict(zip("xyz", contents.coordinates.transform(xyz_of(points)).T, strict=True))
    columns |= {name: points[name] for name in points.dtype.names or () if name not in "xyz"}
    observations = observation_table(contents)
    tables = {"instances": rows, "observations": arrow_table(observations), "points": arrow.table(columns)}
    with new_folder(path) as folder:
        for name, table in tables.items():
            parquet.write_table(table, folder / f"{name}.parquet")
    counts = ", ".join(f"{table.num_rows} {name}" for name, table in tables.items())
    return f"{counts}, in {contents.coordinates.name}"


def arrow_table(table: Table) -> Any:
    """The columns of a table, with nulls where values are unknown."""
    arrow = needed("pyarrow", "Parquet")
    columns = {}
    for name, (values, unknown) in typed_columns(table).items():
        texts = values.dtype == object
        columns[name] = arrow.array(
            values.tolist() if texts else values, arrow.string() if texts else None, mask=None if texts else unknown
        )
    return arrow.table(columns)
