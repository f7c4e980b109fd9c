"""Labels of a map that grows: segments come in, revisions come in, and the same objects keep their ids.

No threads and no ROS here. Masks live on disk (``MAP/segments``), so memory does not grow with the images.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from seg2d3d_ros.association.identity import Identity, Merge, inherit_ids
from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.association.repair import Repair
from seg2d3d_ros.association.solve import associate, projects
from seg2d3d_ros.association.upright import stacked_up
from seg2d3d_ros.config import Config
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored_segments import StoredSegments
from seg2d3d_ros.pipeline import count, doubts, stacked_xyz
from seg2d3d_ros.types import Incidence, Instances, Segments, SparseModel

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labelled:
    """One revision with its labels.

    Attributes:
        changed: keyframes whose label image is new or differs from the last revision's.
        repair: turns a keyframe's segments into those that were published, with the instance of each.
        merges: instances that turned out to be one.
        seconds: how long it took.
    """

    models: Sequence[SparseModel]
    incidence: Incidence
    instances: Instances
    changed: tuple[str, ...]
    repair: Repair
    merges: tuple[Merge, ...]
    counts: Mapping[str, int]
    warnings: tuple[str, ...]
    seconds: float


class AssociationSession:
    """Associates each revision and writes ``labels/``, ``tracks.json`` and ``points.ply``.

    A session on an earlier map's directory knows its segments and ids.
    """

    def __init__(self, store: MapStore, config: Config) -> None:
        self.store, self._config = store, config
        self._known = dict.fromkeys(sorted(path.stem for path in (store.root / "segments").glob("[!.]*.png")))
        self._identity = Identity.from_tracks(store.read_tracks())
        self._shown: dict[str, tuple[object, ...]] = {}
        self.latest: Labelled | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The prompts."""
        return self._config.segmentation.prompts

    def know(self, names: tuple[str, ...]) -> None:
        """Class ids mean these names from now on; segments on disk carry their names, so nothing is lost."""
        self._config = replace(self._config, segmentation=replace(self._config.segmentation, prompts=names))

    @property
    def segmented(self) -> int:
        """Keyframes whose segments are known."""
        return len(self._known)

    def has_segments(self, name: str) -> bool:
        """Whether a keyframe's segments are known."""
        return name in self._known

    def receive(self, segments: Segments) -> None:
        """Keep a keyframe's segments; a second message for the same keyframe replaces the first.

        Raises:
            DataError: the disk is full.
        """
        self.store.write_segments(segments, self.class_names)
        self._known[segments.name] = None
        self._shown.pop(segments.name, None)

    def update(self, models: Sequence[SparseModel]) -> Labelled:
        """Associate this revision and write the result.

        Raises:
            DataError: masks that do not fit the images, or a full disk.
        """
        start = time.perf_counter()
        segments = StoredSegments(self.store, tuple(self._known), self.class_names)
        incidence = build_incidence(models, segments, project=projects(self._config.association))
        instances = associate(incidence, stacked_xyz(models), self._config.association, stacked_up(models))
        instances, self._identity, merges = inherit_ids(incidence, instances, self._identity)
        repair = Repair(incidence, instances)
        signatures = {name: repair.signature(name) for name in segments}
        changed = tuple(name for name in segments if self._shown.get(name) != signatures[name])
        self.store.write_result(models, segments, incidence, instances, self.class_names, only=set(changed))
        self._shown = signatures
        for merge in merges:
            log.info("instance %s is the same as %d from now on", ", ".join(map(str, merge.absorbed)), merge.kept)
        self.latest = Labelled(
            models,
            incidence,
            instances,
            changed,
            repair,
            tuple(merges),
            count(tuple(self._known), models, incidence, instances),
            tuple(doubts(incidence, segments)),
            time.perf_counter() - start,
        )
        return self.latest
