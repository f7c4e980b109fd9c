"""Read a map directory and its ground truth once, image by image, into overlaps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seg2d3d_ros.disk.documents import read_json
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.evaluation.overlaps import OverlapCounter, Overlaps, joint_counts
from seg2d3d_ros.geometry.label_runs import LabelRuns
from seg2d3d_ros.images import read_labels
from seg2d3d_ros.recording.naming import natural_key


@dataclass(frozen=True)
class MapMasks:
    """What the evaluation knows of a map: R raw masks (of the segmenter), their boxes and scores, and the labels.

    Attributes:
        labelled: overlaps of the truth with MAP/labels.
        raw: overlaps of the truth with MAP/segments, or with MAP/labels where there are no raw segments.
        raw_label: (R,) int64 the persistent label that covers most of each raw mask, 0 = none.
        boxes: (R, 4) int32 ``x0 y0 x1 y1``, last pixel excluded.
        scores: (R,) float64, 1 where the segmenter gave none.
        unlabelled_images: images without a label file or with an empty one.
        notes: in words, what was missing.
    """

    labelled: Overlaps
    raw: Overlaps
    raw_label: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    unlabelled_images: int
    notes: tuple[str, ...]


def read_map_masks(map_root: Path, truth: Path, *, was_input: bool = False) -> MapMasks:
    """Count the overlaps of a map with the truth; images in natural order of their names.

    Every truth image counts; one that the map has no labels for has an empty prediction.

    Args:
        was_input: the truth may be what the segmenter gave, too.

    Raises:
        DataError: folders without images, no name in common, sizes that differ, damaged files.
        UsageError: the truth is the map's own labels, or (unless ``was_input``) what the segmenter gave.
    """
    _refuse_folder_of_map(map_root, truth)
    names = _image_names(map_root, truth)
    own = _Own()
    labelled, raw = OverlapCounter(), OverlapCounter()
    raw_label, boxes, scores = [np.empty(0, np.int64)], [np.empty((0, 4), np.int32)], [np.empty(0)]
    empty = without_segments = 0
    for name in names:
        truth_image = read_labels(truth / f"{name}.png")
        label_path, segment_path = map_root / "labels" / f"{name}.png", map_root / "segments" / f"{name}.png"
        labels = read_labels(label_path) if label_path.exists() else np.zeros_like(truth_image)
        labelled.add(name, truth_image, labels)
        empty += not labels.any()
        without_segments += not segment_path.exists()
        segments = read_labels(segment_path) if segment_path.exists() else labels
        raw.add(name, truth_image, segments)
        if segment_path.exists():
            own.compare(truth_image, segments)
        ids, majority = _majority(segments, labels, name)
        raw_label.append(majority)
        boxes.append(LabelRuns.of(segments).boxes(ids))
        scores.append(_scores(segment_path.with_suffix(".json"), ids))
    if own.same and not was_input:
        raise UsageError(
            f"{truth}: has the same ids in the same pixels as {map_root / 'segments'}: it is what the segmenter gave for this "
            "map, and would praise itself. Give masks that somebody checked; or --truth-was-input, if the truth itself was "
            "given to the map as its masks, to measure the association alone"
        )
    return MapMasks(
        labelled.finish(),
        raw.finish(),
        np.concatenate(raw_label),
        np.concatenate(boxes),
        np.concatenate(scores),
        empty,
        _notes(len(names), empty, without_segments),
    )


class _Own:
    """Whether the truth is what the segmenter gave: wherever there is a segment, the truth has the same number."""

    def __init__(self) -> None:
        self._compared, self._differs = 0, False

    def compare(self, truth: np.ndarray, segments: np.ndarray) -> None:
        if not self._differs and truth.shape == segments.shape:
            inside = segments > 0
            self._compared += int(inside.any())
            self._differs = not np.array_equal(truth[inside], segments[inside])

    @property
    def same(self) -> bool:
        return self._compared > 0 and not self._differs


def _refuse_folder_of_map(map_root: Path, truth: Path) -> None:
    """The map's own folders are no truth."""
    for own, what in (("labels", "the map's own result"), ("segments", "what the segmenter gave for this map")):
        if (map_root / own).exists() and truth.exists() and truth.resolve() == (map_root / own).resolve():
            raise UsageError(f"{truth}: is {what}, not the truth; give a folder of masks that somebody checked")


def _image_names(map_root: Path, truth: Path) -> list[str]:
    for folder in (map_root, truth):
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
    wanted = {path.stem for path in truth.glob("*.png")}
    known = {path.stem for path in (map_root / "labels").glob("*.png")}
    if not wanted:
        raise DataError(f"{truth}: holds no truth; expected one uint16 PNG per image, named like the image")
    if not known:
        raise DataError(f"{map_root / 'labels'}: holds no label images; make the map first (seg2d3d run or bag)")
    if not wanted & known:
        raise DataError(
            f"{truth} and {map_root / 'labels'} have no image name in common "
            f"(truth e.g. {min(wanted)!r}, labels e.g. {min(known)!r}); truth PNGs must be named like the map's images"
        )
    return sorted(wanted, key=natural_key)


def _majority(segments: np.ndarray, labels: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Ids (n,) uint16 of the segments, ascending, and (n,) int64 the label on most of each one's pixels."""
    segment, label, area = joint_counts(segments, labels, name)
    order = np.lexsort((label, -area, segment))
    first = order[np.diff(segment[order], prepend=-1) > 0]
    first = first[segment[first] > 0]
    return segment[first].astype(np.uint16), label[first]


def _scores(path: Path, ids: np.ndarray) -> np.ndarray:
    try:
        info = read_json(path, remedy="delete it and run again") if path.exists() else {}
        return np.array([float(info.get(str(i), {}).get("score", 1.0)) for i in ids])
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: damaged ({error}); delete it and run again") from error


def _notes(images: int, empty: int, without_segments: int) -> tuple[str, ...]:
    notes = []
    if empty:
        notes.append(
            f"{empty} of {images} images with truth have no labels in the map (not registered or nothing found); they count"
        )
    if without_segments:
        notes.append(
            f"{without_segments} of {images} images have no raw segments in the map; "
            "there the predicted masks stand in for them (in adjusted coverage and in the baselines)"
        )
    return tuple(notes)
