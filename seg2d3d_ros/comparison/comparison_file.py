"""A comparison as a GeoPackage: the layer ``comparison``, one shape for each row."""

from __future__ import annotations

from pathlib import Path

from seg2d3d_ros.comparison.comparing import Comparison
from seg2d3d_ros.disk.atomic import replacing
from seg2d3d_ros.export.gis.features import Table
from seg2d3d_ros.export.gis.gpkg_writer import write_layers


def write_comparison(result: Comparison, path: Path) -> None:
    """Write the file whole, or not at all."""
    names = ("status", "instance", "known", "kind", "distance", "east", "north", "sigmas")
    columns = {name: [getattr(row, name) for row in result.rows] for name in names}
    with replacing(path, RuntimeError) as temporary:
        write_layers(temporary, {"comparison": Table(columns, [row.shape for row in result.rows], "Unknown")}, result.wkt)
