"""GeoJSON (RFC 7946): the instances' footprints; longitude and latitude on WGS84."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from seg2d3d_ros.disk.atomic import replacing
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.export.gis.features import Table, instance_table

DECIMALS = 9
"""Of a degree: a tenth of a millimetre."""


def export(contents: Contents, path: Path) -> str:
    """Write one feature for each instance."""
    return export_parts([contents], path)


def export_parts(parts: Iterable[Contents], path: Path) -> str:
    """The same of a map in parts, at least one, which are read one after the other."""
    count, name = 0, ""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for contents in parts:
            for feature in features(instance_table(contents)):
                file.write(("," if count else "") + "\n" + json.dumps(feature, allow_nan=False))
                count += 1
            name = contents.coordinates.name
        file.write("\n]}\n")
    return f"{count} instances, in {name}"


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
