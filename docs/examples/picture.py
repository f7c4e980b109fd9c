"""The photograph that shows most objects, each in the colour of its id: picture.py MAP PICTURE.png"""

import sys

import numpy as np
from PIL import Image

import seg2d3d_ros
from seg2d3d_ros.palette import instance_colors

street = seg2d3d_ros.open_map(sys.argv[1])
name = max(street.images, key=lambda image: len(np.unique(street.labels(image))))
labels = street.labels(name)
colours = instance_colors(labels).reshape(*labels.shape, 3)
picture = np.where((labels > 0)[..., None], street.image(name) // 2 + colours // 2, street.image(name))
Image.fromarray(picture).save(sys.argv[2])
