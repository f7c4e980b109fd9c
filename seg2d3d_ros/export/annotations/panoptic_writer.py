"""COCO panoptic: a JSON file and a PNG per image, whose colour is the instance's id: R + 256 G + 65536 B, 0 = none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.disk.atomic import write_bytes, write_json
from seg2d3d_ros.export.annotations.coco_writer import category_entries, image_entry
from seg2d3d_ros.export.annotations.labelled_pictures import Catalogue, LabelledPicture, in_words, pictures
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.export.folders import new_folder
from seg2d3d_ros.export.names import inside
from seg2d3d_ros.images import encode_png
from seg2d3d_ros.palette import instance_colors


def export(contents: Contents, path: Path) -> str:
    """Write ``panoptic.json`` and the folder ``panoptic``.

    Raises:
        DataError: no image has labels.
    """
    catalogue = Catalogue(contents)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with new_folder(path) as folder:
        for picture in pictures(contents):
            images.append(image_entry(picture, len(images) + 1))
            name = f"{picture.name}.png"
            write_bytes(inside(folder / "panoptic", name), encode_png(as_colors(picture.labels)))
            segments = _segments(picture, catalogue)
            annotations.append({"image_id": len(images), "file_name": name, "segments_info": segments})
        colors = instance_colors(np.arange(1, len(catalogue.classes) + 1)).tolist()
        categories = [
            {**entry, "isthing": 1, "color": color} for entry, color in zip(category_entries(catalogue), colors, strict=True)
        ]
        write_json(folder / "panoptic.json", {"images": images, "annotations": annotations, "categories": categories})
    ids = [segment["id"] for item in annotations for segment in item["segments_info"]]
    return in_words(len(ids), len(set(ids)), len(images))


def as_colors(labels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB of labels (H, W) uint16, as panopticapi encodes ids."""
    return np.stack([labels % 256, labels // 256, np.zeros_like(labels)], axis=-1).astype(np.uint8)


def _segments(picture: LabelledPicture, catalogue: Catalogue) -> list[dict[str, Any]]:
    """The instances that a picture shows; a segment's id is that of its instance, the same in all images."""
    entries = []
    for instance, region in zip(picture.ids, picture.regions, strict=True):
        x0, y0, x1, y1 = region.box
        entries.append(
            {
                "id": instance,
                "category_id": catalogue.class_number(instance),
                "area": region.area,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "iscrowd": 0,
                "score": catalogue.score(instance, picture.name),
            }
        )
    return entries
