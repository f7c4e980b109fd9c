"""The points that two models of the same images have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pycolmap


def common_points(source: pycolmap.Reconstruction, target: pycolmap.Reconstruction) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) and (N, 3): the points of two models that a keypoint has in both, each pair once."""
    pairs: set[tuple[int, int]] = set()
    for image_id in set(source.reg_image_ids()) & set(target.reg_image_ids()):
        there = _points(target.image(image_id))
        pairs.update((p, there[k]) for k, p in _points(source.image(image_id)).items() if k in there)
    ordered = sorted(pairs)
    first = np.array([source.point3D(a).xyz for a, _ in ordered]).reshape(-1, 3)
    second = np.array([target.point3D(b).xyz for _, b in ordered]).reshape(-1, 3)
    return first, second


def _points(image: pycolmap.Image) -> Mapping[int, int]:
    return dict(
        zip(image.get_observation_point2D_idxs(), (p.point3D_id for p in image.get_observation_points2D()), strict=True)
    )
