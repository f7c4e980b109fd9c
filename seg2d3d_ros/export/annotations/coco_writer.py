"""COCO instances: masks as run lengths, and ``track_id`` as in TAO, the same in every image that shows the instance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.export.annotations.labelled_pictures import Catalogue, LabelledPicture, in_words, pictures
from seg2d3d_ros.export.contents import Contents


def export(contents: Contents, path: Path) -> str:
    """Write one file.

    Raises:
        DataError: no image has labels.
    """
    catalogue = Catalogue(contents)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for picture in pictures(contents):
        images.append(image_entry(picture, len(images) + 1))
        for instance, region, counts in zip(picture.ids, picture.regions, picture.run_lengths(), strict=True):
            x0, y0, x1, y1 = region.box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": catalogue.class_number(instance),
                    "track_id": instance,
                    "attributes": {"track_id": instance},  # where CVAT and Datumaro look
                    "segmentation": {"size": [picture.height, picture.width], "counts": counts},
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": region.area,
                    "iscrowd": 0,
                    "score": catalogue.score(instance, picture.name),
                }
            )
    tracks = sorted({item["track_id"] for item in annotations})
    write_json(
        path,
        {
            "info": {"description": f"exported from {contents.store.root.name} by seg2d3d_ros"},
            "licenses": [],
            "images": images,
            "categories": category_entries(catalogue),
            "tracks": [{"id": instance, "category_id": catalogue.class_number(instance)} for instance in tracks],
            "annotations": annotations,
        },
    )
    return in_words(len(annotations), len(tracks), len(images))


def image_entry(picture: LabelledPicture, number: int) -> dict[str, Any]:
    """A picture as COCO lists it, with its camera and time."""
    return {
        "id": number,
        "file_name": picture.file_name,
        "width": picture.width,
        "height": picture.height,
        "name": picture.name,
        "camera": picture.camera_name,
        "stamp_ns": picture.stamp_ns,
    }


def category_entries(catalogue: Catalogue) -> list[dict[str, Any]]:
    """The classes as COCO lists them."""
    return [{"id": number, "name": name, "supercategory": ""} for number, name in enumerate(catalogue.classes, start=1)]
