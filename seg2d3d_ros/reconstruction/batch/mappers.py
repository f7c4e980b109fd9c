"""COLMAP's two mappers on some images of a database: GLOMAP and the incremental mapper.

GLOMAP (Pan et al., Global Structure-from-Motion Revisited, ECCV 2024) uses all pairs at once and does not depend on an
order, but puts everything that it is given into one model: what holds together must be found before, and checked after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seg2d3d_ros.colmap import pycolmap, thread_count
from seg2d3d_ros.disk.leftovers import ScratchFolder
from seg2d3d_ros.reconstruction.adjustment import hold_cameras
from seg2d3d_ros.reconstruction.anchored.anchor import Anchor
from seg2d3d_ros.reconstruction.database import FeatureDatabase, ImageRow, database_name
from seg2d3d_ros.reconstruction.thresholds import Thresholds
from seg2d3d_ros.reconstruction.viewgraph import MIN_IMAGES
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig

ALL_TRACKS = 2**31 - 1


@dataclass(frozen=True)
class MapperTask:
    """What both mappers need.

    Attributes:
        database: path of the COLMAP database.
        names: image id -> name in the database.
        cameras: image id -> camera id.
        fixed_cameras: camera id -> parameters of calibrated cameras, which stay as they are; all others are refined.
        min_matches: verified matches that make a pair.
        seed: of every random choice.
        threads: 0 = all cores.
        tracks_per_view: the global mapper finds poses from the longest tracks until each image has this many; it
            triangulates all the others afterwards.
        known_focals: camera id -> parameters, of cameras to refine whose focal length came with the images.
        anchor: what is known of where the images were taken.
        on_image: called by the incremental mapper for each image that it adds.
    """

    database: Path
    names: Mapping[int, str]
    cameras: Mapping[int, int]
    fixed_cameras: Mapping[int, Sequence[float]]
    min_matches: int
    seed: int
    threads: int
    tracks_per_view: int = ALL_TRACKS
    known_focals: Mapping[int, Sequence[float]] = field(default_factory=dict)
    anchor: Anchor | None = None
    on_image: Callable[[], None] | None = None

    @classmethod
    def of(
        cls, database: FeatureDatabase, rows: Sequence[ImageRow], config: ReconstructionConfig, anchor: Anchor | None = None
    ) -> MapperTask:
        """The task for the images ``rows`` of a database."""
        return cls(
            database=database.path,
            names={row.image_id: database_name(row.file_name) for row in rows},
            cameras={row.image_id: row.camera_id for row in rows},
            fixed_cameras=database.calibrated_cameras(),
            min_matches=config.min_pair_inliers,
            seed=config.seed,
            threads=config.threads,
            known_focals=database.known_focals(),
            anchor=anchor,
        )


def solve_global(task: MapperTask, members: Sequence[int]) -> list[pycolmap.Reconstruction]:
    """Models of the images ``members`` by GLOMAP."""
    options = pycolmap.GlobalPipelineOptions()
    options.num_threads = thread_count(task.threads)
    options.random_seed = task.seed
    options.min_num_matches = task.min_matches
    options.min_model_size = MIN_IMAGES
    options.image_names = [task.names[i] for i in members]
    options.mapper.track_required_tracks_per_view = task.tracks_per_view
    used = {task.cameras[i] for i in members}
    refine = not used <= task.fixed_cameras.keys()
    options.mapper.bundle_adjustment.refine_focal_length = refine
    options.mapper.bundle_adjustment.refine_extra_params = refine
    with ScratchFolder() as folder:
        models = list(pycolmap.global_mapping(task.database, folder, folder, options).values())
    if refine and used & task.fixed_cameras.keys():
        for model in models:
            hold_cameras(model, task.fixed_cameras, task.threads)
    return models


def solve_incremental(
    task: MapperTask, members: Sequence[int], thresholds: Thresholds, *, limit_s: int = -1
) -> list[pycolmap.Reconstruction]:
    """Models of the images ``members`` by COLMAP's incremental mapper.

    Args:
        task: see ``MapperTask``.
        members: image ids.
        thresholds: of pairs, poses and first pairs.
        limit_s: stop adding images after this time; -1 = never.
    """
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = thread_count(task.threads)
    options.random_seed = task.seed
    options.extract_colors = False
    options.image_names = [task.names[i] for i in members]
    options.min_model_size = MIN_IMAGES
    options.max_runtime_seconds = limit_s
    options.constant_cameras = set(task.fixed_cameras)
    options.ba_global_function_tolerance = 1e-5
    options.ba_global_max_num_iterations = 30
    options.triangulation.ignore_two_view_tracks = len(members) > 2
    options.min_num_matches = thresholds.pair
    options.mapper.abs_pose_min_num_inliers = thresholds.pose
    options.mapper.init_min_num_inliers = thresholds.init_inliers
    options.mapper.init_min_tri_angle = thresholds.init_angle
    with ScratchFolder() as folder:
        tell = task.on_image or (lambda: None)
        models = pycolmap.incremental_mapping(task.database, folder, folder, options, next_image_callback=tell)
        return list(models.values())
