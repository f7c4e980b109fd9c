"""How a submap begins: two images with plenty of points that survive their adjustment."""

from __future__ import annotations

import logging
from collections.abc import Collection

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.reconstruction.online.correspondence_graph import CorrespondenceGraph
from seg2d3d_ros.reconstruction.online.mapper_options import MapperOptions
from seg2d3d_ros.reconstruction.online.submap import Submap
from seg2d3d_ros.reconstruction.thresholds import Thresholds

log = logging.getLogger(__name__)

MAX_TRIALS = 50
"""First pairs that are tried at a time."""


class Starter:
    """Finds first pairs; each is taken once, and those that failed are remembered."""

    def __init__(self, graph: CorrespondenceGraph) -> None:
        self._graph = graph
        self._failed: set[tuple[int, int, Thresholds]] = set()
        self._used: set[tuple[int, int]] = set()

    def candidates(self, free: Collection[int], thresholds: Thresholds) -> list[tuple[int, int]]:
        """Pairs of ``free`` images to try, those with most matches first."""
        free = set(free)
        found = [
            (-count, a, b)
            for a in sorted(free)
            for b, count in self._graph.matches(a).items()
            if a < b
            and b in free
            and (a, b) not in self._used
            and count >= thresholds.init_inliers
            and self._graph.entered(a, b)
        ]
        return [(a, b) for _, a, b in sorted(found) if (a, b, thresholds) not in self._failed]

    def start(self, free: Collection[int], thresholds: Thresholds, options: MapperOptions) -> Submap | None:
        """A submap of two ``free`` images, or None where no pair is good enough."""
        submap: Submap | None = None
        for pair in self.candidates(free, thresholds)[:MAX_TRIALS]:
            submap = submap or Submap(self._graph)
            pose = submap.mapper.estimate_initial_two_view_geometry(options.mapper, *pair)
            if pose is not None:
                if self._begin(submap, pair, pose, thresholds, options):
                    self._used.add(pair)
                    log.info("a submap begins with images %d and %d", *pair)
                    return submap
                submap = None
            self._failed.add((*pair, thresholds))
        return None

    @staticmethod
    def _begin(
        submap: Submap, pair: tuple[int, int], pose: pycolmap.Rigid3d, thresholds: Thresholds, options: MapperOptions
    ) -> bool:
        mapper = submap.mapper
        mapper.register_initial_image_pair(options.mapper, *pair, pose)
        for image_id in pair:
            mapper.triangulate_image(options.initial_triangulation, image_id)
        if submap.reconstruction.num_points3D() < thresholds.init_points:
            return False
        mapper.adjust_global_bundle(options.mapper, options.global_adjustment)
        submap.reconstruction.normalize()
        mapper.filter_points(options.mapper)
        submap.adjusted = len(submap)
        return len(submap) == 2 and submap.reconstruction.num_points3D() >= thresholds.init_points
