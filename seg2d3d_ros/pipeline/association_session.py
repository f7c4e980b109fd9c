"""Labels of a map that grows: segments come in, revisions come in, and the same objects keep their ids.

No threads and no ROS here. Masks live on disk (``MAP/segments``), so memory does not grow with the images.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seg2d3d_ros.association.masks.missed import MissedView, find_missed
from seg2d3d_ros.association.masks.recovered_masks import RecoveringRepair, labels_by, recover
from seg2d3d_ros.association.masks.repair import Repair
from seg2d3d_ros.association.masks.transfer import Transfer
from seg2d3d_ros.association.online.identity import Identity, Merge
from seg2d3d_ros.association.online.online_association import OnlineAssociation, Update
from seg2d3d_ros.association.online.online_recovery import LiveRecovery
from seg2d3d_ros.config import Config
from seg2d3d_ros.mapstore.journal import IdentityJournal
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored_images import StoredImages
from seg2d3d_ros.mapstore.stored_segments import StoredSegments
from seg2d3d_ros.mapstore.tracks_file import Observation
from seg2d3d_ros.pipeline.offline import count, doubts, evidence
from seg2d3d_ros.pipeline.second_look import SCORE, Ask, asks_of
from seg2d3d_ros.types import Incidence, Instances, Segments, SparseModel

log = logging.getLogger(__name__)

UNWRITTEN = 0.1
"""tracks.json and points.ply are written when the label images changed since are more than this share of all."""


@dataclass(frozen=True)
class Labelled:
    """One revision with its labels.

    Attributes:
        changed: keyframes whose label image is new or differs from the last revision's.
        repair: turns a keyframe's segments into those that were published, with the instance of each.
        merges: instances that turned out to be one.
        whole: everything was solved, and ``missed`` is of this revision.
        missed: where instances should be seen and no mask shows them, as the last update that solved everything found.
        seconds: how long it took.
    """

    models: Sequence[SparseModel]
    incidence: Incidence
    instances: Instances
    changed: tuple[str, ...]
    repair: Repair
    merges: tuple[Merge, ...]
    whole: bool
    missed: tuple[MissedView, ...]
    counts: Mapping[str, int]
    warnings: tuple[str, ...]
    seconds: float


class AssociationSession:
    """Associates each revision, and writes ``labels/`` at once, ``tracks.json`` and ``points.ply`` when much has changed.

    A session on an earlier map's directory knows its segments and ids.
    """

    def __init__(self, store: MapStore, config: Config) -> None:
        self.store, self._config = store, config
        self._known = dict.fromkeys(sorted(path.stem for path in (store.root / "segments").glob("[!.]*.png")))
        self._journal = IdentityJournal(store.root)
        next_id, since = self._journal.read()
        written = Identity.from_tracks(store.read_tracks())
        latest = {key: i for key, i in written.of_segment.items() if key[0] not in since}
        latest.update({(name, segment): i for name, table in since.items() for segment, i in table.items() if i})
        self._online = OnlineAssociation(config.association, Identity(latest, max(next_id, written.next_id)))
        self._fresh: set[str] = set()
        self._missed: tuple[MissedView, ...] = ()
        self._second_looks = 0
        self._recovery = LiveRecovery()
        self._observed: dict[str, list[Observation]] = {}
        self._unwritten = 0
        self.latest: Labelled | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The prompts."""
        return self._config.segmentation.prompts

    def know(self, names: tuple[str, ...]) -> None:
        """Class ids mean these names from now on; segments on disk carry their names, so nothing is lost."""
        if names[: len(self.class_names)] != self.class_names:
            # What is remembered speaks of classes by number.
            self._online = OnlineAssociation(self._config.association, self._online.identity)
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
        self._keep(segments, ())

    def receive_again(self, segments: Segments) -> bool:
        """Keep what a second look made of a keyframe's segments: the same, with new ones among them; False if there are none.

        Raises:
            DataError: the disk is full.
        """
        before = self.store.read_segments(segments.name, self.class_names)
        if before is None or not np.array_equal(np.where(before.labels > 0, segments.labels, 0), before.labels):
            self._keep(segments, ())  # no second look, but new segments
            return True
        added = np.isin(segments.ids, before.ids, invert=True)
        if not added.any():
            return False
        scores = np.where(added, np.float32(SCORE), segments.scores)
        self._keep(replace(segments, scores=scores), segments.ids[added].tolist())
        self._second_looks += int(added.sum())
        return True

    def asks(self) -> Iterator[tuple[str, list[Ask]]]:
        """What a mask model is to look for again, by keyframe; nothing unless the last update solved everything."""
        latest = self.latest
        if latest is None or not latest.whole or not latest.missed:
            return iter(())
        segments = StoredSegments(self.store, self._known, self.class_names)
        labels_of = labels_by(Repair(latest.incidence, latest.instances), segments)
        return asks_of(latest.missed, Transfer(latest.models, latest.incidence, latest.instances, labels_of))

    def _keep(self, segments: Segments, second_look: Collection[int]) -> None:
        self.store.write_segments(segments, self.class_names, second_look)
        self._known[segments.name] = None
        self._fresh.add(segments.name)
        self._observed.pop(segments.name, None)
        self._recovery.forget(segments.name)

    def update(self, models: Sequence[SparseModel], *, full: bool = False) -> Labelled:
        """Associate this revision and write the result.

        Args:
            full: solve everything as offline and write everything: what is in the map directory then is the map.

        Raises:
            DataError: masks that do not fit the images, or a full disk.
        """
        start = time.perf_counter()
        segments = StoredSegments(self.store, self._known, self.class_names)
        revision = models
        if full:
            # The images lie in the map directory, unless the reconstruction runs on another machine.
            images = StoredImages(self.store)
            models = evidence(models, segments, images if images.complete else None, self._config.association)
        try:
            found = self._online.update(models, segments, self._fresh, full=full)
        except Exception:
            # What was half done is done anew by the next update.
            self._online = OnlineAssociation(self._config.association, self._online.identity)
            raise
        self._fresh.clear()
        incidence, instances = self._online.incidence.whole(), found.instances
        for name in found.changed:
            self._observed.pop(name, None)  # until its labels are written: if that fails, it is tried again
        if full:
            self._missed = tuple(find_missed(models, segments, incidence, instances))
        for name in self._recover(models, segments, incidence, found, full=full):
            self._observed.pop(name, None)
        repair = RecoveringRepair(incidence, instances, self._recovery.regions)
        changed = tuple(name for name in self._known if name not in self._observed)
        for name in changed:
            self._observed[name] = self.store.write_labels(repair(segments[name]))
        identity = self._online.identity
        self._unwritten += len(changed)
        if full or self.latest is None or self._unwritten > UNWRITTEN * len(self._known):
            everything = (item for name in self._known for item in self._observed[name])
            self.store.write_summary(models, everything, instances, self.class_names)
            self._journal.restart(identity.next_id)
            self._unwritten = 0
        elif changed:
            self._journal.append(identity.next_id, {name: dict(repair.instance_of(name)) for name in changed})
        for merge in found.merges:
            log.info("instance %s is the same as %d from now on", ", ".join(map(str, merge.absorbed)), merge.kept)
        counts = {**count(tuple(self._known), revision, incidence, instances), "missed_views": len(self._missed)}
        if self._config.association.recover:
            counts["recovered_views"] = self._recovery.count
        if self._second_looks:
            counts["second_looks"] = self._second_looks
        self.latest = Labelled(
            models,
            incidence,
            instances,
            changed,
            repair,
            found.merges,
            full,
            self._missed,
            counts,
            tuple(doubts(incidence, segments)),
            time.perf_counter() - start,
        )
        return self.latest

    def _recover(
        self, models: Sequence[SparseModel], segments: StoredSegments, incidence: Incidence, found: Update, *, full: bool
    ) -> set[str]:
        """Bring the recovered regions up to date; returns the keyframes where they are others than before."""
        if not self._config.association.recover:
            return set()
        if full:
            return self._recovery.renew(recover(self._missed, models, segments, incidence, found.instances))
        return self._recovery.follow(incidence, found.instances, found.merges)
