"""All images and their verified pairs in memory, in the form that COLMAP's mapper steps read; images come one by one.

pycolmap 4.2 lets an empty ``DatabaseCache`` grow together with its correspondence graph; one that was loaded from a
database is closed. The traps that come with it are taken care of here and in ``submap``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.reconstruction.thresholds import evidence


class CorrespondenceGraph:
    """Images, cameras and pairs. Ids are the database's.

    Attributes:
        cache: the ``pycolmap.DatabaseCache`` that mappers read.
        late: counts the pairs that were added between two images that were there already; a mapper that was built before
            the last of them must be rebuilt before its next step.
    """

    def __init__(self, geometry: Callable[[int, int], pycolmap.TwoViewGeometry]) -> None:
        """``geometry`` gives the ``pycolmap.TwoViewGeometry`` of a pair (smaller id first)."""
        self.cache: pycolmap.DatabaseCache = pycolmap.DatabaseCache()
        self.late = 0
        self._geometry = geometry
        self._matches: dict[int, dict[int, int]] = {}
        self._entered: set[tuple[int, int]] = set()

    def __contains__(self, image_id: int) -> bool:
        return image_id in self._matches

    def __len__(self) -> int:
        return len(self._matches)

    @property
    def image_ids(self) -> list[int]:
        """In the order of arrival."""
        return list(self._matches)

    def matches(self, image_id: int) -> Mapping[int, int]:
        """Partner -> verified matches, of all pairs known, in the graph or not."""
        return self._matches[image_id]

    def add_camera(self, camera: pycolmap.Camera, rig: pycolmap.Rig) -> None:
        """Make a camera and its rig known."""
        self.cache.add_camera(camera)
        self.cache.add_rig(rig)

    def add_image(self, image: pycolmap.Image, frame: pycolmap.Frame, matches: Mapping[int, int], min_matches: int) -> None:
        """Add an image with keypoints, and its pairs with images that are here; those of ``min_matches`` enter the graph."""
        self.cache.add_frame(frame)
        self.cache.add_image(image)
        new = image.image_id
        self._matches[new] = {}
        self._note(new, matches)
        for other, count in self._matches[new].items():
            if count >= min_matches:
                self._enter(new, other)

    def add_pairs(self, image_id: int, matches: Mapping[int, int], min_matches: int) -> int:
        """Add further pairs of an image that is here already; returns how many entered the graph."""
        self._note(image_id, matches)
        return self.admit(min_matches, [image_id])

    def admit(self, min_matches: int, image_ids: Collection[int]) -> int:
        """Let the known pairs of these images that have ``min_matches`` enter the graph; returns how many were new."""
        before = len(self._entered)
        for image_id in image_ids:
            for other, count in self._matches[image_id].items():
                if count >= min_matches:
                    self._enter(image_id, other)
        entered = len(self._entered) - before
        self.late += entered
        return entered

    def _note(self, image_id: int, matches: Mapping[int, int]) -> None:
        for other, count in sorted(matches.items()):
            if other in self._matches and other != image_id:
                self._matches[image_id][other] = count
                self._matches[other][image_id] = count

    def _enter(self, first: int, second: int) -> None:
        pair = (min(first, second), max(first, second))
        if pair not in self._entered:  # the graph throws when a pair comes twice
            self.cache.correspondence_graph.add_two_view_geometry(*pair, self._geometry(*pair))
            self._entered.add(pair)

    def entered(self, first: int, second: int) -> bool:
        """Whether the pair is in the graph."""
        return (min(first, second), max(first, second)) in self._entered

    def keypoint_matches(self, first: int, second: int) -> np.ndarray:
        """(M, 2) uint32 keypoint indices of a pair in the graph, in the order of the arguments."""
        return np.asarray(self.cache.correspondence_graph.extract_matches_between_images(first, second)).reshape(-1, 2)

    def evidence(self) -> float:
        """How much the images share with their partners, see ``thresholds.evidence``; images without any do not count."""
        return evidence(found.values() for found in self._matches.values() if found)
