"""The granularity of a map: overlapping masks on disk become the tree of objects, and its cut the segments of all keyframes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from seg2d3d_ros.association.solve import projects
from seg2d3d_ros.findings import NOTE, Finding, Kind
from seg2d3d_ros.granularity.cut import check_granularity
from seg2d3d_ros.granularity.solving import Granular, solve_granularity
from seg2d3d_ros.mapstore.files.tree_file import TREE_FILE, read_tree
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored import StoredMasks
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.segmentation.finest import FinestSegments
from seg2d3d_ros.types import Instances, SparseModel

NONE = "none"
"""The parameter's value that leaves each image's flat choice as it is."""
MASKS_WITHOUT_NODE = Kind(
    "masks_without_node",
    "overlapping masks that are in no object of the tree",
    cause="a single view shows them: {pointless} hold no 3D point, the others lie in objects that several views agree on",
    remedy="nothing need be done; more images of these places would tell whether they are objects",
    level=NOTE,
)


class GranularChoice:
    """Solves the tree of a map directory's overlapping masks anew, with the ids of the tree that lies there.

    Raises:
        UsageError: no such granularity.
        DataError: the tree on disk is damaged.
    """

    def __init__(self, store: MapStore, config: AssociationConfig) -> None:
        self._store, self._project = store, projects(config)
        word = config.granularity.strip().lower()
        self._granularity = word if word == NONE else check_granularity(config.granularity)
        self._former = read_tree(store.root)
        self.latest: Granular | None = None

    @property
    def wanted(self) -> bool:
        """Whether there are overlapping masks, and one granularity is asked for."""
        return self._granularity != NONE and bool(self._store.overlapping_names())

    def forget(self) -> None:
        """The map has no overlapping masks any more, or each image is left its own choice: delete the tree there was."""
        self._former = self.latest = None
        with suppress(OSError):
            (self._store.root / TREE_FILE).unlink()

    def finest(self, class_names: Sequence[str]) -> FinestSegments:
        """The smallest mask, of these classes, at each pixel: what points are looked for in."""
        return FinestSegments(StoredMasks(self._store, class_names))

    def solve(
        self, models: Sequence[SparseModel], class_names: Sequence[str], instances: Instances | None, next_id: int
    ) -> Granular:
        """The tree of these models, written to granularity.json.

        Args:
            class_names: the classes whose masks count.
            instances: of an earlier solution of the same points, whose ids may stay.
            next_id: the lowest id that no instance ever had.

        Raises:
            DataError: masks that cannot be read, or a full disk.
        """
        masks = StoredMasks(self._store, class_names)
        known: dict[int, int] = {}
        if instances is not None and len(instances.point_instance) == sum(len(model.point_ids) for model in models):
            ids = np.concatenate([np.empty(0, np.int64), *(model.point_ids for model in models)])
            known = dict(zip(ids.tolist(), instances.point_instance.tolist(), strict=True))
        found = solve_granularity(models, masks, self._granularity, self._former, known, next_id, project=self._project)
        self._store.write_tree(found.stored)
        self._former, self.latest = found.stored, found
        return found

    def doubts(self) -> list[Finding]:
        """Masks that the latest tree has no place for."""
        if self.latest is None:
            return []
        alone = np.flatnonzero(self.latest.tree.of_mask < 0)
        pointless = int((np.diff(self.latest.points.held.indptr)[alone] == 0).sum())
        total = len(self.latest.points)
        return [Finding(MASKS_WITHOUT_NODE, len(alone), total, details={"pointless": pointless})] if len(alone) else []
