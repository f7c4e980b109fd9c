"""From segments and revisions of the map to labels: one way for the commands, which update once, and for a live map.

No ROS here. Masks lie on disk (``MAP/segments``) and in memory as runs, so that no image is read twice.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np

from seg2d3d_ros.association.judging.impossible import ImpossibleLabel, without_impossible
from seg2d3d_ros.association.judging.scores import score_instances
from seg2d3d_ros.association.masks.missed import MissedView, find_missed
from seg2d3d_ros.association.masks.recovered_masks import RecoveringRepair, labels_by, recover
from seg2d3d_ros.association.masks.repair import Repair
from seg2d3d_ros.association.masks.transfer import Transfer
from seg2d3d_ros.association.online.identity import Identity, Merge
from seg2d3d_ros.association.online.online_association import OnlineAssociation, Update
from seg2d3d_ros.association.online.online_recovery import LiveRecovery
from seg2d3d_ros.association.points.point_evidence import PointEvidence
from seg2d3d_ros.association.solve import projects
from seg2d3d_ros.config import Config
from seg2d3d_ros.editing.replaying import KeptEdits
from seg2d3d_ros.findings import Finding
from seg2d3d_ros.geometry.label_runs import LabelRuns
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.granularity.solving import Granular
from seg2d3d_ros.mapstore.journal import IdentityJournal
from seg2d3d_ros.mapstore.named_segments import NamedSegments
from seg2d3d_ros.mapstore.point_cloud import stray_points
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored import StoredImages, StoredLabels, StoredSegments
from seg2d3d_ros.pipeline.bare_keyframes import WithBareKeyframes
from seg2d3d_ros.pipeline.figures import association_counts, doubts, reconstruction_counts
from seg2d3d_ros.pipeline.granular_choice import GranularChoice
from seg2d3d_ros.pipeline.labelled_revision import LabelledRevision
from seg2d3d_ros.pipeline.place_certainty import PlaceCertainty
from seg2d3d_ros.pipeline.second_look import SCORE, Ask, asks_of
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.prompts.kept_prompts import KeptPrompts
from seg2d3d_ros.types import Incidence, Instances, Observation, Segments, SparseModel

log = logging.getLogger(__name__)

EXAMPLES = 0.25
"""Where fewer of the images have masks, these are examples: that another image with masks lacks an object says nothing."""
UNWRITTEN = 0.1
"""tracks.json and points.ply are written when the label images changed since are more than this share of all."""


class AssociationSession:
    """Associates each revision, and writes ``labels/`` at once, ``tracks.json`` and ``points.ply`` when much has changed.

    A session on an earlier map's directory knows its segments and ids. One thread calls ``update``; masks may be received, and
    names of classes become known, in others meanwhile: the next update takes them over.
    """

    def __init__(self, store: MapStore, config: Config, progress: Progress | None = None) -> None:
        self.store, self._config = store, config.association
        self._segments = StoredSegments(store, None, config.segmentation.prompts)
        self._journal = IdentityJournal(store.root)
        next_id, since = self._journal.read()
        self._prompts = KeptPrompts(store)
        self._edits = KeptEdits(store, wanted=config.association.edits)
        written = Identity.from_tracks(self._prompts.tracks_beneath())
        latest = {key: i for key, i in written.of_segment.items() if key[0] not in since}
        latest.update({(name, segment): i for name, table in since.items() for segment, i in table.items() if i})
        self._online = OnlineAssociation(
            config.association,
            Identity(latest, max(next_id, written.next_id, self._prompts.next_id, self._edits.next_id)),
        )
        self._fresh: set[str] = set()
        self._missed: tuple[MissedView, ...] = ()
        self._recovery = LiveRecovery()
        self._drawn = 0  # objects of the tree, in images that have no mask of theirs
        self._bare = set(StoredLabels(store)) - set(self._segments)  # drawn in, though nobody segmented them
        self._impossible: tuple[ImpossibleLabel, ...] = ()
        self._observed: dict[str, list[Observation]] = {}
        self.latest: LabelledRevision | None = None
        self._handover = threading.Lock()  # guards what the other threads leave for the next update, and its taking over
        self._classes = config.segmentation
        self._arrived: dict[str, NamedSegments] = {}
        self._passed_over = store.read_passed_over()
        self._second_looks = self._unwritten = 0
        self._evidence = PointEvidence(config.association, progress)
        self._granular = GranularChoice(store, self._config)
        self._certainty = PlaceCertainty(store.root)

    # Masks come in (any thread).

    @property
    def class_names(self) -> tuple[str, ...]:
        """The prompts."""
        return self._classes.prompts

    def know(self, names: tuple[str, ...]) -> None:
        """Class ids mean these names from now on; segments on disk carry their names, so nothing is lost."""
        with self._handover:
            self._classes = replace(self._classes, prompts=names)

    @property
    def pending(self) -> bool:
        """Whether masks came that no update has taken over yet."""
        return bool(self._arrived)

    @property
    def segmented(self) -> int:
        """Keyframes whose segments are known."""
        with self._handover:
            return len(self._segments) + sum(name not in self._segments for name in self._arrived)

    def has_segments(self, name: str) -> bool:
        """Whether a keyframe's segments are known."""
        with self._handover:
            return name in self._segments or name in self._arrived

    def is_answered(self, name: str) -> bool:
        """Whether a keyframe's segments are known, or that nobody looked for objects in it."""
        return self.has_segments(name) or name in self._passed_over

    def pass_over(self, name: str) -> None:
        """Nobody looked for objects in this keyframe: none is missing there. Segments that are known stay, or may still come.

        Raises:
            DataError: the disk is full.
        """
        if not self.is_answered(name):
            self.store.write_passed_over(name)
            self._passed_over.add(name)

    def receive(self, segments: Segments, second_look: Collection[int] = ()) -> None:
        """Keep a keyframe's segments; a second message for the same keyframe replaces the first.

        Args:
            second_look: ids that a second look found.

        Raises:
            DataError: the disk is full.
        """
        if segments.name in self._segments:
            self._segments.named(segments.name)  # an update that runs at present goes on with what was on disk until now
        if segments.overlapping is not None:
            self.receive_masks(segments.overlapping, self._classes.asked)
        named = self.store.write_segments(segments, self._classes.asked, second_look)
        with self._handover:
            self._arrived[segments.name] = named
            self._second_looks += len(second_look)

    def receive_masks(self, masks: OverlappingMasks, class_names: Sequence[str]) -> None:
        """Keep a keyframe's overlapping masks; the next update that solves everything chooses one granularity from all of them.

        Args:
            class_names: what the class ids of these masks count.

        Raises:
            DataError: the disk is full.
        """
        self.store.write_overlapping(masks, class_names)

    def receive_again(self, segments: Segments) -> bool:
        """Keep what a second look made of a keyframe's segments: the same, with new ones among them; False if there are none.

        Raises:
            DataError: the disk is full.
        """
        before = self.segments_of(segments.name) if self.has_segments(segments.name) else None
        if before is None or not np.array_equal(np.where(before.labels > 0, segments.labels, 0), before.labels):
            self.receive(segments)  # no second look, but new segments
            return True
        added = np.isin(segments.ids, before.ids, invert=True)
        if added.any():
            scores = np.where(added, np.float32(SCORE), segments.scores)
            self.receive(replace(segments, scores=scores), segments.ids[added].tolist())
        return bool(added.any())

    def segments_of(self, name: str) -> Segments:
        """The newest segments of a keyframe, those of movable classes among them; ``KeyError`` where there are none."""
        with self._handover:
            named = self._arrived.get(name)
        return (named or self._segments.named(name)).numbered(self._classes.asked)

    def asks(self) -> Iterator[tuple[str, list[Ask]]]:
        """What a mask model is to look for again, by keyframe; nothing unless the last update solved everything."""
        latest = self.latest
        if latest is None or not latest.whole or not latest.missed:
            return iter(())
        labels_of = labels_by(Repair(latest.incidence, latest.instances), self._segments)
        return asks_of(latest.missed, Transfer(latest.models, latest.incidence, latest.instances, labels_of))

    # Revisions come in (one thread).

    def update(self, models: Sequence[SparseModel], *, full: bool = False) -> LabelledRevision:
        """Associate this revision and write the result.

        Args:
            full: solve everything as if it had come at once, and write everything: what is in the map directory then is the
                map.

        Raises:
            DataError: masks that do not fit the images, or a full disk.
        """
        start = time.perf_counter()
        self._take_over()
        revision, segments = models, self._segments
        granular = None
        if full and self._granular.wanted:
            models = self._evidence.of_everything(models, self._granular.finest(segments.class_names), self._images())
            granular = self._choose_granularity(models)
        elif full:
            self._granular.forget()
            models = self._evidence.of_everything(models, segments, self._images())
        else:
            models = self._evidence.of_update(models, segments, self._fresh)
        found = self._solve(models, full=full)
        incidence = self._online.incidence.whole()
        instances = self._certainty.of(models, incidence, self._judge(models, incidence, found.instances), full=full)
        everywhere = WithBareKeyframes(segments, models)
        searched = segments if len(segments) >= EXAMPLES * len(everywhere) else ()
        unseen = find_missed(models, searched, incidence, instances) if full else []
        if full:
            drawn = granular.carried if granular is not None and self._config.recover else set()
            self._missed = tuple(item for item in unseen if item.segmented and (item.name, item.instance) not in drawn)
            self._drawn = len(drawn)
        self._recover(unseen, models, everywhere, incidence, instances, found.merges, granular, full=full)
        repair = RecoveringRepair(incidence, instances, self._recovery.regions)
        self._edits.lift()
        labels = self._write_labels(repair, everywhere)
        self._write_identity(models, instances, repair, labels, full=full)
        self._prompts.follow(models, labels, full=full)
        self._edits.follow(models, full=full)
        for merge in found.merges:
            log.info("instance %s is the same as %d from now on", ", ".join(map(str, merge.absorbed)), merge.kept)
        self.latest = LabelledRevision(
            models,
            incidence,
            instances,
            segments.class_names,
            labels,
            {name: self._observed[name] for name in labels},
            found.merges if granular is None else granular.merges,
            full,
            self._missed,
            self._counts(revision, models, incidence, instances),
            tuple(self._doubts(models, incidence, instances, len(everywhere))),
            time.perf_counter() - start,
        )
        return self.latest

    def _take_over(self) -> None:
        """What came since the last update: masks, and names of classes."""
        with self._handover:
            names, arrived, self._arrived = self._classes.prompts, self._arrived, {}
            for segments in arrived.values():
                self._segments.add(segments)
        self._fresh |= arrived.keys()
        for name in arrived:
            self._observed.pop(name, None)
            self._recovery.forget(name)
            self._bare.discard(name)
        before, self._segments.class_names = self._segments.class_names, names
        if names[: len(before)] != before:
            self._forget()  # what is remembered speaks of classes by number

    def _choose_granularity(self, models: Sequence[SparseModel]) -> Granular:
        """The tree of objects, and its cut as the segments of all keyframes: their ids are those of nodes, and of instances."""
        before = None if self.latest is None else self.latest.instances
        found = self._granular.solve(models, self._segments.class_names, before, self._online.identity.next_id)
        of_segment: dict[tuple[str, int], int] = {}
        for name, segments in found.flat.segments.items():
            self._segments.add(self.store.write_segments(segments, self._classes.asked))
            of_segment.update({(name, int(i)): int(i) for i in segments.ids})
        chosen = replace(self._config, rays=False)  # small parts are objects as they are chosen
        self._online = OnlineAssociation(chosen, Identity(of_segment, found.stored.next_id))
        self._observed.clear()
        return found

    def _images(self) -> StoredImages | None:
        """They lie in the map directory, unless the reconstruction runs on another machine."""
        images = StoredImages(self.store)
        return images if images.complete else None

    def _solve(self, models: Sequence[SparseModel], *, full: bool) -> Update:
        try:
            given = full and self._granular.wanted
            found = self._online.update(models, self._segments, self._fresh, full=full, given=given)
        except Exception:
            self._forget()  # what was half done is done anew by the next update
            raise
        self._fresh.clear()
        for name in found.changed:
            self._observed.pop(name, None)  # until its labels are written: if that fails, it is tried again
        return found

    def _forget(self) -> None:
        """Solve everything anew; ids stay."""
        self._online = OnlineAssociation(self._config, self._online.identity)

    def _judge(self, models: Sequence[SparseModel], incidence: Incidence, found: Instances) -> Instances:
        """Drop labels that cannot be, and those of points that points.ply leaves out as strays, and score the instances.

        ``published`` keeps all labels of images.
        """
        impossible: Sequence[ImpossibleLabel] = ()
        if projects(self._config):
            found, impossible = without_impossible(models, incidence, found)
        before = {(label.name, label.instance) for label in self._impossible}
        for name, _ in before ^ {(label.name, label.instance) for label in impossible}:
            self._observed.pop(name, None)
        self._impossible = tuple(impossible)
        strays = stray_points(models)
        if strays.any():
            point = np.where(strays, 0, found.point_instance).astype(np.int32)
            confidence = np.where(strays, 0, found.point_confidence).astype(np.float32)
            found = replace(found, point_instance=point, point_confidence=confidence)
        return replace(found, scores=score_instances(models, incidence, found))

    def _recover(
        self,
        unseen: Sequence[MissedView],
        models: Sequence[SparseModel],
        segments: WithBareKeyframes,
        incidence: Incidence,
        instances: Instances,
        merges: Sequence[Merge],
        granular: Granular | None,
        *,
        full: bool,
    ) -> None:
        """Bring the recovered regions up to date: those that the detector missed, and those in images that nobody segmented."""
        if full:
            wanted = [item for item in unseen if (self._config.recover if item.segmented else self._config.spread)]
            if granular is not None:  # what its nodes lack in segmented images was carried there already
                wanted = [item for item in wanted if not item.segmented]
            drawn = granular.flat.carried if granular is not None and self._config.recover else {}
            changed = self._recovery.renew({**recover(wanted, models, segments, incidence, instances), **drawn})
        else:
            changed = self._recovery.follow(incidence, instances, merges)
        self._bare |= changed & segments.bare.keys()
        for name in changed:
            self._observed.pop(name, None)

    @property
    def _spread(self) -> int:
        """Regions that were drawn where nobody looked for objects."""
        return sum(item.carried for items in self._recovery.regions.values() for item in items)

    def _write_labels(self, repair: Repair, segments: WithBareKeyframes) -> dict[str, LabelRuns]:
        """Write the label images that changed; returns them."""
        labels = {}
        drawn_in = sorted(self._bare & segments.bare.keys())
        for name in [name for name in (*self._segments, *drawn_in) if name not in self._observed]:
            repaired = repair(segments[name])
            labels[name] = repaired.labels
            self.store.write_labels(name, labels[name])
            self._observed[name] = repaired.observations()
        return labels

    def _write_identity(
        self, models: Sequence[SparseModel], instances: Instances, repair: Repair, changed: Collection[str], *, full: bool
    ) -> None:
        """Write tracks.json and points.ply where that is due, else what changed into the journal."""
        next_id = self._online.identity.next_id
        self._unwritten += len(changed)
        if full or self.latest is None or self._unwritten > UNWRITTEN * len(self._segments):
            everything = (item for observations in self._observed.values() for item in observations)
            places = None if self._granular.latest is None else self._granular.latest.places
            self.store.write_summary(models, everything, instances, self._segments.class_names, places)
            self._journal.restart(next_id, told=1 + int(instances.ids.max(initial=0)))
            self._unwritten = 0
        elif changed:
            self._journal.append(next_id, {name: dict(repair.instance_of(name)) for name in changed})

    def _doubts(self, models: Sequence[SparseModel], incidence: Incidence, instances: Instances, images: int) -> list[Finding]:
        in_model = len({name for model in models for name in model.names} & self._segments.keys())
        known = {"images": images, "spread": self._spread, "in_model": in_model}
        found = doubts(incidence, instances, len(self._segments), self._impossible, **known)
        objects = [*self._granular.doubts(), *self._certainty.findings]
        kept = [*self._prompts.findings.list(), *self._edits.findings.list()]
        return [*found, *self._evidence.findings, *self._online.findings, *objects, *kept]

    def _counts(
        self, revision: Sequence[SparseModel], models: Sequence[SparseModel], incidence: Incidence, instances: Instances
    ) -> dict[str, int]:
        counts = {**reconstruction_counts(len(self._segments), revision), **association_counts(incidence, instances, models)}
        counts |= {"missed_views": len(self._missed) + self._drawn, "segmented": len(self._segments)}
        if self._config.recover:
            counts["recovered_views"] = self._recovery.count - self._spread
        if self._spread:
            counts["spread_views"] = self._spread
        if self._evidence.unused:
            counts["unused_points"] = self._evidence.unused
        if self._second_looks:
            counts["second_looks"] = self._second_looks
        return {**counts, **self._edits.counts}
