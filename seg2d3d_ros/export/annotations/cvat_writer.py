"""CVAT for images 1.1: masks as run lengths; ``group_id`` and the attribute ``instance`` are the instance's id.

Not CVAT for video: CVAT knows no tracks of masks and would keep the first mask of each, and it numbers tracks anew. Groups and
attributes stay, and images of several cameras need no order.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from seg2d3d_ros.disk.atomic import replacing
from seg2d3d_ros.export.annotations.labelled_pictures import Catalogue, LabelledPicture, in_words, pictures
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.findings import printable
from seg2d3d_ros.geometry.masks import Region

INSTANCE = "instance"
"""The attribute's name."""


def export(contents: Contents, path: Path) -> str:
    """Write one XML file, to be uploaded as annotations of a task that holds the images and the labels that it lists.

    Raises:
        DataError: no image has labels.
    """
    catalogue = Catalogue(contents)
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    task = ET.SubElement(ET.SubElement(root, "meta"), "task")
    masks, seen = 0, set[int]()
    images = [_image(picture, number, catalogue) for number, picture in enumerate(pictures(contents))]
    for image in images:
        masks += len(image)
        seen.update(int(mask.attrib["group_id"]) for mask in image)
    for name, text in (("name", contents.store.root.name), ("size", str(len(images))), ("mode", "annotation")):
        ET.SubElement(task, name).text = printable(text)
    labels = ET.SubElement(task, "labels")
    for name in catalogue.classes:
        labels.append(_label(name))
    root.extend(images)
    ET.indent(root)
    with replacing(path) as temporary:
        ET.ElementTree(root).write(temporary, "utf-8", xml_declaration=True)
    return in_words(masks, len(seen), len(images))


def _label(name: str) -> ET.Element:
    """A class, with the attribute that its masks have."""
    label = ET.Element("label")
    ET.SubElement(label, "name").text = printable(name)
    ET.SubElement(label, "type").text = "mask"
    attribute = ET.SubElement(ET.SubElement(label, "attributes"), "attribute")
    facts = {"name": INSTANCE, "mutable": "False", "input_type": "number", "default_value": "0", "values": "0\n65535\n1"}
    for key, value in facts.items():
        ET.SubElement(attribute, key).text = value
    return label


def _image(picture: LabelledPicture, number: int, catalogue: Catalogue) -> ET.Element:
    """An image with its masks."""
    size = {"width": str(picture.width), "height": str(picture.height)}
    image = ET.Element("image", {"id": str(number), "name": printable(picture.file_name), **size})
    for instance, region in zip(picture.ids, picture.regions, strict=True):
        x0, y0, x1, y1 = region.box
        facts = {
            "label": printable(catalogue.class_of[instance]),
            "source": "auto",
            "occluded": "0",
            "rle": ", ".join(map(str, row_runs(region).tolist())),
            "left": str(x0),
            "top": str(y0),
            "width": str(x1 - x0),
            "height": str(y1 - y0),
            "z_order": "0",
            "group_id": str(instance),
        }
        mask = ET.SubElement(image, "mask", facts)
        ET.SubElement(mask, "attribute", {"name": INSTANCE}).text = str(instance)
    return image


def row_runs(region: Region) -> np.ndarray:
    """(R,) how many pixels of the box lie outside and inside in turn, row by row."""
    flat = np.concatenate([[False], region.pixels.ravel(), [not region.pixels.flat[-1]]])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(ends, prepend=0)
