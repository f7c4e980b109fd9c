"""Parquet: a folder with ``instances.parquet``, ``observations.parquet`` and ``points.parquet``, without shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
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
    return export_parts([contents], path)


def export_parts(parts: Iterable[Contents], path: Path) -> str:
    """The same of a map in parts, at least one, which are read one after the other."""
    parquet = needed("pyarrow.parquet", "Parquet", "pyarrow")
    counts: Counter[str] = Counter()
    system = ""
    with new_folder(path) as folder, ExitStack() as open_files:
        writers: dict[str, Any] = {}
        for contents in parts:
            for name, table in _tables(contents).items():
                if name not in writers:
                    file = parquet.ParquetWriter(folder / f"{name}.parquet", table.schema)
                    writers[name] = open_files.enter_context(file)
                writers[name].write_table(table)
                counts[name] += table.num_rows
            system = contents.coordinates.name
    return f"{', '.join(f'{count} {name}' for name, count in counts.items())}, in {system}"


def _tables(contents: Contents) -> dict[str, Any]:
    arrow = needed("pyarrow", "Parquet")
    middles = [None if "box3d" not in item else item["box3d"]["center"] for item in contents.placed]
    places = contents.coordinates.transform(np.array([[np.nan] * 3 if middle is None else middle for middle in middles]))
    rows = arrow_table(instance_table(contents))
    for axis, values in zip("xyz", places.T, strict=True):
        rows = rows.append_column(axis, arrow.array(values, mask=np.isnan(values)))
    points = contents.points()
    columns = dict(zip("xyz", contents.coordinates.transform(xyz_of(points)).T, strict=True))
    columns |= {name: points[name] for name in points.dtype.names or () if name not in "xyz"}
    return {"instances": rows, "observations": arrow_table(observation_table(contents)), "points": arrow.table(columns)}


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
