"""Read and write the map directory. Every file is written whole or not at all.

::

    MAP/
      sparse/<k>/          COLMAP models, largest first        (reconstruction)
      database.db          COLMAP database                     (reconstruction)
      keyframes.json       what went in: name, camera, stamp, image file, intrinsics, position
      keyframes/           image files of streams (a folder of images stays where it is)
      masks/<name>.png     where keypoints of a stream's keyframe are not wanted (black), if anywhere
      masks/<name>.json    overlapping masks of any object, as COCO run lengths (masks_file.py)
      granularity.json     the tree of objects that these masks show (tree_file.py)
      scans/<stamp>.npz    a LiDAR's scans, as cloud_node received them (lidar/kept_scans.py)
      segments/<name>.png  the segmenter's masks; <name>.json: their classes and scores
      prompts.json         objects that somebody asked for; prompts/<name>.png: what lies beneath them (prompts_file.py)
      edits.jsonl          corrections by people; unedited.npz, unedited/<name>.png: what lies beneath (unedited_file.py)
      labels/<name>.png    uint16 instance id per pixel; of a panorama beside those of its views
      overlays/<name>.jpg  the same on the photograph, in colours and numbered (report/overlays.py)
      tracks.json  points.ply  points_rgb.ply  config.yaml  metrics.json  report.html
      embeddings.npz  found.png   what instances look like to a text-image model, and the last search (language/)
      map.json             format, whether the map is whole, who writes it    (directory/marker.py)
      names.jsonl  .identity.jsonl    names and ids given so far                   (directory/inventory.py, journal.py)
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.config import Config
from seg2d3d_ros.disk.atomic import write_bytes, write_json, write_text
from seg2d3d_ros.disk.documents import read_json
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.label_runs import LabelRuns
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.images import encode_png, read_labels, write_labels
from seg2d3d_ros.mapstore import checks
from seg2d3d_ros.mapstore import point_cloud as ply
from seg2d3d_ros.mapstore.directory.inventory import (
    EDITS_FILE,
    NAMES_FILE,
    OWN_FILES,
    OWN_FOLDERS,
    delete_own,
    note_name,
    noted_names,
    stem,
)
from seg2d3d_ros.mapstore.files.masks_file import masks_document, read_masks_document
from seg2d3d_ros.mapstore.files.tracks_file import call_otherwise, tracks_document
from seg2d3d_ros.mapstore.files.tree_file import TREE_FILE, StoredTree
from seg2d3d_ros.mapstore.files.unedited_file import read_unedited, write_unedited
from seg2d3d_ros.mapstore.named_segments import NamedSegments
from seg2d3d_ros.mapstore.panoramas import PanoramaBox, panorama_boxes, panorama_labels, views_by_panorama
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.types import Instances, Keyframe, Observation, Segments, SparseModel

log = logging.getLogger(__name__)


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
        self._noted: set[str] = set()

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
        if "\0" in str(path) or not Path(os.path.normpath(path)).is_relative_to(os.path.normpath(self.root / parts[0])):
            raise DataError(f"{'/'.join(parts)}: this name leads out of the map directory; rename the image or camera")
        return self._not_linked(path)

    def _not_linked(self, path: Path) -> Path:
        """Refuses symbolic links inside the map directory: they lead to files that are none of the map's."""
        for part in (path, *path.parents):
            if part == self.root:
                break
            if part.is_symlink():
                raise DataError(f"{part}: is a symbolic link, which a map directory does not hold; put the file itself there")
        return path

    def _to_write(self, folder: str, file: str) -> Path:
        """The path of a file that is called by a keyframe; the name is noted, so that the file is known to be the map's."""
        path, name = self._inside(folder, file), stem(file)
        if name not in self._noted:
            if not self._noted:
                self._noted.update(noted_names(self.root))
            if name not in self._noted:
                note_name(self.root, name)
                self._noted.add(name)
        return path

    def clear(self, files: Sequence[str] = OWN_FILES, folders: Sequence[str] = OWN_FOLDERS) -> None:
        """Delete these parts of the map, or all of it but ``map.json``; other files in these folders stay. Names stay known:
        other nodes go on writing. The log of people's corrections stays, too.

        Raises:
            DataError: one cannot be deleted.
        """
        if foreign := delete_own(self.root, only={*files, *folders} - {NAMES_FILE, EDITS_FILE}):
            log.warning("%s: %r is kept, which belongs to no map", self.root, foreign[0])

    # What went in

    def write_keyframes(self, records: Sequence[KeyframeRecord]) -> None:
        """Replace keyframes.json."""
        write_json(self.root / "keyframes.json", {"keyframes": [record.to_json() for record in records]})

    def read_keyframes(self) -> list[KeyframeRecord]:
        """Keyframes in the order they came; empty for a new map."""
        document = self._read_json("keyframes.json", {"keyframes": []}, checks.KEYFRAMES)
        return [KeyframeRecord.from_json(item) for item in document["keyframes"]]

    def moments(self) -> dict[str, tuple[str, int]]:
        """(camera name, stamp in ns) of each keyframe, by name."""
        return {record.name: (record.camera_name, record.stamp_ns) for record in self.read_keyframes()}

    def write_image(self, keyframe: Keyframe) -> Path:
        """Keep a stream's image file; returns its path."""
        path = self._to_write("keyframes", keyframe.file_name)
        write_bytes(path, keyframe.encoded)
        return path

    def image_path(self, record: KeyframeRecord) -> Path:
        """Where a keyframe's image file is."""
        return self.root / record.image

    def read_image(self, record: KeyframeRecord) -> bytes:
        """The content of a keyframe's image file. Raises ``DataError`` where it cannot be read."""
        path = self.image_path(record)
        if path.is_relative_to(self.root):
            self._not_linked(path)
        if path.exists() and not path.is_file():
            raise DataError(f"{path}: is no file")
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error

    def write_mask(self, name: str, ignore: np.ndarray) -> None:
        """Keep where a keyframe's keypoints are not wanted, (H, W) bool, as COLMAP does: black = ignored."""
        write_bytes(self._to_write("masks", f"{name}.png"), encode_png(np.where(ignore, 0, 255).astype(np.uint8)))

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
        path = self._to_write("segments", f"{segments.name}.png")
        write_labels(path, segments.labels)
        write_json(path.with_suffix(".json"), {str(i): dict(f) for i, f in named.facts.items()})
        return named

    def write_overlapping(self, masks: OverlappingMasks, class_names: Sequence[str]) -> None:
        """Keep the overlapping masks of one keyframe; class id k is ``class_names[k - 1]``."""
        write_json(self._to_write("masks", f"{masks.name}.json"), masks_document(masks, class_names))

    def read_overlapping(self, name: str, class_names: Sequence[str]) -> OverlappingMasks:
        """The inverse; masks of other classes are left out. Raises ``DataError`` where the file is missing or damaged."""
        return read_masks_document(self._inside("masks", f"{name}.json"), name, class_names)

    def overlapping_names(self) -> list[str]:
        """Names of the keyframes with overlapping masks, sorted."""
        return sorted(path.stem for path in (self.root / "masks").glob("[!.]*.json"))

    def clear_overlapping(self) -> None:
        """Delete the overlapping masks of all keyframes; where keypoints are not wanted stays.

        Raises:
            DataError: one cannot be deleted.
        """
        try:
            for name in self.overlapping_names():
                self._inside("masks", f"{name}.json").unlink(missing_ok=True)
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be deleted ({error.strerror})") from error

    def write_tree(self, tree: StoredTree) -> None:
        """Replace granularity.json."""
        write_json(self.root / TREE_FILE, tree.to_json())

    def write_passed_over(self, name: str) -> None:
        """Note that nobody looked for objects in a keyframe: a table of segments without a label image."""
        write_json(self._to_write("segments", f"{name}.json"), {})

    def read_passed_over(self) -> set[str]:
        """Names of the keyframes in which nobody looked for objects."""
        tables = (self.root / "segments").glob("[!.]*.json")
        return {path.stem for path in tables if not path.with_suffix(".png").exists()}

    def read_named_segments(self, name: str) -> NamedSegments | None:
        """The segmenter's masks of a keyframe; None if there are none on disk."""
        path = self.segment_path(name)
        if not path.exists():
            return None
        facts = self._read_json(path.with_suffix(".json").relative_to(self.root), {}, checks.SEGMENT_FACTS)
        rows = sorted((int(i), fact) for i, fact in facts.items())
        return NamedSegments(name, LabelRuns.of(read_labels(path)), dict(rows))

    # What came out

    def write_labels(self, name: str, labels: LabelRuns) -> None:
        """Write the label image of one keyframe: the instance of each pixel."""
        write_labels(self._to_write("labels", f"{name}.png"), labels.image())

    def write_summary(
        self,
        models: Sequence[SparseModel],
        observations: Iterable[Observation],
        instances: Instances,
        class_names: Sequence[str],
        places: Mapping[int, Mapping[str, Any]] | None = None,
    ) -> None:
        """Write tracks.json, points.ply and points_rgb.ply, and panoramas' labels; ``places`` as in ``tracks_document``."""
        boxes = self.write_panoramas()
        write_json(self.root / "tracks.json", tracks_document(models, observations, instances, class_names, boxes, places))
        points = ply.labelled_points(models, instances)
        ply.write_points(self.root / "points_rgb.ply", points)
        ply.write_points(self.root / "points.ply", ply.colored_by_instance(points[~ply.stray_points(models)]))

    def write_panoramas(self) -> list[tuple[int, PanoramaBox]]:
        """Put the labels of panoramas together from those of their views; returns where each instance is seen."""
        boxes: list[tuple[int, PanoramaBox]] = []
        for panorama, views in views_by_panorama(self.read_keyframes()).items():
            there = {name: self.read_labels(name) for name, _ in views if self.label_path(name).exists()}
            labels = panorama_labels(views, there.get)
            if labels is not None:
                write_labels(self._to_write("labels", f"{panorama}.png"), labels)
                boxes += panorama_boxes(panorama, labels).items()
        return boxes

    def read_tracks(self) -> dict[str, Any]:
        """The content of tracks.json."""
        return self._read_json("tracks.json", {"instances": [], "frame": {"kind": "arbitrary"}}, checks.TRACKS)

    def rename_classes(self, classes: Mapping[int, str]) -> None:
        """Call instances of tracks.json, by id, by other names; what a detector called each is kept as ``detected_class``."""
        tracks = self.read_tracks()
        call_otherwise(tracks, classes)
        if (unedited := read_unedited(self.root)) is not None:
            call_otherwise(unedited.tracks, classes)
            write_unedited(self.root, unedited)
        write_json(self.root / "tracks.json", tracks)

    def read_labels(self, name: str) -> np.ndarray:
        """(H, W) uint16 instance ids of a keyframe."""
        return read_labels(self.label_path(name))

    def read_points(self) -> np.ndarray:
        """The labelled cloud, (P,) structured like ``ply.POINT``; empty if there is none yet."""
        path = self.root / "points.ply"
        return ply.read_points(path) if path.exists() else np.empty(0, ply.POINT)

    def write_unprompted(self, name: str, labels: np.ndarray) -> None:
        """Keep what the label image of a keyframe is without the objects that somebody asked for (prompts_file.py)."""
        write_labels(self._to_write("prompts", f"{name}.png"), labels)

    def read_unprompted(self, name: str) -> np.ndarray | None:
        """The inverse; None where prompts changed nothing."""
        path = self._inside("prompts", f"{name}.png")
        return read_labels(path) if path.exists() else None

    def write_unedited(self, name: str, labels: np.ndarray) -> None:
        """Keep what the label image of a keyframe is without people's corrections (unedited_file.py)."""
        write_labels(self._to_write("unedited", f"{name}.png"), labels)

    def read_unedited(self, name: str) -> np.ndarray | None:
        """The inverse; None where corrections changed nothing."""
        path = self._inside("unedited", f"{name}.png")
        return read_labels(path) if path.exists() else None

    def write_config(self, config: Config) -> None:
        """Keep the effective configuration."""
        write_text(self.root / "config.yaml", config.to_yaml())

    def read_metrics(self) -> dict[str, Any]:
        """The content of metrics.json; empty for a new map."""
        return self._read_json("metrics.json", {}, checks.METRICS)

    def update_metrics(self, entries: Mapping[str, Any]) -> None:
        """Replace these top-level entries of metrics.json and keep the others; None takes an entry out."""
        after = {**self.read_metrics(), **entries}
        write_json(self.root / "metrics.json", {name: value for name, value in after.items() if value is not None})

    def _read_json(self, name: str | Path, default: Any, check: checks.Check = checks.anything) -> Any:
        path = self._not_linked(self.root / name)
        if not path.exists():
            return default
        value = read_json(path, remedy="delete it and run again", unreadable=DataError)
        try:
            check(value, "")
        except ValueError as error:
            raise DataError(f"{path}: damaged ({error}); delete it and run again") from error
        return value
