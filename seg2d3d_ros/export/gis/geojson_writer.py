"""GeoJSON (RFC 7946): the instances' footprints; longitude and latitude on WGS84."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.export.gis.features import Table, instance_table

DECIMALS = 9
"""Of a degree: a tenth of a millimetre."""


def export(contents: Contents, path: Path) -> str:
    """Write one feature for each instance."""
    table = instance_table(contents)
    write_json(path, {"type": "FeatureCollection", "features": features(table)})
    return f"{len(table)} instances, in {contents.coordinates.name}"


def features(table: Table) -> list[dict[str, Any]]:
    """GeoJSON features of a table of polygons."""
    found = []
    for row, ring in zip(table.rows(), table.shapes, strict=True):
        outline = None if ring is None else [[round(float(x), DECIMALS), round(float(y), DECIMALS)] for x, y in ring[:, :2]]
        if outline is not None:
            outline[-1] = outline[0]
        found.append(
            {
                "type": "Feature",
                "id": row["id"],
                "geometry": None if outline is None else {"type": "Polygon", "coordinates": [outline]},
                "properties": {name: plain(value) for name, value in row.items()},
            }
        )
    return found


def plain(value: Any) -> Any:
    """The value as JSON has it: moments in ISO 8601."""
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
