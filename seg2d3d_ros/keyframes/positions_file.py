"""GPS positions of images from a table, ``--gps FILE``."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.image_files import IMAGE_SUFFIXES

REQUIRED = ("image", "latitude", "longitude")


def read_gps_csv(path: Path) -> dict[str, GeoPosition]:
    """Positions by image stem from a CSV file with the columns image, latitude, longitude, altitude and sigma (metres).

    ``altitude`` and ``sigma`` may be missing or empty; ``image`` may carry a suffix. Rows without coordinates are gaps in
    reception and are left out.

    Raises:
        UsageError: no such file.
        DataError: a missing column or a value that is no number, with the line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: the GPS table cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: the GPS table is not UTF-8 text") from error
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    missing = [column for column in REQUIRED if column not in (reader.fieldnames or [])]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}; expected image,latitude,longitude,altitude[,sigma]")
    found = {}
    for row in reader:
        if not (row["latitude"] or "").strip() or not (row["longitude"] or "").strip():
            continue
        try:
            spread = float(row.get("sigma") or "nan")
            covariance = np.eye(3) * spread**2 if math.isfinite(spread) and spread > 0 else None
            geo = GeoPosition(float(row["latitude"]), float(row["longitude"]), float(row.get("altitude") or 0.0), covariance)
        except ValueError as error:
            raise DataError(f"{path}: line {reader.line_num}: {error}") from error
        image = Path(row["image"])
        found[image.stem if image.suffix.lower() in IMAGE_SUFFIXES else row["image"]] = geo
    return found
