"""Which observations of points the association judges by: more points where masks lack them, and none that cannot be right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

import numpy as np

from seg2d3d_ros.association.points.doppelgangers import without_doppelgangers
from seg2d3d_ros.association.points.enrich import enrich
from seg2d3d_ros.association.points.off_surface import LiveSurfaces, without_off_surface
from seg2d3d_ros.association.solve import enriches, projects
from seg2d3d_ros.findings import Finding, Kind
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Segments, SparseModel

POINTS_UNUSED = Kind(
    "points_unused",
    "3D points that say nothing about objects, because they cannot lie on what their masks show",
    cause="{behind} lie far behind the other points of their masks, {alike} come from matches of façades that look alike; "
    "wrong matches do that, wrong poses or lenses, and masks of what one sees through, such as fences, panes and leaves",
    remedy="objects rest on what is left; look whether the masks lie on the objects and what is said of poses and lenses, and "
    "take images closer together",
)
LARGE_SHARE, LEAST_UNUSED = 0.1, 20
"""Unused points are told from this share and number on. Of streets whose masks and poses are right they are 2 to 8 per cent."""


class PointEvidence:
    """The method ``published`` takes the models as they are.

    Args:
        config: which of the steps are taken.
        progress: told of the step that takes long, a solution of everything.

    Attributes:
        unused: how many points of the last models were left out.
        findings: whether these are many.
    """

    def __init__(self, config: AssociationConfig, progress: Progress | None = None) -> None:
        self._config, self._progress = config, progress
        self._surfaces = LiveSurfaces()
        self.unused = 0
        self.findings: list[Finding] = []

    def of_everything(
        self,
        models: Sequence[SparseModel],
        segments: Mapping[str, Segments],
        images: Mapping[str, np.ndarray] | None = None,
    ) -> Sequence[SparseModel]:
        """For a solution of everything.

        Args:
            images: by keyframe name, to look for more points in; None = they are not there.

        Raises:
            DataError: masks that do not fit the images.
        """
        if enriches(self._config) and images is not None:
            enough = self._config.enough_points
            models = enrich(models, segments, images.__getitem__, enough=enough, progress=self._progress)
        if not projects(self._config):
            return models
        unlike = without_doppelgangers(models, segments)
        return self._count(models, unlike, without_off_surface(unlike, segments))

    def of_update(
        self, models: Sequence[SparseModel], segments: Mapping[str, Segments], fresh: Set[str]
    ) -> Sequence[SparseModel]:
        """For an update in between: without the costly steps, which look at all pairs of masks, or at images.

        Args:
            fresh: keyframes whose segments are new or others than before.

        Raises:
            DataError: masks that do not fit the images.
        """
        if not projects(self._config):
            return models
        return self._count(models, models, self._surfaces.without_off_surface(models, segments, fresh))

    def _count(
        self, models: Sequence[SparseModel], unlike: Sequence[SparseModel], used: Sequence[SparseModel]
    ) -> Sequence[SparseModel]:
        alike, behind = _points_less(models, unlike), _points_less(unlike, used)
        self.unused, self.findings = alike + behind, unused_points(models, alike, behind)
        return used


def unused_points(models: Sequence[SparseModel], alike: int, behind: int) -> list[Finding]:
    """Whether a large share of the observed points is left out of the association.

    Args:
        models: as they were before points were left out.
        alike: points of doppelganger matches.
        behind: points behind the surface of their masks.
    """
    count, of = alike + behind, sum(int(np.count_nonzero(np.bincount(model.obs_point))) for model in models)
    if count < max(LEAST_UNUSED, LARGE_SHARE * of):
        return []
    return [Finding(POINTS_UNUSED, count, of, details={"alike": alike, "behind": behind})]


def _points_less(before: Sequence[SparseModel], after: Sequence[SparseModel]) -> int:
    """How many points of the models are not observed any more."""
    return sum(
        int(np.count_nonzero(np.bincount(old.obs_point))) - int(np.count_nonzero(np.bincount(new.obs_point)))
        for old, new in zip(before, after, strict=True)
    )
