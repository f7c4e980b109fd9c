"""MOTChallenge: a folder per camera with ``gt/gt.txt``: frame, id, box, 1, class, visibility; frames and pixels from 1 on."""

from __future__ import annotations

import configparser
import io
from pathlib import Path

from seg2d3d_ros.disk.atomic import write_text
from seg2d3d_ros.export.annotations.labelled_pictures import Catalogue, pictures
from seg2d3d_ros.export.annotations.sequences import PictureSequence, SequenceSorter
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.export.folders import new_folder
from seg2d3d_ros.export.names import inside, plain_names
from seg2d3d_ros.findings import printable

Box = tuple[int, int, int, int, int, int]
"""Instance, class number, and the box ``x0 y0 x1 y1`` with the last pixel excluded."""
CONSIDERED, VISIBLE = 1, 1
"""The seventh column says that a box counts (readers cut it to a whole number: a score would be 0); how much of an instance is
hidden is not known."""


def export(contents: Contents, path: Path) -> str:
    """Write for each camera ``gt/gt.txt``, ``gt/labels.txt`` (the classes), ``seqinfo.ini`` and ``images.csv`` (the frames).

    Raises:
        DataError: no image has labels.
    """
    catalogue = Catalogue(contents)
    sorter: SequenceSorter[Box] = SequenceSorter()
    with new_folder(path) as folder:
        for picture in pictures(contents):
            sights = zip(picture.ids, picture.regions, strict=True)
            sorter.add(picture, [(instance, catalogue.class_number(instance), *region.box) for instance, region in sights])
        found = sorter.sequences()
        labels = "".join(f"{printable(name)}\n" for name in catalogue.classes)
        for name, sequence in zip(sequence_names(found), found, strict=True):
            write_text(inside(folder / name / "gt", "gt.txt"), _boxes(sequence))
            write_text(folder / name / "gt" / "labels.txt", labels)
            write_text(folder / name / "seqinfo.ini", _facts(name, sequence))
            write_text(folder / name / "images.csv", sequence.table(first=1))
    frames = [frame for sequence in found for frame in sequence.frames]
    boxes = [row for frame in frames for row in frame.rows]
    ids = {row[0] for row in boxes}
    return f"{len(boxes)} boxes of {len(ids)} instances in {len(frames)} images, {len(found)} sequences"


def sequence_names(sequences: list[PictureSequence[Box]]) -> list[str]:
    """A folder name for each, after its camera; after camera and size where a camera has images of several sizes."""
    cameras = [sequence.camera_name for sequence in sequences]
    keys = [  # like no camera's name
        f"{one.camera_name}\0{one.width}x{one.height}" if cameras.count(one.camera_name) > 1 else one.camera_name
        for one in sequences
    ]
    names = plain_names(keys)
    return [names[key] for key in keys]


def _boxes(sequence: PictureSequence[Box]) -> str:
    lines = []
    for number, frame in enumerate(sequence.frames, start=1):
        for instance, class_number, x0, y0, x1, y1 in frame.rows:
            box = (x0 + 1, y0 + 1, x1 - x0, y1 - y0)
            lines.append(",".join(map(str, (number, instance, *box, CONSIDERED, class_number, VISIBLE))) + "\n")
    return "".join(lines)


def _facts(name: str, sequence: PictureSequence[Box]) -> str:
    document = configparser.ConfigParser(interpolation=None)
    document.optionxform = str  # type: ignore[assignment, method-assign]  # keys are written as they stand
    document["Sequence"] = {
        "name": name,
        "imDir": "img1",
        "frameRate": f"{sequence.rate:g}",
        "seqLength": str(len(sequence.frames)),
        "imWidth": str(sequence.width),
        "imHeight": str(sequence.height),
        "imExt": Path(sequence.frames[0].file_name).suffix,
    }
    text = io.StringIO()
    document.write(text, space_around_delimiters=False)
    return text.getvalue()
