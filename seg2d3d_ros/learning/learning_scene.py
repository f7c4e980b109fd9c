"""What is learnt from, of one street: its cloud, and of each view the points that it sees and its labels of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from seg2d3d_ros.arrays import check_array

UNKNOWN = -1
"""Label of a point that no view sees."""


@dataclass(frozen=True)
class ViewLabels:
    """What one view says: n points, each once.

    Attributes:
        point: (n,) int32 the points that it sees.
        label: (n,) int32 the object of each, 0 = none. Of the others of the cloud it says nothing.
    """

    point: np.ndarray
    label: np.ndarray


@dataclass(frozen=True)
class LearningScene:
    """One street: N points, V views that see E points together, I instances.

    Attributes:
        name: of the street.
        xyz: (N, 3) float32 metres from ``origin``, z up.
        origin: (3,) float64 in the map's frame.
        rgb: (N, 3) uint8.
        normal: (N, 3) float32 unit normals whose sign means nothing; 0 where there is none.
        superpoint: (N,) int32 from 0 on.
        instance: (N,) int32 label of the whole street, 0 = none, ``UNKNOWN`` = no view sees the point.
        views: names of the views.
        view_start: (V + 1,) int64 where each view's entries begin.
        view_point: (E,) int32 points.
        view_mask: (E,) int32 the view's own mask there, by an id that means nothing beyond it; 0 = none.
        view_instance: (E,) int32 the object there by all views together, 0 = none.
        text_instance: (T,) int32 instances whose picture was embedded.
        text: (T, D) float32 their vectors, of length 1, in the space that a text-image model's texts have, too.
        text_model: whose.
        image: (N, F) float16 what pictures show at each point, NaN where none does; (0, 0) where no model was asked.
        image_model: which one.
    """

    name: str
    xyz: np.ndarray
    origin: np.ndarray
    rgb: np.ndarray
    normal: np.ndarray
    superpoint: np.ndarray
    instance: np.ndarray
    views: tuple[str, ...]
    view_start: np.ndarray
    view_point: np.ndarray
    view_mask: np.ndarray
    view_instance: np.ndarray
    text_instance: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    text: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    text_model: str = ""
    image: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float16))
    image_model: str = ""

    def __post_init__(self) -> None:
        points, entries = len(self.xyz), len(self.view_point)
        check_array("xyz", self.xyz, (points, 3), "f")
        check_array("origin", self.origin, (3,), "f")
        check_array("rgb", self.rgb, (points, 3), "u")
        check_array("normal", self.normal, (points, 3), "f")
        for name in ("superpoint", "instance"):
            check_array(name, getattr(self, name), (points,), "i")
        for name in ("view_mask", "view_instance"):
            check_array(name, getattr(self, name), (entries,), "i")
        check_array("view_start", self.view_start, (len(self.views) + 1,), "i")
        check_array("text", self.text, (len(self.text_instance), None), "f")
        check_array("image", self.image, (points if self.image_model else 0, None), "f")

    def by_view(self, *, own: bool) -> Iterator[ViewLabels]:
        """The labels of each view: its own masks, or what all views together make of them."""
        labels = self.view_mask if own else self.view_instance
        for begin, end in zip(self.view_start[:-1].tolist(), self.view_start[1:].tolist(), strict=True):
            yield ViewLabels(self.view_point[begin:end], labels[begin:end])

    def whole(self) -> ViewLabels:
        """The labels of all points that some view sees, as if one had seen them all."""
        known = np.flatnonzero(self.instance != UNKNOWN).astype(np.int32)
        return ViewLabels(known, self.instance[known])
