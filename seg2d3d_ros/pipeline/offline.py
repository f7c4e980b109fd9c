"""Keyframes in, a map directory out: the offline commands' whole way, made of the parts that the nodes use too."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.association.masks.missed import MissedView, find_missed
from seg2d3d_ros.association.masks.recovered_masks import labels_by, repair_with_recovery
from seg2d3d_ros.association.masks.repair import Repair
from seg2d3d_ros.association.masks.transfer import Transfer
from seg2d3d_ros.association.points.doppelgangers import without_hidden
from seg2d3d_ros.association.points.enrich import enrich
from seg2d3d_ros.association.solve import associate, enriches, projects, stacked_up, stacked_xyz
from seg2d3d_ros.config import AssociationConfig, Config
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored_images import StoredImages
from seg2d3d_ros.mapstore.stored_segments import StoredSegments
from seg2d3d_ros.pipeline.intake import Intake
from seg2d3d_ros.pipeline.second_look import Looker, second_round
from seg2d3d_ros.progress import Progress, Stopwatch
from seg2d3d_ros.segmentation.segmenter import Segmenter
from seg2d3d_ros.types import Incidence, Instances, Keyframe, Segments, SparseModel

if TYPE_CHECKING:
    from seg2d3d_ros.reconstruction.reconstructor import Reconstruction

log = logging.getLogger(__name__)

OWN_FILES = (
    "database.db",
    "keyframes.json",
    "tracks.json",
    "points.ply",
    "cloud.ply",
    "dense.ply",
    "config.yaml",
    "metrics.json",
    "report.html",
)
OWN_FOLDERS = ("sparse", "keyframes", "masks", "segments", "labels", "scans")


@dataclass
class Outcome:
    """What a run came to, in counts and words."""

    counts: dict[str, int]
    unregistered: dict[str, str]
    warnings: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    missed: list[MissedView] = field(default_factory=list)


def open_map(root: Path, *, resume: bool) -> MapStore:
    """The map directory for a new run: an earlier map in it is removed, or kept when resuming.

    Raises:
        UsageError: the folder holds something else than a map.
    """
    root = Path(root)
    present = {p.name for p in root.iterdir()} if root.is_dir() else set()
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root}: is a file; choose another --out")
    foreign = {name for name in present if not (name.startswith(("database.db", ".")) or name in (*OWN_FILES, *OWN_FOLDERS))}
    if foreign:
        raise UsageError(f"{root}: holds {sorted(foreign)[0]!r}, which belongs to no map; choose an empty folder for --out")
    if present and not resume:
        log.info("%s: an earlier map is replaced (--resume continues it)", root)
        for name in present:
            path = root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return MapStore(root)


def build_map(
    keyframes: Iterable[Keyframe],
    store: MapStore,
    config: Config,
    segmenter: Segmenter | None,
    *,
    images_in: Path | None = None,
    progress: Progress,
    total: int = 0,
) -> Outcome:
    """Build a whole map from a finite source of keyframes.

    Args:
        keyframes: read once, one at a time.
        segmenter: None for reconstruction only.
        images_in: folder where the keyframes' ``file_name`` lie already; None to keep the images in the map directory.
        total: how many keyframes there are, for the progress; 0 = unknown.

    Raises:
        DataError: nothing could be reconstructed; all that there is was written before.
    """
    from seg2d3d_ros.reconstruction.opening import open_reconstructor

    watch = Stopwatch()
    store.write_config(config)
    intake = Intake(store, config, open_reconstructor(store.root, config.reconstruction), segmenter, watch, images_in)
    for done, keyframe in enumerate(keyframes):
        progress("images", done, total)
        intake.take(keyframe)
    intake.finish()
    records, unregistered, warnings = intake.records, intake.left_out, intake.warnings
    progress("images", len(records), len(records))
    store.write_keyframes(records)

    reconstruction = intake.reconstructor.solve(progress)
    unregistered.update(reconstruction.unregistered)
    progress("association", 0, 1)
    with watch("association"):
        outcome = write_map(store, config, [r.name for r in records], reconstruction, getattr(segmenter, "looker", None))
    progress("association", 1, 1)
    outcome.unregistered.update(unregistered)
    outcome.warnings[:0] = warnings
    association = watch.seconds.pop("association")
    outcome.timings = {**watch.seconds, **reconstruction.timings, "association": association}
    write_metrics(store, outcome)
    if not reconstruction.models:
        raise DataError(nothing_registered(outcome.unregistered))
    return outcome


def write_map(
    store: MapStore, config: Config, names: Sequence[str], reconstruction: Reconstruction, looker: Looker | None = None
) -> Outcome:
    """Associate and write labels, tracks and cloud; the reconstruction is on disk already.

    Args:
        names: all keyframes, registered or not.
        looker: takes a second look where objects were missed; then everything is associated once more.
    """
    prompts = config.segmentation.prompts
    segments = StoredSegments(store, names, prompts)
    models = evidence(reconstruction.models, segments, StoredImages(store), config.association)
    incidence = build_incidence(models, segments, project=projects(config.association))
    instances = associate(incidence, stacked_xyz(models), config.association, stacked_up(models))
    counts = count(names, reconstruction.models, incidence, instances)
    missed = find_missed(models, segments, incidence, instances)
    repair = None
    if looker is not None and missed and config.segmentation.second_look:
        transfer = Transfer(models, incidence, instances, labels_by(Repair(incidence, instances), segments))
        looked = _look_again(store, config, looker, missed, transfer)
        if looked:
            incidence = build_incidence(models, segments, project=projects(config.association))
            instances = associate(incidence, stacked_xyz(models), config.association, stacked_up(models))
            missed = find_missed(models, segments, incidence, instances)
        counts = {**count(names, reconstruction.models, incidence, instances), "second_looks": looked}
    counts["missed_views"] = len(missed)
    if config.association.recover:
        repair = repair_with_recovery(missed, models, segments, incidence, instances)
        counts["recovered_views"] = repair.count
    store.write_result(models, segments, incidence, instances, prompts, repair)
    warnings = [*reconstruction.warnings, *doubts(incidence, segments)]
    return Outcome(counts, dict(reconstruction.unregistered), warnings, missed=missed)


def _look_again(store: MapStore, config: Config, looker: Looker, missed: Sequence[MissedView], transfer: Transfer) -> int:
    """One round of second looks, kept in the map; returns how many masks were accepted."""
    names = config.segmentation.asked
    records = {record.name: record for record in store.read_keyframes()}

    def keyframe_of(name: str) -> Keyframe:
        record = records[name]
        path = store.image_path(record)
        try:
            encoded = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        return Keyframe(name, record.camera_name, record.stamp_ns, encoded, source=str(path))

    accepted = 0
    before = StoredSegments(store, tuple(records), names)
    for segments, added in second_round(looker, keyframe_of, missed, transfer, before.__getitem__):
        store.write_segments(segments, names, added)
        accepted += len(added)
    return accepted


def evidence(
    models: Sequence[SparseModel], segments: Mapping[str, Segments], images: StoredImages | None, config: AssociationConfig
) -> Sequence[SparseModel]:
    """What the association judges by: more points where masks lack them, and no observations of points that cannot be where
    they are. ``published`` takes the models as they are.

    Args:
        images: None = no additional points.
    """
    if enriches(config) and images is not None:
        models = enrich(models, segments, images, enough=config.enough_points)
    return without_hidden(models, segments) if projects(config) else models


def count(names: Sequence[str], models: Sequence[SparseModel], incidence: Incidence, instances: Instances) -> dict[str, int]:
    """The figures that head a report."""
    return {
        "images": len(names),
        "registered": sum(len(model.names) for model in models),
        "registered_largest": len(models[0].names) if models else 0,
        "components": len(models),
        "points": int(sum(len(model.point_ids) for model in models)),
        "observations": int(sum(len(model.obs_point) for model in models)),
        "segments": len(incidence.segment_ids),
        "segments_with_instance": int(np.count_nonzero(instances.segment_instance)),
        "instances": len(instances.ids),
        "labelled_points": int(np.count_nonzero(instances.point_instance)),
    }


def doubts(incidence: Incidence, segments: StoredSegments) -> list[str]:
    """Warnings about the segments, in words."""
    empty = np.diff(incidence.matrix.indptr) == 0
    words = []
    if len(segments) and len(incidence.segment_ids) == 0:
        words.append("no segment lies in a registered image: there is nothing to associate")
    elif empty.sum() > 0.5 * len(empty):
        words.append(f"{int(empty.sum())} of {len(empty)} segments hold no 3D point and cannot be associated")
    return words


def write_metrics(store: MapStore, outcome: Outcome) -> None:
    """Put the outcome into metrics.json."""
    store.update_metrics(
        {
            "counts": outcome.counts,
            "timings": {stage: round(seconds, 3) for stage, seconds in outcome.timings.items()},
            "warnings": outcome.warnings,
            "unregistered": [{"image": name, "reason": reason} for name, reason in sorted(outcome.unregistered.items())],
            "missed": [item.to_json() for item in outcome.missed],
        }
    )


def nothing_registered(reasons: dict[str, str]) -> str:
    """Why there is no model, in one message."""
    first = "; ".join(f"{name}: {reason}" for name, reason in sorted(reasons.items())[:3])
    return (
        f"no two images could be brought together in 3D ({first}). Images must overlap by more than half, "
        "be sharp, and be taken from different places"
    )
