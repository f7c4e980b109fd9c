"""The pictures of a map with what they show: keyframes, and panoramas, whose labels are put together from their views'."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.geometry.label_runs import LabelRuns
from seg2d3d_ros.geometry.masks import Region
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.mapstore.panoramas import panorama_records, views_by_panorama


@dataclass(frozen=True)
class LabelledPicture:
    """A keyframe or a panorama.

    Attributes:
        name: the key of its labels, of which there are no two alike.
        file_name: below the image folder, as in keyframes.json.
        image: its file, absolute or relative to the map directory.
        labels: (H, W) uint16 instance ids, 0 = none.
        ids: (N,) the instances that it shows, ascending.
        regions: N times the pixels of one.
    """

    name: str
    file_name: str
    image: str
    camera_name: str
    stamp_ns: int
    labels: np.ndarray
    ids: tuple[int, ...]
    regions: tuple[Region, ...]

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.labels.shape[0])

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.labels.shape[1])

    def run_lengths(self) -> list[str]:
        """N times COCO's compressed run lengths, as text."""
        ones = [1] * len(self.ids)
        masks = OverlappingMasks.of_regions(self.name, (self.height, self.width), self.regions, ones, ones)
        return [counts.decode("ascii") for counts in masks.counts]


def pictures(contents: Contents) -> Iterator[LabelledPicture]:
    """Every picture with labels: the keyframes by name, then the panoramas whose files are known.

    Raises:
        DataError: none has any.
    """
    shown = 0
    for record, labels in contents.labelled_images():
        yield _picture(record.name, record.file_name, record.image, record.camera_name, record.stamp_ns, labels)
        shown += 1
    records = contents.records.values()
    stamps = {name: contents.records[views[0][0]].stamp_ns for name, views in views_by_panorama(records).items()}
    for whole in sorted(panorama_records(records), key=lambda record: record.name):
        found = contents.labels_of(whole.name)
        if found is not None:
            yield _picture(whole.name, whole.file_name, whole.image, whole.camera_name, stamps[whole.name], found)
            shown += 1
    if not shown:
        raise DataError(
            f"{contents.store.root}: no image has labels, so there is nothing to write; make the map "
            "with --segmenter or --segments"
        )


def _picture(name: str, file_name: str, image: str, camera: str, stamp_ns: int, labels: np.ndarray) -> LabelledPicture:
    ids = np.setdiff1d(labels, [0])
    boxes = LabelRuns.of(labels).boxes(ids)
    regions = []
    for instance, (x0, y0, x1, y1) in zip(ids.tolist(), boxes.tolist(), strict=True):
        regions.append(Region((x0, y0, x1, y1), labels[y0:y1, x0:x1] == instance))
    return LabelledPicture(name, file_name, image, camera, stamp_ns, labels, tuple(ids.tolist()), tuple(regions))


class Catalogue:
    """What the pictures' instances are: class, number of the class, and how sure each sight is.

    Classes are numbered from 1 in alphabetical order over the whole map, so that numbers do not depend on which instances are
    chosen.

    Attributes:
        classes: the names, in the order of their numbers.
        class_of: name of the class by instance.
    """

    def __init__(self, contents: Contents) -> None:
        self.classes = sorted({str(item["class"]) for item in contents.store.read_tracks()["instances"]})
        self.class_of = {int(item["id"]): str(item["class"]) for item in contents.instances}
        self._score = {int(item["id"]): float(item["score"]) for item in contents.instances}
        self._sights: dict[tuple[int, str], float] = {}
        for item in contents.instances:
            for sight in item["observations"]:
                key = int(item["id"]), str(sight["image"])
                self._sights[key] = max(float(sight["score"]), self._sights.get(key, 0.0))

    def class_number(self, instance: int) -> int:
        """From 1 on."""
        return self.classes.index(self.class_of[instance]) + 1

    def score(self, instance: int, picture: str) -> float:
        """How sure it is that a picture shows an instance: as in tracks.json, else as sure as the instance is."""
        return self._sights.get((instance, picture), self._score[instance])


def in_words(masks: int, instances: int, images: int) -> str:
    """What was written."""
    return f"{masks} masks of {instances} instances in {images} images"
