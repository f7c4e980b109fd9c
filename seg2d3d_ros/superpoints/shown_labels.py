"""The labels that views show at the points of a cloud."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.geometry.visibility import seen_by, spacings


@dataclass(frozen=True)
class LabelledView:
    """A keyframe whose labels are carried.

    Attributes:
        view: its camera and pose.
        labels: gives the (H, W) uint16 instance ids, or None where there are none.
        image: gives the (H, W, 3) uint8 RGB picture, or None.
    """

    view: View
    labels: Callable[[], np.ndarray | None]
    image: Callable[[], np.ndarray | None] = lambda: None


@dataclass(frozen=True)
class ShownLabels:
    """What one view shows.

    Attributes:
        view: its camera and pose.
        point: (n,) int32 the points that it sees, each once.
        label: (n,) int32 the label at each one's pixel, 0 = none.
        pixels: (n, 2) float32 where each one is seen.
        depth: (n,) float32.
    """

    view: View
    point: np.ndarray
    label: np.ndarray
    pixels: np.ndarray
    depth: np.ndarray

    def moved(self, place: np.ndarray) -> ShownLabels:
        """The same of other points: of each point (N,) int32, ``place`` has its new number, -1 = it is left out."""
        new = place[self.point]
        kept = new >= 0
        return ShownLabels(self.view, new[kept], self.label[kept], self.pixels[kept], self.depth[kept])


def shown_labels(
    xyz: np.ndarray, views: Iterable[LabelledView], max_range: float
) -> Iterator[tuple[LabelledView, ShownLabels]]:
    """What each view that sees anything shows of a dense cloud; views without labels are passed over.

    Args:
        xyz: (N, 3) metres in the world frame; together they hide each other, so scans of one place belong into one call.
        views: read one by one.
        max_range: metres between camera and point.
    """
    spacing = spacings(xyz)
    for item in views:
        near = np.flatnonzero(((xyz - item.view.center) ** 2).sum(axis=1) < max_range**2)
        if len(near) == 0 or (labels := item.labels()) is None:
            continue
        point, pixels, depth = seen_by(item.view, xyz, near, spacing)
        label = sampled(labels, item.view, pixels).astype(np.int32)
        yield item, ShownLabels(item.view, point.astype(np.int32), label, pixels.astype(np.float32), depth)


def sampled(image: np.ndarray, view: View, pixels: np.ndarray) -> np.ndarray:
    """The values of an image, of whatever size, at pixels (n, 2) of the camera's."""
    size = np.array(image.shape[1::-1])
    column, row = np.minimum(pixels * (size / (view.camera.width, view.camera.height)), size - 1).astype(int).T
    return image[row, column]


def votes(shown: Sequence[ShownLabels]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(V,) labels, points and weights of all votes; near views count more, by the inverse of their distance."""
    label, point, weight = [np.empty(0, np.int32)], [np.empty(0, np.int32)], [np.empty(0, np.float32)]
    for item in shown:
        label.append(item.label)
        point.append(item.point)
        weight.append((1.0 / item.depth).astype(np.float32))
    return np.concatenate(label), np.concatenate(point), np.concatenate(weight)
