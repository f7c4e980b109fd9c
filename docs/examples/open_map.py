"""Houses of a map, with where they are, and one of them cut out of its best photograph: open_map.py MAP PICTURE.png"""

import sys

from PIL import Image

import seg2d3d_ros

street = seg2d3d_ros.open_map(sys.argv[1])
for house in street.instances.values():
    print(house.id, house.name, f"{house.score:.2f}", house.center, f"in {len(house.observations)} images")

house = max(street.instances.values(), key=lambda item: len(item.observations))
best = max(house.observations, key=lambda seen: (seen.box[2] - seen.box[0]) * (seen.box[3] - seen.box[1]))
pixels = street.image(best.image)
pixels[street.labels(best.image) != house.id] //= 4
Image.fromarray(pixels).save(sys.argv[2])
