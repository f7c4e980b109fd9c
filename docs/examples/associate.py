"""Masks of one's own over a COLMAP model of one's own: associate.py SPARSE MASKS OUT (label images, by the images' stems)"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import seg2d3d_ros

masks = {path.stem: np.array(Image.open(path)) for path in Path(sys.argv[2]).glob("*.png")}
found = seg2d3d_ros.associate(sys.argv[1], masks)
for finding in found.findings.list():
    print("note:", finding.text)
for name, labels in found.labels.items():
    Image.fromarray(labels).save(Path(sys.argv[3]) / f"{name}.png")
print(len(found.instances.ids), "objects in", len(found.labels), "images")
