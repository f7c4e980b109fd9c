"""YOLO segmentation as Ultralytics reads it: per image a text file with one polygon per instance, and ``data.yaml``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from seg2d3d_ros.disk.atomic import write_text
from seg2d3d_ros.export.annotations.labelled_pictures import Catalogue, LabelledPicture, in_words, pictures
from seg2d3d_ros.export.annotations.outlines import outlines, with_slits
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.export.folders import new_folder
from seg2d3d_ros.export.names import inside
from seg2d3d_ros.export.photos import link_photo, photo_path

NOTE = (
    "# images/ holds links to the photographs. The same houses stand in neighbouring images: before training,\n"
    "# split them into train and val by street, not at random.\n"
)


def export(contents: Contents, path: Path) -> str:
    """Write ``labels/<image>.txt``, ``images/<image>.*`` (links) and ``data.yaml``.

    Raises:
        DataError: no image has labels.
    """
    catalogue = Catalogue(contents)
    masks = images = 0
    seen: set[int] = set()
    with new_folder(path) as folder:
        for picture in pictures(contents):
            write_text(inside(folder / "labels", f"{picture.name}.txt"), "".join(_lines(picture, catalogue)))
            photo = photo_path(contents, picture.image)
            link_photo(photo, inside(folder / "images", picture.name + photo.suffix))
            images, masks = images + 1, masks + len(picture.ids)
            seen.update(picture.ids)
        names = dict(enumerate(catalogue.classes))
        document = {"train": "images", "val": "images", "names": names}
        write_text(folder / "data.yaml", NOTE + yaml.safe_dump(document, allow_unicode=True, sort_keys=False))
    return in_words(masks, len(seen), images)


def _lines(picture: LabelledPicture, catalogue: Catalogue) -> list[str]:
    """One line per instance: the class from 0 on, and the corners as shares of width and height.

    The format knows one ring per object: holes and further parts hang on it by slits of no width, as in Ultralytics' own
    converter.
    """
    lines = []
    for instance, region in zip(picture.ids, picture.regions, strict=True):
        first, *others = (part.polygon() for part in outlines(region))
        shares = with_slits(first, others) / np.array([picture.width, picture.height])
        corners = " ".join(f"{value:.7g}" for value in shares.ravel())
        lines.append(f"{catalogue.class_number(instance) - 1} {corners}\n")
    return lines
