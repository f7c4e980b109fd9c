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
      tracks.json  points.ply  config.yaml  metrics.json  report.html
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.association.masks.repair import Repair, Repaired
from seg2d3d_ros.atomic import write_bytes, write_json, write_text
from seg2d3d_ros.config import Config
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.images import encode_png, read_labels, write_labels
from seg2d3d_ros.mapstore import point_cloud as ply
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.tracks_file import Observation, observations_of, tracks_document
from seg2d3d_ros.types import Incidence, Instances, Keyframe, Segments, SparseModel


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

    @property
    def database(self) -> Path:
        """COLMAP's database."""
        return self.root / "database.db"

    def label_path(self, name: str) -> Path:
        """Label image of a keyframe."""
        return self._inside("labels", f"{name}.png")

    def segment_path(self, name: str) -> Path:
        """Segment image of a keyframe, as the segmenter gave it."""
        return self._inside("segments", f"{name}.png")

    def _inside(self, *parts: str) -> Path:
        """A path below the map directory; names come from messages and files, so they are not trusted."""
        path = self.root.joinpath(*parts)
        folder = (self.root / parts[0]).resolve()
        if not path.resolve().is_relative_to(folder):
            raise DataError(f"{'/'.join(parts)}: this name leads out of the map directory; rename the image or camera")
        return path

    def clear(self, files: Sequence[str], folders: Sequence[str]) -> None:
        """Delete these parts of the map; those that are not there do not matter.

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

    def write_image(self, keyframe: Keyframe) -> Path:
        """Keep a stream's image file; returns its path."""
        path = self._inside("keyframes", keyframe.file_name)
        write_bytes(path, keyframe.encoded)
        return path

    def image_path(self, record: KeyframeRecord) -> Path:
        """Where a keyframe's image file is."""
        return self.root / record.image

    def write_mask(self, name: str, ignore: np.ndarray) -> None:
        """Keep where a keyframe's keypoints are not wanted, (H, W) bool, as COLMAP does: black = ignored."""
        write_bytes(self._inside("masks", f"{name}.png"), encode_png(np.where(ignore, 0, 255).astype(np.uint8)))

    def read_mask(self, name: str) -> np.ndarray | None:
        """The inverse of ``write_mask``; None where there is none."""
        path = self._inside("masks", f"{name}.png")
        return read_labels(path) == 0 if path.exists() else None

    def write_segments(self, segments: Segments, class_names: Sequence[str], second_look: Collection[int] = ()) -> None:
        """Keep the segmenter's masks of one keyframe, with their classes and scores; ids of a second look are marked."""
        rows = zip(segments.ids, segments.classes, segments.scores, strict=True)
        info: dict[str, dict[str, Any]] = {
            str(i): {"class": class_names[class_id - 1], "score": round(float(score), 4)} for i, class_id, score in rows
        }
        for i in second_look:
            info[str(i)]["second_look"] = True
        write_labels(self.segment_path(segments.name), segments.labels)
        write_json(self.segment_path(segments.name).with_suffix(".json"), info)

    def read_segments(self, name: str, class_names: Sequence[str]) -> Segments | None:
        """The segmenter's masks of a keyframe, of these classes; None if there are none on disk."""
        path = self.segment_path(name)
        if not path.exists():
            return None
        info = self._read_json(path.with_suffix(".json").relative_to(self.root), {})
        rows = [(int(i), class_names.index(x["class"]) + 1, x["score"]) for i, x in info.items() if x["class"] in class_names]
        ids, classes, scores = zip(*sorted(rows), strict=True) if rows else ((), (), ())
        labels = read_labels(path)
        labels[~np.isin(labels, ids)] = 0
        return Segments(name, labels, np.array(ids, np.uint16), np.array(classes, np.int32), np.array(scores, np.float32))

    # What came out

    def write_result(
        self,
        models: Sequence[SparseModel],
        segments: Mapping[str, Segments],
        incidence: Incidence,
        instances: Instances,
        class_names: Sequence[str],
        repair: Repair | None = None,
    ) -> None:
        """Write label images, tracks.json and points.ply. Segments that show several instances are cut between them.

        Args:
            models: components; their points, one after the other, are the incidence's points.
            segments: of every keyframe, by name. Keyframes outside the models get an empty label image.
            class_names: the prompts; class id k is ``class_names[k - 1]``.
            repair: what is published of each keyframe; None = its segments, cut between instances.
        """
        repair = repair or Repair(incidence, instances)
        observations = [item for name in segments for item in self.write_labels(repair(segments[name]))]
        self.write_summary(models, observations, instances, class_names)

    def write_labels(self, repaired: Repaired) -> list[Observation]:
        """Write the label image of one keyframe; returns what it says of the instances."""
        segments = repaired.segments
        write_labels(self.label_path(segments.name), relabel(segments.labels, repaired.instance_of))
        return list(observations_of(repaired))

    def write_summary(
        self,
        models: Sequence[SparseModel],
        observations: Iterable[Observation],
        instances: Instances,
        class_names: Sequence[str],
    ) -> None:
        """Write tracks.json and points.ply."""
        write_json(self.root / "tracks.json", tracks_document(models, observations, instances, class_names))
        ply.write_points(self.root / "points.ply", ply.labelled_points(models, instances))

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


def relabel(labels: np.ndarray, table: Mapping[int, int]) -> np.ndarray:
    """(H, W) uint16 instance ids from segment ids; segments without an entry become 0."""
    if table and max(table.values()) > np.iinfo(np.uint16).max:
        raise DataError(f"instance id {max(table.values())} does not fit the 16 bits of a label image")
    lookup = np.zeros(int(labels.max(initial=0)) + 1, np.uint16)
    for segment_id, instance_id in table.items():
        if segment_id < len(lookup):
            lookup[segment_id] = instance_id
    return lookup[labels]
