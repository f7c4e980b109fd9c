"""A scene in the layout of Pointcept and of trainers that followed it: one folder of npy files for each street."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seg2d3d_ros.disk.atomic import replacing
from seg2d3d_ros.learning.learning_scene import LearningScene

IGNORED = -1


def write_pointcept(folder: Path, scene: LearningScene) -> None:
    """Write ``coord``, ``color``, ``normal``, ``superpoint``, ``segment`` and ``instance`` (n rows each).

    ``instance`` counts from 0, -1 = none or unknown; ``segment`` is 0 for points of an object, 1 for others that some view sees
    and -1 for those that none does: these are to be ignored.
    """
    known = scene.instance > 0
    instance = np.full(len(scene.xyz), IGNORED, np.int32)
    instance[known] = np.unique(scene.instance[known], return_inverse=True)[1].ravel()
    arrays = {
        "coord": scene.xyz,
        "color": scene.rgb,
        "normal": scene.normal,
        "superpoint": scene.superpoint,
        "segment": np.where(known, 0, np.where(scene.instance == 0, 1, IGNORED)).astype(np.int32),
        "instance": instance,
    }
    for name, values in arrays.items():
        with replacing(folder / f"{name}.npy") as temporary, temporary.open("wb") as file:
            np.save(file, values, allow_pickle=False)
