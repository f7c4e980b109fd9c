"""A map as a recording for the viewer rerun (https://rerun.io): what was seen when, and which instance is which.

The timelines ``time`` and ``keyframe`` are the drive: each instance is there from its first image on. The timeline
``instance`` goes through the instances by their ids.

=========================  =========================================================================================
``world/points``           the points of no instance, in the photographs' colours
``world/instances/<id>``   points and ``box`` of an instance, in its colour, with its name
``world/cameras/<name>``   pose, intrinsics and image of each camera; ``labels`` has the instance of each pixel
``instance/points``        points and ``box`` of the instance whose turn it is
``instance/best``          its best view, with the box around it; ``instance/facts`` its figures
=========================  =========================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from seg2d3d_ros.errors import Seg2d3dError
from seg2d3d_ros.export.gis.features import best_image, moment
from seg2d3d_ros.export.libraries import needed
from seg2d3d_ros.findings import NOTE, Findings, Kind
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.images import decode_rgb, encode_jpeg
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.palette import instance_colors
from seg2d3d_ros.types import SparseModel
from seg2d3d_ros.viewer.scene import photo_colors

QUALITY = 80
KEYFRAME_WITHOUT_PICTURE = Kind(
    "view_without_picture",
    "keyframes that are shown without their image",
    cause="the photograph or its label image cannot be read ({reason})",
    remedy="put the photographs back where they were",
    level=NOTE,
)


def open_stream(name: str) -> Any:
    """A ``rerun.RecordingStream`` for the map of this name. Raises ``DataError`` where rerun is not installed."""
    rerun = needed("rerun", "looking at a map", "rerun-sdk", "view")
    stream = rerun.RecordingStream("seg2d3d")
    stream.send_recording_name(name)
    if hasattr(stream, "set_log_time_enabled"):  # younger ones: when this program wrote it is of no interest
        stream.set_log_time_enabled(False)
    return stream


def record_map(
    stream: Any, store: MapStore, models: Sequence[SparseModel], photographed: np.ndarray, width: int, findings: Findings
) -> None:
    """Log a map to a ``rerun.RecordingStream``: of components without a common frame the largest one.

    Args:
        stream: where it goes.
        store: the map.
        models: those that are shown, all of one frame.
        photographed: (Q,) as in ``points_rgb.ply``.
        width: of the images in pixels, where they are not smaller.
        findings: gets the keyframes whose image cannot be read.
    """
    _Recorder(stream, store, width, findings).record(models, photographed)


class _Recorder:
    def __init__(self, stream: Any, store: MapStore, width: int, findings: Findings) -> None:
        self.rerun, self.stream = needed("rerun", "looking at a map", "rerun-sdk", "view"), stream
        self.store, self.width, self.findings = store, width, findings
        self.records = {record.name: record for record in store.read_keyframes()}
        self.order = {name: k for k, name in enumerate(sorted(self.records, key=self._when))}

    def _when(self, name: str) -> tuple[int, str]:
        return self.records[name].stamp_ns, name

    def record(self, models: Sequence[SparseModel], photographed: np.ndarray) -> None:
        components = {model.component for model in models}
        listed = [item for item in self.store.read_tracks()["instances"] if item.get("component", 0) in components]
        points = self.store.read_points()
        ids = np.concatenate([np.empty(0, np.int64), *(model.point_ids for model in models)])
        points = points[np.isin(points["point_id"], ids)] if models else points
        self._begin(listed)
        self._loose_points(points[~np.isin(points["instance"], [item["id"] for item in listed])], photographed)
        self._drive(models)
        for item in listed:
            self._instance(item, points[points["instance"] == item["id"]])
        self._layout()

    def _begin(self, listed: Sequence[Mapping[str, Any]]) -> None:
        rerun = self.rerun
        colors = instance_colors([item["id"] for item in listed])
        named = [(item["id"], f"{item['class']} {item['id']}", color) for item, color in zip(listed, colors, strict=True)]
        self.stream.log("/", rerun.AnnotationContext([(0, "none", (0, 0, 0, 0)), *named]), static=True)
        self.stream.log("world", rerun.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)

    def _loose_points(self, points: np.ndarray, photographed: np.ndarray) -> None:
        shown = self.rerun.Points3D(_xyz(points), colors=photo_colors(points, photographed), radii=_pixels(1.0))
        self.stream.log("world/points", shown, static=True)

    def _drive(self, models: Sequence[SparseModel]) -> None:
        views = {name: view for model in models for name, view in zip(model.names, model.views(), strict=True)}
        for name in sorted(set(views) & set(self.records), key=self._when):
            if view := views[name]:
                self._set_drive(name)
                self._keyframe(self.records[name], view)

    def _set_drive(self, name: str) -> None:
        self.stream.reset_time()
        self.stream.set_time("keyframe", sequence=self.order[name])
        stamp = self.records[name].stamp_ns
        if moment(stamp):
            self.stream.set_time("time", timestamp=np.datetime64(stamp, "ns"))
        elif stamp:
            self.stream.set_time("time", duration=stamp / 1e9)

    def _keyframe(self, record: KeyframeRecord, view: View) -> None:
        rerun, path = self.rerun, ["world", "cameras", record.camera_name or "camera"]
        pose = view.camera_from_world.inverse()
        self.stream.log(path, rerun.Transform3D(translation=pose.translation, mat3x3=pose.rotation))
        shrink = min(1.0, self.width / view.camera.width)
        size = max(round(view.camera.width * shrink), 1), max(round(view.camera.height * shrink), 1)
        scale = np.array(size) / [view.camera.width, view.camera.height]
        focal, middle = np.multiply(view.camera.focal_lengths, scale), np.multiply(view.camera.principal_point, scale)
        pinhole = rerun.Pinhole(
            resolution=size, focal_length=focal, principal_point=middle, camera_xyz=rerun.ViewCoordinates.RDF
        )
        self.stream.log(path, pinhole)
        try:
            picture = self._picture(record, size)
            labels = self.store.read_labels(record.name) if self.store.label_path(record.name).exists() else None
        except (Seg2d3dError, OSError) as error:
            self.findings.add(KEYFRAME_WITHOUT_PICTURE, record.name, of=len(self.records), reason=str(error))
            self.stream.log([*path, "image"], rerun.Clear(recursive=False))
            self.stream.log([*path, "labels"], rerun.Clear(recursive=False))
            return
        self.stream.log([*path, "image"], rerun.EncodedImage(contents=picture, media_type="image/jpeg"))
        if labels is not None:
            smaller = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
            self.stream.log([*path, "labels"], rerun.SegmentationImage(smaller, opacity=0.5))

    def _picture(self, record: KeyframeRecord, size: tuple[int, int]) -> bytes:
        """JPEG of ``size`` = width, height."""
        known = record.camera.width if record.camera else size[0]
        reduction = max(factor for factor in (1, 2, 4, 8) if factor <= max(1.0, known / size[0]))
        image = decode_rgb(self.store.read_image(record), record.image, reduction)
        return encode_jpeg(cv2.resize(image, size, interpolation=cv2.INTER_AREA), QUALITY)

    def _instance(self, item: Mapping[str, Any], points: np.ndarray) -> None:
        rerun, number = self.rerun, int(item["id"])
        names = sorted({seen["image"] for seen in item["observations"]} & set(self.records), key=self._when)
        if names:
            self._set_drive(names[0])
        else:
            self.stream.reset_time()
        shown = rerun.Points3D(_xyz(points), class_ids=[number] * len(points), radii=_pixels(2.0), show_labels=False)
        box = _box(rerun, item)
        self.stream.log(["world", "instances", str(number)], shown, static=not names)
        if box is not None:
            self.stream.log(["world", "instances", str(number), "box"], box, static=not names)
        self.stream.reset_time()
        self.stream.set_time("instance", sequence=number)
        self.stream.log("instance/points", shown)
        self.stream.log("instance/points/box", rerun.Boxes3D(half_sizes=[], centers=[]) if box is None else box)
        self.stream.log("instance/facts", rerun.TextDocument(_facts(item, names), media_type="text/markdown"))
        self._best_view(item)

    def _best_view(self, item: Mapping[str, Any]) -> None:
        name, rerun = best_image(item), self.rerun
        record = self.records.get(name or "")
        if record is None:
            return
        seen = max((s for s in item["observations"] if s["image"] == name), key=lambda s: s["score"])
        try:
            image = decode_rgb(self.store.read_image(record), record.image)
        except (Seg2d3dError, OSError) as error:
            self.findings.add(KEYFRAME_WITHOUT_PICTURE, record.name, of=len(self.records), reason=str(error))
            return
        scale = min(1.0, self.width / image.shape[1])
        size = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
        picture = encode_jpeg(cv2.resize(image, size, interpolation=cv2.INTER_AREA), QUALITY)
        self.stream.log("instance/best", rerun.EncodedImage(contents=picture, media_type="image/jpeg"))
        x0, y0, x1, y1 = np.multiply(seen["box"], scale).tolist()
        around = rerun.Boxes2D(mins=[[x0, y0]], sizes=[[x1 - x0, y1 - y0]], class_ids=[item["id"]])
        self.stream.log("instance/best/box", around)

    def _layout(self) -> None:
        layout = self.rerun.blueprint
        cameras = sorted({record.camera_name or "camera" for record in self.records.values()})[:4]
        paths = [self.rerun.new_entity_path(["world", "cameras", camera]) for camera in cameras]
        images = [layout.Spatial2DView(origin=path, name=camera) for path, camera in zip(paths, cameras, strict=True)]
        drive = layout.Horizontal(
            layout.Spatial3DView(origin="/world", name="Map"),
            layout.Grid(*images, name="Images"),
            column_shares=[3, 2],
            name="Drive",
        )
        each = layout.Horizontal(
            layout.Spatial3DView(origin="/instance", contents=["/instance/points/**"], name="Instance"),
            layout.Vertical(
                layout.Spatial2DView(origin="/instance/best", name="Best view"),
                layout.TextDocumentView(origin="/instance/facts", name="Figures"),
            ),
            name="Instances",
        )
        self.stream.send_blueprint(layout.Blueprint(layout.Tabs(drive, each), layout.TimePanel(timeline="keyframe")))


def _xyz(points: np.ndarray) -> np.ndarray:
    return np.stack([points[axis] for axis in "xyz"], axis=1)


def _pixels(radius: float) -> float:
    """Radii below zero are of the screen, not of the world."""
    return -radius


def _box(rerun: Any, item: Mapping[str, Any]) -> Any:
    box = item.get("box3d") or {}
    if not {"center", "size", "quaternion_xyzw"} <= set(box):
        return None
    return rerun.Boxes3D(
        centers=[box["center"]],
        half_sizes=[np.array(box["size"]) / 2],
        quaternions=[rerun.Quaternion(xyzw=box["quaternion_xyzw"])],
        labels=[f"{item['class']} {item['id']}"],
        class_ids=[item["id"]],
    )


def _facts(item: Mapping[str, Any], names: Sequence[str]) -> str:
    """Markdown; the class is put in as code, so that nothing in it is markup."""
    size = (item.get("box3d") or {}).get("size")
    rows = {
        "score": f"{item['score']:.2f}",
        "length × depth × height": " × ".join(f"{length:.1f}" for length in size) if size else "unknown",
        "images": str(len(names)),
        "points": f"{item['points']:,}",
        "first image": f"`{names[0]}`" if names else "",
        "last image": f"`{names[-1]}`" if names else "",
    }
    name = str(item["class"]).replace("`", "'").replace("\n", " ")
    return f"# `{name}` {item['id']}\n\n| | |\n|---|---|\n" + "\n".join(f"| {what} | {value} |" for what, value in rows.items())
