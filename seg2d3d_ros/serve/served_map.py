"""A map directory as the browser sees it, read again whenever it has changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from seg2d3d_ros.editing.edit_log import EditLog
from seg2d3d_ros.errors import DataError, Seg2d3dError, UsageError
from seg2d3d_ros.findings import printable
from seg2d3d_ros.images import encode_jpeg, encode_png
from seg2d3d_ros.mapstore.files.unedited_file import read_unedited
from seg2d3d_ros.mapstore.held_map import look_into
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.palette import instance_colors
from seg2d3d_ros.report.pictures import crop, decode_smaller
from seg2d3d_ros.viewer.captions import captions
from seg2d3d_ros.viewer.packing import pack
from seg2d3d_ros.viewer.scene_reading import read_scenes

WIDTHS = (320, 640, 1280, 1920)
"""Pixels that pictures may be asked for."""
QUALITY = 82
KEPT_PICTURES = 96
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class MapContent:
    """A map as it was at one moment.

    Attributes:
        revision: differs whenever the map does.
        document: what the page shows.
        records: of the keyframes with a label image or a photograph.
        best: of each instance, the keyframe and the box of its best view.
    """

    revision: str
    document: Mapping[str, Any]
    records: Mapping[str, KeyframeRecord]
    best: Mapping[int, tuple[str, tuple[int, int, int, int]]]


class ServedMap:
    """See the module. Safe to use from any thread.

    Raises:
        DataError: it is no map, or damaged.
    """

    def __init__(self, root: Path) -> None:
        self.root = look_into(root).root
        self._reading = threading.Lock()
        self._content: MapContent | None = None
        self._scene = lru_cache(2)(self._read_scene)
        self._picture = lru_cache(KEPT_PICTURES)(self._draw)
        self.content()

    @property
    def revision(self) -> str:
        """Of the map in the folder now: another folder takes its place whenever the map changes."""
        found = [self.root.stat().st_ino]
        for name in ("tracks.json", "points.ply", "edits.jsonl", "metrics.json"):
            path = self.root / name
            found.append(path.stat().st_mtime_ns if path.exists() else 0)
        return "-".join(f"{value:x}" for value in found)

    def content(self) -> MapContent:
        """The map now. Raises ``DataError``: a damaged file."""
        with self._reading:
            revision = self._steadily(lambda: self.revision)
            if self._content is None or revision != self._content.revision:
                self._content = self._steadily(lambda: self._read(revision))
            return self._content

    def _steadily(self, read: Callable[[], Answer]) -> Answer:
        """Once more where the folder was replaced while it was read."""
        try:
            return read()
        except (Seg2d3dError, OSError):
            return read()

    def _read(self, revision: str) -> MapContent:
        store = look_into(self.root)
        tracks, records = store.read_tracks(), store.read_keyframes()
        named = captions(records)
        best: dict[int, tuple[str, tuple[int, int, int, int]]] = {}
        instances, shown_in = [], dict[str, list[int]]()
        for item in tracks["instances"]:
            seen = {observation["image"] for observation in item["observations"]}
            for name in seen:
                shown_in.setdefault(name, []).append(item["id"])
            view = max(item["observations"], key=_clear, default=None)
            if view is not None:
                x0, y0, x1, y1 = (int(v) for v in view["box"])
                best[item["id"]] = (view["image"], (x0, y0, x1, y1))
            instances.append(
                {
                    **{key: item[key] for key in ("id", "class", "score", "points")},
                    "images": sorted(seen),
                    "size": (item.get("box3d") or {}).get("size"),
                    "component": item.get("component", 0),
                    "color": "#" + bytes(instance_colors([item["id"]])[0]).hex(),
                    "edited": item.get("edited", []),
                    "prompted": bool(item.get("prompted")),
                    "best": None if view is None else view["image"],
                }
            )
        images = [
            {"name": record.name, "caption": named[record.name], "instances": sorted(shown_in.get(record.name, []))}
            for record in records
        ]
        document = {
            "name": printable(self.root.resolve().name),
            "revision": revision,
            "metric": tracks["frame"]["kind"] != "arbitrary",
            "instances": instances,
            "images": images,
            "edits": self._edits(named),
            "notes": [str(text) for text in store.read_metrics().get("warnings", ())],
        }
        return MapContent(revision, document, {record.name: record for record in records}, best)

    def _edits(self, named: Mapping[str, str]) -> list[dict[str, Any]]:
        log, unedited = EditLog(self.root), read_unedited(self.root)
        states = {} if unedited is None else unedited.states
        active = {edit.id for edit in log.active}
        found = []
        for edit in log.entries:
            state = "undo" if edit.operation == "undo" else "undone" if edit.id not in active else "shown"
            lost = states.get(edit.id, "" if state != "shown" else "not made yet")
            image = edit.content.get("line", {}).get("image", "")
            what = edit.in_words.replace(image, named[image]) if image in named else edit.in_words
            entry = {"id": edit.id, "time": edit.time, "author": edit.author, "what": what}
            found.append({**entry, "state": "lost" if state == "shown" and lost else state, "why": lost})
        return found

    def record(self, name: str) -> KeyframeRecord:
        """A keyframe. Raises ``UsageError`` where there is none of this name: only those that the map lists are served."""
        record = self.content().records.get(name)
        if record is None:
            raise UsageError("the map has no such image")
        return record

    def scene(self) -> dict[str, Any]:
        """The largest model in 3D, as the viewer takes it; empty without a model."""
        return self._scene(self.content().revision)

    def _read_scene(self, revision: str) -> dict[str, Any]:
        scenes = read_scenes(self.root)
        return pack(scenes[0]) if scenes else {}

    def picture(self, kind: str, name: str, width: int) -> bytes:
        """``photo``: a keyframe's photograph (JPEG). ``labels``: its instances (PNG, red * 256 + green). ``thumb``: an
        instance's best view (JPEG).

        Raises:
            UsageError: no such image, instance or width.
            DataError: the photograph is gone or damaged.
        """
        if width not in WIDTHS:
            raise UsageError(f"pictures are {', '.join(map(str, WIDTHS))} pixels wide")
        if kind == "thumb":
            if not name.isdecimal() or len(name) > 6 or int(name) not in self.content().best:
                raise UsageError("the map has no such instance")
        else:
            self.record(name)
        revision = "" if kind == "photo" else self.content().revision
        return self._steadily(lambda: self._picture(revision, kind, name, width))

    def _draw(self, revision: str, kind: str, name: str, width: int) -> bytes:
        store = MapStore(self.root)
        if kind == "thumb":
            image, box = self.content().best[int(name)]
            labels = _labels(store, image)
            picture = self._photo(store, self.record(image), width)
            return encode_jpeg(crop(picture, labels, int(name), box, width // 2), QUALITY)
        record = self.record(name)
        if kind == "labels":
            labels = _labels(store, name)
            if labels is None:
                raise DataError("no objects are known in this image")
            height = round(labels.shape[0] * min(1.0, width / labels.shape[1]))
            small = cv2.resize(labels, (min(width, labels.shape[1]), max(1, height)), interpolation=cv2.INTER_NEAREST)
            high, low = np.divmod(np.asarray(small, np.uint16), 256)
            return encode_png(np.dstack([high, low, np.zeros_like(low)]).astype(np.uint8))
        return encode_jpeg(self._photo(store, record, width), QUALITY)

    def _photo(self, store: MapStore, record: KeyframeRecord, width: int) -> np.ndarray:
        try:
            sides = record.camera.width if record.camera is not None else width
            smaller = max(factor for factor in (1, 2, 4, 8) if factor <= max(1.0, sides / width))
            picture = decode_smaller(store, record, smaller)
        except OSError as error:
            raise DataError(f"{record.name}: {error}") from error
        if picture.shape[1] <= width:
            return picture
        height = max(1, round(picture.shape[0] * width / picture.shape[1]))
        return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))

    def size(self, name: str) -> tuple[int, int]:
        """Width and height in whose pixels places in an image are told: those of its labels, else of its camera."""
        record, labels = self.record(name), _labels(MapStore(self.root), name)
        if labels is not None:
            return labels.shape[1], labels.shape[0]
        if record.camera is not None:
            return record.camera.width, record.camera.height
        raise DataError(f"{name}: nothing is known of its size")


def _labels(store: MapStore, name: str) -> np.ndarray | None:
    return store.read_labels(name) if store.label_path(name).exists() else None


def _clear(observation: Mapping[str, Any]) -> tuple[bool, float]:
    """What shows an instance best: a mask of its own, and a large one."""
    x0, y0, x1, y1 = observation["box"]
    return not observation.get("recovered", False), float((x1 - x0) * (y1 - y0) * observation.get("share", 1.0))
