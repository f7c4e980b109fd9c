"""Read and write the map directory. Every file is written whole or not at all.

::

    MAP/
      sparse/<k>/          COLMAP models, largest first        (reconstruction)
      database.db          COLMAP database                     (reconstruction)
      keyframes.json       what went in: name, camera, stamp, image file, intrinsics, position
      keyframes/           image files of streams (a folder of images stays where it is)
      masks/<name>.png     where keypoints of a stream's keyframe are not wanted (black), if anywhere
      scans/<stamp>.npz    a LiDAR's scans, as cloud_node received them (lidar/kept_scans.py)
      segments/<name>.png  the segmenter's masks; <name>.json: their classes and scores
      labels/<name>.png    uint16 instance id per pixel
      overlays/<name>.jpg  the same on the photograph, in colours and numbered (report/overlays.py)
      tracks.json  points.ply  points_rgb.ply  config.yaml  metrics.json  report.html
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.atomic import write_bytes, write_json, write_text
from seg2d3d_ros.config import Config
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.label_runs import LabelRuns
from seg2d3d_ros.images import encode_png, read_labels, write_labels
from seg2d3d_ros.mapstore import point_cloud as ply
from seg2d3d_ros.mapstore.journal import JOURNAL
from seg2d3d_ros.mapstore.named_segments import NamedSegments
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.tracks_file import tracks_document
from seg2d3d_ros.types import Instances, Keyframe, Observation, Segments, SparseModel

log = logging.getLogger(__name__)

OWN_FILES = (
    *("database.db", "database.db-wal", "database.db-shm", "keyframes.json", "tracks.json", JOURNAL),
    *("points.ply", "points_rgb.ply", "cloud.ply", "dense.ply", "config.yaml", "metrics.json", "report.html"),
)
OWN_FOLDERS = ("sparse", "keyframes", "masks", "segments", "labels", "overlays", "scans")


class MapStore:
    """A map directory. Creating the object creates the folder and nothing else.

    Raises:
        DataError: the folder cannot be made, or a file in it is damaged (the message names it).
    """

    def __init__(self, root: Path):
        self.root = Path(root)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.root}: cannot be made ({error.strerror}); choose another map directory") from error

    def label_path(self, name: str) -> Path:
        """Label image of a keyframe."""
        return self._inside("labels", f"{name}.png")

    def segment_path(self, name: str) -> Path:
        """Segment image of a keyframe, as the segmenter gave it."""
        return self._inside("segments", f"{name}.png")

    def overlay_path(self, name: str) -> Path:
        """The labels of a keyframe on its photograph."""
        return self._inside("overlays", f"{name}.jpg")

    def _inside(self, *parts: str) -> Path:
        """A path below the map directory; names come from messages and files, so they are not trusted."""
        path = self.root.joinpath(*parts)
        folder = (self.root / parts[0]).resolve()
        if not path.resolve().is_relative_to(folder):
            raise DataError(f"{'/'.join(parts)}: this name leads out of the map directory; rename the image or camera")
        return path

    def clear(self, files: Sequence[str] = OWN_FILES, folders: Sequence[str] = OWN_FOLDERS) -> None:
        """Delete these parts of the map, or all of it; those that are not there do not matter.

        Raises:
            DataError: one cannot be deleted.
        """
        try:
            for name in folders:
                if (self.root / name).exists():
                    shutil.rmtree(self.root / name)
            for name in files:
                (self.root / name).unlink(missing_ok=True)
        except OSError as error:
            raise DataError(f"{self.root}: cannot be emptied ({error}); delete it by hand") from error

    # What went in

    def write_keyframes(self, records: Sequence[KeyframeRecord]) -> None:
        """Replace keyframes.json."""
        write_json(self.root / "keyframes.json", {"keyframes": [record.to_json() for record in records]})

    def read_keyframes(self) -> list[KeyframeRecord]:
        """Keyframes in the order they came; empty for a new map."""
        return [KeyframeRecord.from_json(item) for item in self._read_json("keyframes.json", {"keyframes": []})["keyframes"]]

    def moments(self) -> dict[str, tuple[str, int]]:
        """(camera name, stamp in ns) of each keyframe, by name."""
        return {record.name: (record.camera_name, record.stamp_ns) for record in self.read_keyframes()}

    def write_image(self, keyframe: Keyframe) -> Path:
        """Keep a stream's image file; returns its path."""
        path = self._inside("keyframes", keyframe.file_name)
        write_bytes(path, keyframe.encoded)
        return path

    def image_path(self, record: KeyframeRecord) -> Path:
        """Where a keyframe's image file is."""
        return self.root / record.image

    def read_image(self, record: KeyframeRecord) -> bytes:
        """The content of a keyframe's image file. Raises ``DataError`` where it cannot be read."""
        path = self.image_path(record)
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error

    def write_mask(self, name: str, ignore: np.ndarray) -> None:
        """Keep where a keyframe's keypoints are not wanted, (H, W) bool, as COLMAP does: black = ignored."""
        write_bytes(self._inside("masks", f"{name}.png"), encode_png(np.where(ignore, 0, 255).astype(np.uint8)))

    def read_mask(self, name: str) -> np.ndarray | None:
        """The inverse of ``write_mask``; None where there is none."""
        path = self._inside("masks", f"{name}.png")
        return read_labels(path) == 0 if path.exists() else None

    def write_segments(
        self, segments: Segments, class_names: Sequence[str], second_look: Collection[int] = ()
    ) -> NamedSegments:
        """Keep the segmenter's masks of one keyframe, with their classes and scores; ids of a second look are marked.

        Returns:
            what is on disk now.
        """
        named = NamedSegments.of(segments, class_names, second_look)
        write_labels(self.segment_path(segments.name), segments.labels)
        write_json(self.segment_path(segments.name).with_suffix(".json"), {str(i): dict(f) for i, f in named.facts.items()})
        return named

    def read_named_segments(self, name: str) -> NamedSegments | None:
        """The segmenter's masks of a keyframe; None if there are none on disk."""
        path = self.segment_path(name)
        if not path.exists():
            return None
        facts = self._read_json(path.with_suffix(".json").relative_to(self.root), {})
        rows = sorted((int(i), fact) for i, fact in facts.items())
        return NamedSegments(name, LabelRuns.of(read_labels(path)), dict(rows))

    # What came out

    def write_labels(self, name: str, labels: LabelRuns) -> None:
        """Write the label image of one keyframe: the instance of each pixel."""
        write_labels(self.label_path(name), labels.image())

    def write_summary(
        self,
        models: Sequence[SparseModel],
        observations: Iterable[Observation],
        instances: Instances,
        class_names: Sequence[str],
    ) -> None:
        """Write tracks.json, points.ply and points_rgb.ply."""
        write_json(self.root / "tracks.json", tracks_document(models, observations, instances, class_names))
        points = ply.labelled_points(models, instances)
        ply.write_points(self.root / "points_rgb.ply", points)
        ply.write_points(self.root / "points.ply", ply.colored_by_instance(points[~ply.stray_points(models)]))

    def read_tracks(self) -> dict[str, Any]:
        """The content of tracks.json."""
        return self._read_json("tracks.json", {"instances": [], "frame": {"kind": "arbitrary"}})

    def read_labels(self, name: str) -> np.ndarray:
        """(H, W) uint16 instance ids of a keyframe."""
        return read_labels(self.label_path(name))

    def read_points(self) -> np.ndarray:
        """The labelled cloud, (P,) structured like ``ply.POINT``; empty if there is none yet."""
        path = self.root / "points.ply"
        return ply.read_points(path) if path.exists() else np.empty(0, ply.POINT)

    def write_config(self, config: Config) -> None:
        """Keep the effective configuration."""
        write_text(self.root / "config.yaml", config.to_yaml())

    def read_metrics(self) -> dict[str, Any]:
        """The content of metrics.json; empty for a new map."""
        return self._read_json("metrics.json", {})

    def update_metrics(self, entries: Mapping[str, Any]) -> None:
        """Replace these top-level entries of metrics.json and keep the others."""
        write_json(self.root / "metrics.json", {**self.read_metrics(), **entries})

    def _read_json(self, name: str | Path, default: Any) -> Any:
        path = self.root / name
        if not path.exists():
            return default
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: damaged ({error}); delete it and run again") from error


def open_map(root: Path, *, resume: bool) -> MapStore:
    """The map directory for a new run: an earlier map in it is removed, or kept when resuming.

    Raises:
        UsageError: the folder holds something else than a map.
    """
    root = Path(root)
    present = {p.name for p in root.iterdir()} if root.is_dir() else set()
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root}: is a file; choose another --out")
    foreign = {name for name in present if not (name.startswith(("database.db", ".")) or name in (*OWN_FILES, *OWN_FOLDERS))}
    if foreign:
        raise UsageError(f"{root}: holds {sorted(foreign)[0]!r}, which belongs to no map; choose an empty folder for --out")
    if present and not resume:
        log.info("%s: an earlier map is replaced (--resume continues it)", root)
        for name in present:
            path = root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return MapStore(root)
