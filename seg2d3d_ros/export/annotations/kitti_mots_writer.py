"""KITTI MOTS: per sequence a text file with frame, object id (class · 1000 + number), class, height, width, run lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from seg2d3d_ros.disk.atomic import write_text
from seg2d3d_ros.export.annotations.labelled_pictures import Catalogue, in_words, pictures
from seg2d3d_ros.export.annotations.sequences import SequenceSorter
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.export.csv_text import csv_text
from seg2d3d_ros.export.folders import new_folder
from seg2d3d_ros.export.names import inside
from seg2d3d_ros.findings import Kind

KITTI_CLASSES = {"car": 1, "pedestrian": 2, "person": 2}
IGNORED = 10
"""KITTI's class of regions that do not count, which no class of ours may have."""
LARGEST = 999
"""Numbers of a class's instances in an object id."""

INSTANCES_BEYOND = Kind(
    "export_instances_beyond",
    "instances that KITTI MOTS has no number for, which are left out",
    cause="an object id is class * 1000 + number, so a class has 999 instances at most",
    remedy="export a part with --instances, or take a format without such a limit (coco)",
)


def export(contents: Contents, path: Path) -> str:
    """Write ``instances_txt/<sequence>.txt``, ``sequences.csv``, ``images/<sequence>.csv`` and ``tracks.csv``.

    Raises:
        DataError: no image has labels.
    """
    catalogue = Catalogue(contents)
    numbers = class_numbers(catalogue.classes)
    objects = object_ids(catalogue, numbers)
    beyond = sorted(set(catalogue.class_of) - set(objects))
    if beyond:
        contents.findings.add(INSTANCES_BEYOND, *map(str, beyond), of=len(catalogue.class_of))
    sorter: SequenceSorter[tuple[int, str]] = SequenceSorter()
    with new_folder(path) as folder:
        for picture in pictures(contents):
            sights = zip(picture.ids, picture.run_lengths(), strict=True)
            sorter.add(picture, [(instance, counts) for instance, counts in sights if instance in objects])
        found = sorter.sequences()
        for number, sequence in enumerate(found):
            lines = []
            for k, frame in enumerate(sequence.frames):
                for instance, counts in frame.rows:
                    class_number = objects[instance] // 1000
                    lines.append(f"{k} {objects[instance]} {class_number} {sequence.height} {sequence.width} {counts}\n")
            write_text(inside(folder / "instances_txt", f"{number:04d}.txt"), "".join(lines))
            write_text(inside(folder / "images", f"{number:04d}.csv"), sequence.table(first=0))
        rows = [[f"{k:04d}", one.camera_name, one.width, one.height, len(one.frames)] for k, one in enumerate(found)]
        write_text(folder / "sequences.csv", csv_text(["sequence", "camera", "width", "height", "frames"], rows))
        kept = [[objects[i], i, name, numbers[name]] for i, name in catalogue.class_of.items() if i in objects]
        write_text(folder / "tracks.csv", csv_text(["object_id", "instance", "class", "class_id"], kept))
    frames = [frame for sequence in found for frame in sequence.frames]
    shown = [row[0] for frame in frames for row in frame.rows]
    return f"{in_words(len(shown), len(set(shown)), len(frames))}, {len(found)} sequences"


def class_numbers(classes: Sequence[str]) -> dict[str, int]:
    """KITTI's for cars and pedestrians, which evaluations know; free ones for all others."""
    free = (number for number in range(3, 3 + len(classes) + 1) if number != IGNORED)
    return {name: KITTI_CLASSES.get(name.lower()) or next(free) for name in classes}


def object_ids(catalogue: Catalogue, numbers: dict[str, int]) -> dict[int, int]:
    """Object id by instance: with the instance's own id where all are below 1000, else counted from 1 on in each class."""
    own = all(instance <= LARGEST for instance in catalogue.class_of)
    count: Counter[int] = Counter()
    found = {}
    for instance, name in sorted(catalogue.class_of.items()):
        count[numbers[name]] += 1
        number = instance if own else count[numbers[name]]
        if number <= LARGEST:
            found[instance] = numbers[name] * 1000 + number
    return found
