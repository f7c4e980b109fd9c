"""One submap: COLMAP's incremental mapper, one step at a time, over a graph that gets more images meanwhile."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Collection, Sequence

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.geometry.similarity import Similarity
from seg2d3d_ros.reconstruction.online.correspondence_graph import CorrespondenceGraph
from seg2d3d_ros.reconstruction.online.mapper_options import MapperOptions
from seg2d3d_ros.types import WorldFrame

log = logging.getLogger(__name__)

RETRY_GROWTH = 1.1
"""An image that could not be registered is tried again when it sees this many times the points it saw then."""
GLOBAL_GROWTH = 1.25
"""A global adjustment is due when the submap has grown by this factor since the last one."""

NEW_POINTS = 0.05
"""Share of an image's points that are new from which it is adjusted with its neighbours: one that sees what is known
already moves nothing, and the next global adjustment takes it in."""
GLOBAL_ROUNDS = 1
"""Times that a global adjustment is done and its outliers removed; the next one goes on from there."""


class Submap:
    """A model and the mapper at work on it.

    Attributes:
        reconstruction: COLMAP's model, with the unregistered images of the graph in it too.
        adjusted: registered images at the last global adjustment.
        born: images in the graph when the submap began.
        frame: what the coordinates mean.
        located: registered images when ``frame`` was determined.
        numbered: whether the ids of the points are those that subscribers know.
        number: of this submap among all of the process.
        touched: images that have been registered, or have got pairs, since somebody last looked at what they border on.
        refused: number of another submap -> links with it when a merge was refused.
    """

    _numbers = itertools.count()

    def __init__(self, graph: CorrespondenceGraph, reconstruction: pycolmap.Reconstruction | None = None) -> None:
        self.graph = graph
        self.reconstruction: pycolmap.Reconstruction = reconstruction or pycolmap.Reconstruction()
        self.adjusted = self.reconstruction.num_reg_images()
        self.born = len(graph)
        self.frame = WorldFrame()
        self.located = 0
        self.numbered = False
        self.number = next(self._numbers)
        self.touched: set[int] = self.registered
        self.refused: dict[int, int] = {}
        self._failed: dict[int, int] = {}
        self._begin()

    def _begin(self) -> None:
        self.mapper: pycolmap.IncrementalMapper = pycolmap.IncrementalMapper(self.graph.cache)
        self.mapper.begin_reconstruction(self.reconstruction)
        self._late = self.graph.late

    def rebuild(self) -> None:
        """A new mapper on the same model; ids survive.

        Needed before a global adjustment and before anything that removes an image (the counts of visible
        correspondences of images that came later are not kept by the mapper), and after pairs that came late.
        """
        self.mapper.end_reconstruction(False)
        self._begin()

    def take_solution(self, reconstruction: pycolmap.Reconstruction) -> None:
        """Go on with a changed copy of the model: the same images and points elsewhere."""
        self.mapper.end_reconstruction(False)
        self.reconstruction = reconstruction
        self._begin()

    def transform(self, similarity: Similarity) -> None:
        """Move the model."""
        self.reconstruction.transform(similarity.to_colmap())

    @property
    def registered(self) -> set[int]:
        """Ids of the images with a pose."""
        return set(self.reconstruction.reg_image_ids())

    def __len__(self) -> int:
        return self.reconstruction.num_reg_images()

    def take_image(self, image_id: int) -> None:
        """Hear of an image that came into the graph."""
        cache, reconstruction = self.graph.cache, self.reconstruction
        image = cache.image(image_id)
        if not reconstruction.exists_camera(image.camera_id):
            frame = cache.frame(image.frame_id)
            reconstruction.add_camera(cache.camera(image.camera_id))
            reconstruction.add_rig(cache.rig(frame.rig_id))
        reconstruction.add_frame(cache.frame(image.frame_id))
        reconstruction.add_image(image)
        self.mapper.observation_manager.add_image(image_id)

    def grow(
        self, options: MapperOptions, leave: Collection[int], checkpoint: Callable[[], None], *, most: int | None = None
    ) -> list[int]:
        """Register all images that can be registered, best first; returns their ids.

        Args:
            options: thresholds.
            leave: images that are not to be registered.
            checkpoint: called between two steps; it may raise to stop the work, which leaves the model valid.
            most: stop after this many.
        """
        if self._late != self.graph.late:
            self.rebuild()
        found: list[int] = []
        while len(found) != most and (image_id := self._register_one(options, leave)) is not None:
            found.append(image_id)
            checkpoint()
            if len(self) >= GLOBAL_GROWTH * self.adjusted:
                self.adjust(options)
                checkpoint()
        return found

    def _register_one(self, options: MapperOptions, leave: Collection[int]) -> int | None:
        manager = self.mapper.observation_manager
        for image_id in self.mapper.find_next_images(options.mapper, structure_less=False):
            if image_id in leave:
                continue
            visible = manager.num_visible_points3D(image_id)
            if visible < max(options.mapper.abs_pose_min_num_inliers, RETRY_GROWTH * self._failed.get(image_id, 0)):
                continue
            if self.mapper.register_next_image(options.mapper, image_id):
                self._failed.pop(image_id, None)
                self._fit_in(image_id, options)
                self.touched.add(image_id)
                return image_id
            self._failed[image_id] = visible
        return None

    def _fit_in(self, image_id: int, options: MapperOptions) -> None:
        """Triangulate what a registered image adds, and adjust it with its neighbours where that is much."""
        before = self.reconstruction.num_points3D()
        self.mapper.triangulate_image(options.triangulation, image_id)
        new = self.reconstruction.num_points3D() - before
        if new > NEW_POINTS * self.reconstruction.image(image_id).num_points3D:
            self.mapper.iterative_local_refinement(
                2, 1e-3, options.mapper, options.local_adjustment, options.triangulation, image_id
            )
        else:
            self.mapper.clear_modified_points3D()

    def forget_failures(self) -> None:
        """Try every waiting image again (the thresholds or the points have changed)."""
        self._failed.clear()

    def adjust_locally(self, image_ids: Sequence[int], options: MapperOptions) -> None:
        """Adjust these images and the points that they alone see, and complete and filter the tracks about them."""
        config = pycolmap.BundleAdjustmentConfig()
        there = self.registered
        frames = {self.reconstruction.image(i).frame_id for i in image_ids if i in there}
        for frame_id in sorted(frames):
            for data_id in self.reconstruction.frame(frame_id).image_ids:
                if data_id.id in there:
                    config.add_image(data_id.id)
        for camera_id in self.reconstruction.cameras:
            config.set_constant_cam_intrinsics(camera_id)
        pycolmap.create_default_bundle_adjuster(options.local_adjustment, config, self.reconstruction).solve()
        for image_id in [i for i in image_ids if i in there][:2]:
            self.mapper.iterative_local_refinement(
                1, 1e-3, options.mapper, options.local_adjustment, options.triangulation, image_id
            )

    def adjust(self, options: MapperOptions) -> None:
        """Global adjustment in the present world frame, completing, merging and filtering tracks."""
        self.rebuild()
        self.mapper.iterative_global_refinement(
            GLOBAL_ROUNDS,
            5e-4,
            options.mapper,
            options.global_adjustment,
            options.triangulation,
            normalize_reconstruction=False,
        )
        lost = self.mapper.filter_frames(options.mapper)
        if lost:
            log.warning("%d images lost their points in a global adjustment and wait to be registered again", lost)
        self.adjusted = len(self)
