"""LabelMe: one JSON file per image; a polygon for each part of a mask, whose ``group_id`` is the instance's id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.export.annotations.labelled_pictures import Catalogue, LabelledPicture, in_words, pictures
from seg2d3d_ros.export.annotations.outlines import outlines
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.export.folders import new_folder
from seg2d3d_ros.export.names import inside
from seg2d3d_ros.export.photos import photo_path

VERSION = "5.5.0"
"""The version of LabelMe whose files these are; it reads those of its own major version without a warning."""


def export(contents: Contents, path: Path) -> str:
    """Write ``<image>.json`` for each image.

    Raises:
        DataError: no image has labels.
    """
    catalogue = Catalogue(contents)
    masks = images = 0
    seen: set[int] = set()
    with new_folder(path) as folder:
        for picture in pictures(contents):
            document: dict[str, Any] = {
                "version": VERSION,
                "flags": {},
                "shapes": _shapes(picture, catalogue),
                "imagePath": str(photo_path(contents, picture.image)),
                "imageData": None,
                "imageHeight": picture.height,
                "imageWidth": picture.width,
            }
            write_json(inside(folder, f"{picture.name}.json"), document)
            images, masks = images + 1, masks + len(picture.ids)
            seen.update(picture.ids)
    return in_words(masks, len(seen), images)


def _shapes(picture: LabelledPicture, catalogue: Catalogue) -> list[dict[str, Any]]:
    """The parts of all masks, which LabelMe holds together by their ``group_id``; it knows no holes, so slits cut them in."""
    return [
        {
            "label": catalogue.class_of[instance],
            "points": part.polygon().tolist(),
            "group_id": instance,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
            "score": catalogue.score(instance, picture.name),
        }
        for instance, region in zip(picture.ids, picture.regions, strict=True)
        for part in outlines(region)
    ]
