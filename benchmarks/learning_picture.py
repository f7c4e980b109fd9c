"""Draw docs/images/learning.jpg: a street that the network never saw, obliquely: its colours, the labels, the truth.

python benchmarks/learning_picture.py WORK --model MODEL --seed 402
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from learning import scene_of

from seg2d3d_ros.learning.cloud_segmentation import CloudSegmenter
from seg2d3d_ros.learning.scene_building import PreparedCloud
from seg2d3d_ros.palette import instance_colors
from seg2d3d_ros.superpoints.partition import partition

SCALE = 12.0
"""Pixels a metre."""


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=402)
    parser.add_argument("--out", type=Path, default=Path("docs/images/learning.jpg"))
    args = parser.parse_args()
    item = scene_of(args.work, args.seed, "typical")
    scene = item.scene
    cloud = PreparedCloud(np.arange(len(scene.xyz)), scene.xyz, scene.origin, scene.rgb, scene.normal)
    superpoint = partition(scene.xyz.astype(np.float64), rgb=scene.rgb, normals=scene.normal)
    found = CloudSegmenter(args.model, "cpu").joined_objects(cloud, superpoint).instance[superpoint]
    owner = np.maximum(item.owner, 0)
    panels = [drawn(scene.xyz, color, owner > 0) for color in (scene.rgb, shaded(scene.rgb, found), shaded(scene.rgb, owner))]
    cv2.imwrite(str(args.out), np.concatenate(panels)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


def shaded(rgb: np.ndarray, instance: np.ndarray) -> np.ndarray:
    """(N, 3) uint8: instances in their colours, the rest dark."""
    return np.where(instance[:, None] > 0, instance_colors(instance.astype(np.int32)), rgb // 3)


def drawn(xyz: np.ndarray, color: np.ndarray, houses: np.ndarray) -> np.ndarray:
    """(H, W, 3) an oblique view across the street, with the far row of houses above."""
    middle = xyz[houses].mean(axis=0)
    along = np.linalg.svd(xyz[houses][:, :2] - middle[:2], full_matrices=False)[2][0]
    u = (xyz[:, :2] - middle[:2]) @ along
    across = (xyz[:, :2] - middle[:2]) @ np.array([-along[1], along[0]])
    span = np.abs(u[houses]).max() + 2
    v = 0.8 * xyz[:, 2] + 0.55 * across
    kept = np.flatnonzero((np.abs(u) < span) & (np.abs(across) < 20))
    low, high = np.percentile(v[kept], [1, 99.8])
    height, width = int((high - low) * SCALE), int(2 * span * SCALE)
    image = np.full((height, width, 3), 250, np.uint8)
    for k in kept[np.argsort(-across[kept])]:
        x, y = int((u[k] + span) * SCALE), int((high - v[k]) * SCALE)
        image[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = color[k]
    return image


if __name__ == "__main__":
    main()
