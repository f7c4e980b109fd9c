"""Values as the database of a map keeps them."""

from __future__ import annotations

import json
import math

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.disk.documents import parse_json
from seg2d3d_ros.geometry.vertical.camera_up import CameraUp
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.reconstruction.database_check import REMEDY


def encode_descriptors(descriptors: np.ndarray) -> pycolmap.FeatureDescriptors:
    """As COLMAP keeps them: RootSIFT as it is, those of a network in half precision."""
    kinds = pycolmap.FeatureExtractorType
    if descriptors.dtype == np.uint8:
        return pycolmap.FeatureDescriptors(type=kinds.SIFT, data=descriptors)
    return pycolmap.FeatureDescriptors(type=kinds.UNDEFINED, data=descriptors.astype(np.float16).view(np.uint8))


def encode_geo(geo: GeoPosition | None) -> str | None:
    """A position as text; None stays None."""
    if geo is None:
        return None
    covariance = None if geo.covariance is None else np.asarray(geo.covariance, float).tolist()
    return json.dumps([geo.latitude, geo.longitude, geo.altitude if geo.has_altitude else None, covariance])


def decode_geo(text: str | None) -> GeoPosition | None:
    """Inverse of ``encode_geo``."""
    if text is None:
        return None
    latitude, longitude, altitude, covariance = parse_json(text, "database.db", remedy=REMEDY)
    known = math.nan if altitude is None else altitude
    return GeoPosition(latitude, longitude, known, None if covariance is None else np.array(covariance, float))


def encode_up(up: CameraUp) -> str:
    """A vertical as text."""
    return json.dumps([list(up.direction), up.sigma, up.source])


def decode_up(text: str | None) -> CameraUp | None:
    """Inverse of ``encode_up``.

    Raises:
        ValueError: no unit vector, or no angle.
    """
    if text is None:
        return None
    (x, y, z), sigma, source = parse_json(text, "database.db", remedy=REMEDY)
    if not (abs(math.hypot(x, y, z) - 1.0) < 0.01 and 0.0 < sigma < math.pi):
        raise ValueError(f"a vertical of {x}, {y}, {z} ± {sigma}")
    return CameraUp((float(x), float(y), float(z)), float(sigma), str(source))
