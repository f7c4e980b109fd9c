"""One line of keyframes.json."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.given_pose import GivenPose
from seg2d3d_ros.geometry.panorama.equirectangular import Equirectangular
from seg2d3d_ros.geometry.panorama.panorama_view import PanoramaView
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.vertical.camera_up import CameraUp
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.types import Keyframe

_POSES = ("mount", "odometry")


@dataclass(frozen=True)
class KeyframeRecord:
    """A keyframe without its pixels.

    ``image`` is the image file's path, relative to the map directory or absolute.
    """

    name: str
    camera_name: str
    stamp_ns: int
    file_name: str
    image: str
    camera: Camera | None = None
    geo: GeoPosition | None = None
    mount: Pose | None = field(default=None, compare=False)
    odometry: Pose | None = field(default=None, compare=False)
    view: PanoramaView | None = field(default=None, compare=False)
    up: CameraUp | None = field(default=None, compare=False)
    given: GivenPose | None = field(default=None, compare=False)

    @classmethod
    def of(cls, keyframe: Keyframe, image: Path | str) -> KeyframeRecord:
        """The record of ``keyframe`` whose image file is ``image``."""
        same = {item.name: getattr(keyframe, item.name) for item in fields(cls) if item.name != "image"}
        return cls(image=str(image), **same)

    def keyframe(self, encoded: bytes) -> Keyframe:
        """The keyframe again, with its image file's content."""
        same = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "image"}
        return Keyframe(encoded=encoded, source=self.image, **same)

    def to_json(self) -> dict[str, Any]:
        """JSON-able dictionary."""
        item = asdict(self)
        for name in _POSES:
            del item[name]
            if (pose := getattr(self, name)) is not None:
                item[name] = pose.matrix.tolist()
        if self.view is None:
            del item["view"]
        if self.up is None:
            del item["up"]
        if self.given is None:
            del item["given"]
        else:
            item["given"] = self.given.to_json()
        if self.geo is not None:
            item["geo"]["altitude"] = self.geo.altitude if self.geo.has_altitude else None
            if self.geo.covariance is not None:
                item["geo"]["covariance"] = np.asarray(self.geo.covariance).tolist()
        return item

    @classmethod
    def from_json(cls, item: dict[str, Any]) -> KeyframeRecord:
        """Inverse of ``to_json``."""
        camera, geo = item["camera"], item["geo"]
        if camera is not None:
            camera = Camera(**{**camera, "params": tuple(camera["params"])})
        if geo is not None:
            altitude = math.nan if geo["altitude"] is None else geo["altitude"]
            covariance = None if geo["covariance"] is None else np.array(geo["covariance"])
            geo = GeoPosition(**{**geo, "altitude": altitude, "covariance": covariance})
        poses: dict[str, Any] = {name: Pose.from_matrix(item[name]) for name in _POSES if item.get(name) is not None}
        if item.get("given") is not None:
            poses["given"] = GivenPose.from_json(item["given"])
        view = item.get("view")
        if view is not None:
            view = PanoramaView(**{**view, "shape": Equirectangular(**view["shape"])})
        up = item.get("up")
        if up is not None:
            up = CameraUp(**{**up, "direction": tuple(up["direction"])})
        return cls(**{**item, "camera": camera, "geo": geo, "view": view, "up": up, **poses})
