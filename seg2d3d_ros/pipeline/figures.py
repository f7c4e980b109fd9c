"""What a map came to, in counts, seconds and words: for metrics.json, diagnostics and the report.

The reconstruction's figures are written first, and the association adds its own: the commands do both, of the nodes each does
its part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seg2d3d_ros.findings import Finding, Kind
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.labelled_revision import LabelledRevision
from seg2d3d_ros.types import Incidence, Instances, SparseModel

if TYPE_CHECKING:
    from seg2d3d_ros.reconstruction.reconstructor import Reconstruction


NOTHING_TO_ASSOCIATE = Kind(
    "nothing_to_associate",
    "segmented images of which none is in the model",
    cause="the images with masks are not those that were brought together in 3D",
    remedy="give masks for the registered images, or more overlap to the others",
)
SEGMENTS_WITHOUT_POINTS = Kind(
    "segments_without_points",
    "segments that hold no 3D point and cannot be associated",
    cause="the objects have little texture, or are seen from one place only",
    remedy="take images closer together, or let association.enough_points add points",
)


def reconstruction_counts(images: int, models: Sequence[SparseModel]) -> dict[str, int]:
    """Of so many keyframes, what the reconstruction made of them."""
    return {
        "images": images,
        "registered": sum(len(model.names) for model in models),
        "registered_largest": len(models[0].names) if models else 0,
        "components": len(models),
        "points": sum(len(model.point_ids) for model in models),
        "observations": sum(len(model.obs_point) for model in models),
    }


def association_counts(incidence: Incidence, instances: Instances) -> dict[str, int]:
    """Segments and points, and how many of them belong to instances."""
    return {
        "segments": len(incidence.segment_ids),
        "segments_with_instance": int(np.count_nonzero(instances.segment_instance)),
        "instances": len(instances.ids),
        "labelled_points": int(np.count_nonzero(instances.point_instance)),
    }


def doubts(incidence: Incidence, segmented: int) -> list[Finding]:
    """What is doubtful about the segments of so many keyframes."""
    empty = np.diff(incidence.matrix.indptr) == 0
    if segmented and len(empty) == 0:
        return [Finding(NOTHING_TO_ASSOCIATE, segmented, segmented)]
    if empty.sum() > 0.5 * len(empty):
        return [Finding(SEGMENTS_WITHOUT_POINTS, int(empty.sum()), len(empty))]
    return []


def emptiness(labelled: LabelledRevision, asked: Sequence[str]) -> str:
    """Why a map has no instance although objects were asked for, in one message; empty where it has some.

    A command then ends with status 1, and ``finalize`` answers ``success=False``: the map is kept, to be looked at.

    Args:
        asked: the prompts; none where only the reconstruction was asked for.
    """
    counts = labelled.counts
    if not asked or counts["instances"]:
        return ""
    images, segments = counts["images"], counts["segments"]
    if not images:
        why = "no image has masks"
    elif not segments:
        why = f"the masks of {images} images hold nothing of it, or none of these images is in the model"
    else:
        why = f"none of the {segments} masks in {images} images became an instance"
    causes = [finding.text for finding in labelled.findings] or [
        "an object needs 3D points that masks of several images share; check the masks, or take more images"
    ]
    return "; ".join([f"no {' or '.join(asked)} was found: {why}", *causes])


def write_reconstruction_figures(
    store: MapStore,
    images: int,
    reconstruction: Reconstruction | None,
    left_out: Mapping[str, str],
    seconds: Mapping[str, float],
    findings: Iterable[Finding] = (),
) -> None:
    """Replace counts, timings, findings and unregistered keyframes by what is known of them before the association.

    Args:
        images: keyframes that came.
        left_out: name -> reason, of those that were not handed to the reconstruction.
        seconds: by stage.
        findings: of what came before the reconstruction.
    """
    reasons = {**(reconstruction.unregistered if reconstruction else {}), **left_out}
    store.update_metrics(
        {
            "counts": reconstruction_counts(images, reconstruction.models if reconstruction else []),
            "timings": {stage: round(value, 3) for stage, value in seconds.items()},
            **_in_words([*findings, *(reconstruction.findings if reconstruction else [])]),
            "unregistered": [{"image": name, "reason": reason} for name, reason in sorted(reasons.items())],
        }
    )


def write_association_figures(store: MapStore, labelled: LabelledRevision, seconds: float) -> None:
    """Add what the association knows; the reconstruction's figures stay."""
    metrics = store.read_metrics()
    store.update_metrics(
        {
            "counts": {**labelled.counts, **metrics.get("counts", {})},
            "timings": {**metrics.get("timings", {}), "association": round(seconds, 3)},
            **_in_words(labelled.findings, metrics.get("findings", ())),
            "missed": [item.to_json() for item in labelled.missed],
        }
    )


def _in_words(findings: Iterable[Finding], known: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The entries ``findings`` and ``warnings`` of metrics.json: those known before whose kind is not found anew stay."""
    new = [finding.to_json() for finding in findings]
    codes = {entry["code"] for entry in new}
    entries = [*(entry for entry in known if entry["code"] not in codes), *new]
    return {"findings": entries, "warnings": [entry["text"] for entry in entries]}
