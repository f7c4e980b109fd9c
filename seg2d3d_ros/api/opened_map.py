"""A map directory as NumPy arrays and dataclasses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.export.contents import CLOUDS, HOW_TO_GET, layout_of
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.images import decode_rgb
from seg2d3d_ros.mapstore.files.unedited_file import read_unedited
from seg2d3d_ros.mapstore.held_map import look_into
from seg2d3d_ros.mapstore.point_cloud import read_points
from seg2d3d_ros.mapstore.store import MapStore


@dataclass(frozen=True)
class MapObservation:
    """An image that shows an instance.

    Attributes:
        image: the keyframe's name.
        box: left, top, right, bottom in pixels; right and bottom are the first ones outside.
        score: how sure it is that this is the instance, 0 … 1.
        recovered: drawn from the instance's points; no detector found it.
    """

    image: str
    box: tuple[int, int, int, int]
    score: float
    recovered: bool


@dataclass(frozen=True)
class MapInstance:
    """One object.

    Attributes:
        id: persistent number, from 1 on.
        name: its class.
        score: how sure it is that this is one object, 0 … 1.
        center: (3,) of its box in the map's frame; None where it has no place. ``size`` (3,) along the box's own axes (the
            longer horizontal side, the shorter one, the height), ``world_from_box`` (3, 3).
        observations: the images that show it, by name.
    """

    id: int
    name: str
    score: float
    center: np.ndarray | None
    size: np.ndarray | None
    world_from_box: np.ndarray | None
    observations: Sequence[MapObservation]

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> MapInstance:
        """Of an entry of tracks.json."""
        box = item.get("box3d")
        pose = None if box is None else Pose.from_quaternion(np.array(box["quaternion_xyzw"]), np.zeros(3))
        seen = [
            MapObservation(o["image"], tuple(o["box"]), float(o["score"]), bool(o.get("recovered")))
            for o in item["observations"]
        ]
        return cls(
            int(item["id"]),
            str(item["class"]),
            float(item["score"]),
            None if box is None else np.array(box["center"], float),
            None if box is None else np.array(box["size"], float),
            None if pose is None else pose.rotation,
            seen,
        )


class OpenedMap:
    """A map directory to read; what is large is read when it is asked for.

    Attributes:
        root: the folder.
        frame: what coordinates mean: ``{"kind": "enu" | "metric" | "arbitrary", "datum": {…}}``, as in tracks.json.
        instances: by id.
    """

    def __init__(self, root: Path | str, *, edits: bool = True) -> None:
        """``edits``: with the corrections that people made. Raises ``DataError``: no map directory, or a damaged one."""
        self._store: MapStore = look_into(Path(root))
        self._unedited = None if edits else read_unedited(self._store.root)
        tracks = self._store.read_tracks() if self._unedited is None else self._unedited.tracks
        self.root, self.frame = self._store.root, tracks["frame"]
        self.instances = {int(item["id"]): MapInstance.of(item) for item in tracks["instances"]}

    @cached_property
    def images(self) -> list[str]:
        """Names of the keyframes, sorted."""
        return sorted(record.name for record in self._store.read_keyframes())

    @cached_property
    def poses(self) -> dict[str, Pose]:
        """``camera_from_world`` of each registered image of the largest model, by name."""
        from seg2d3d_ros.reconstruction.model_io import read_models

        models = read_models(self.root)
        return dict(zip(models[0].names, models[0].pose, strict=True)) if models else {}

    @property
    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json: counts, timings, warnings."""
        return self._store.read_metrics()

    @property
    def warnings(self) -> list[str]:
        """What the map's makers should know of it, in words."""
        return [str(item) for item in self.metrics.get("warnings", ())]

    def image(self, name: str) -> np.ndarray:
        """(H, W, 3) uint8 RGB of a keyframe. Raises ``DataError`` where its file is gone."""
        return decode_rgb(self._store.read_image(self._record(name)))

    def labels(self, name: str) -> np.ndarray:
        """(H, W) uint16 instance of each pixel of a keyframe, 0 = none. Raises ``DataError`` where it has no labels."""
        self._record(name)
        if not self._store.label_path(name).exists():
            raise DataError(f"{self.root}: {name} has no labels; nobody looked for objects in it, or it is not registered")
        beneath = None if self._unedited is None else self._store.read_unedited(name)
        return self._store.read_labels(name) if beneath is None else beneath

    def points(self, cloud: str = "points") -> np.ndarray:
        """A labelled cloud, "points", "dense" or "lidar": (P,) of x, y, z, red, green, blue, instance, confidence.

        Raises:
            UsageError: another word.
            DataError: the map has no such cloud.
        """
        if cloud not in CLOUDS:
            raise UsageError(f"{cloud}: no cloud; choose {', '.join(CLOUDS)}")
        path = self.root / CLOUDS[cloud]
        if not path.exists():
            raise DataError(f"{path}: the map has no such cloud; it is made by '{HOW_TO_GET[cloud]}'")
        points = read_points(path, layout_of(cloud))
        beneath = None if self._unedited is None else self._unedited.clouds.get(CLOUDS[cloud])
        restored = None if beneath is None else beneath.restored(points)
        return points if restored is None else restored

    def _record(self, name: str) -> Any:
        for record in self._store.read_keyframes():
            if record.name == name:
                return record
        raise UsageError(f"{name}: {self.root} has no such image; its images are {', '.join(self.images[:3])}, …")
