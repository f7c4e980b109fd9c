"""The revisions of an online map: when the next is due, the ids under which points go out, and the way back after a restart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from seg2d3d_ros.reconstruction import model_io
from seg2d3d_ros.reconstruction.batch.components import disjoint
from seg2d3d_ros.reconstruction.database import FeatureDatabase, ImageRow
from seg2d3d_ros.reconstruction.model_writer import ModelWriter
from seg2d3d_ros.reconstruction.online.online_mapper import OnlineMapper
from seg2d3d_ros.reconstruction.online.submap import Submap
from seg2d3d_ros.reconstruction.point_ids import free_block, name_new_points, renumber, reserve
from seg2d3d_ros.types import SparseModel

REVISION_GROWTH = 0.05
"""A revision is due when this share of the registered images is new (and at least one image)."""


class Revisions:
    """Writes the submaps of a mapper, and fills it with those written last.

    Args:
        writer: of the map folder.
        database: of the map.
        mapper: whose images are all known to it before ``resume``.
    """

    def __init__(self, writer: ModelWriter, database: FeatureDatabase, mapper: OnlineMapper) -> None:
        self._writer, self._database, self._mapper = writer, database, mapper
        self._published: set[int] = set()

    @property
    def due(self) -> bool:
        """Whether enough images are registered that were not in the last revision."""
        return len(self._mapper.registered - self._published) > REVISION_GROWTH * len(self._published)

    def resume(self) -> None:
        """Let the mapper go on with the models of the last revision."""
        mapper = self._mapper
        for folder in model_io.model_folders(self._writer.root):
            reconstruction = model_io.open_model(folder)
            if all(i in mapper.graph for i in reconstruction.reg_image_ids()):
                submap = mapper.adopt(reconstruction)
                submap.frame, _, _ = model_io.read_frame(folder)
                submap.located, submap.numbered = len(submap), True
                mapper.submaps.append(submap)
        used = list(self._writer.keypoint_ids().values())
        for submap in mapper.submaps:
            first = free_block(used)
            reserve(submap.reconstruction, first)
            used.append(np.array([first]))
        self._published = set(mapper.registered)

    def write(self, rows: Sequence[ImageRow]) -> list[SparseModel]:
        """Name the points, and write what the submaps hold, each image once."""
        former = self._writer.keypoint_ids()
        known = np.unique(np.concatenate([np.zeros(0, np.int64), *former.values()]))
        submaps = self._mapper.submaps
        taken: set[int] = set()
        for submap in submaps:
            self._name_points(submap, former, known, taken)
        parts = list(disjoint([submap.reconstruction for submap in submaps]))
        models = self._writer.write([part for _, part in parts], [submaps[place].frame for place, _ in parts], rows)
        self._published = self._mapper.registered
        return models

    def _name_points(self, submap: Submap, former: Mapping[int, np.ndarray], known: np.ndarray, taken: set[int]) -> None:
        reconstruction, colors = submap.reconstruction, self._database.colors
        if submap.numbered:
            name_new_points(reconstruction, former, known, colors, taken)
        else:
            first = free_block([known, np.array(sorted(taken), np.int64)])
            renumber([reconstruction], colors, former, first=first, reserved=taken)
            own = np.fromiter(reconstruction.points3D, np.int64, reconstruction.num_points3D())
            reserve(reconstruction, max(first, int(own.max(initial=0)) + 2))
            taken.update(own.tolist())
            submap.numbered = True
        submap.rebuild()
