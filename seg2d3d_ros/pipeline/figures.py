"""What a map came to, in counts, seconds and words: for metrics.json, diagnostics and the report.

The reconstruction's figures are written first, and the association adds its own: the commands do both, of the nodes each does
its part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seg2d3d_ros.association.judging.impossible import ImpossibleLabel, shown_rows
from seg2d3d_ros.findings import EXAMPLES, NOTE, Finding, Kind
from seg2d3d_ros.mapstore.point_cloud import stray_points
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
MASKS_WITHOUT_OBJECT = Kind(
    "masks_without_object",
    "images of the model whose masks hold no object",
    cause="the masks are empty, or of other classes than those that were asked for",
    remedy="look at the masks, and compare the names of their classes with those that were asked for",
)
SEGMENTS_WITHOUT_POINTS = Kind(
    "segments_without_points",
    "segments that hold no 3D point and cannot be associated",
    cause="the objects have little texture, or are seen from one place only",
    remedy="take images closer together, or let association.enough_points add points",
)
SEGMENTS_WITHOUT_INSTANCE = Kind(
    "segments_without_instance",
    "segments that belong to no instance",
    cause="they hold no 3D point, or share too few with segments of other images: {counts}",
    remedy="these masks have no object in labels/ and tracks.json; more images of these places would tie them",
    level=NOTE,
)
SPREAD = Kind(
    "masks_spread",
    "masks drawn where none was given",
    cause="masks were given for {segmented} of {images} images; their objects were drawn wherever their 3D points are seen",
    remedy="they are marked recovered in tracks.json, with a score of how sure; association.spread=false leaves them out",
    level=NOTE,
)
SEPARATE_MODELS = Kind(
    "separate_models",
    "images in models of their own, apart from the largest",
    cause="too few points hold the {models} models together; {places}, and an object that is seen in two has two ids",
    remedy="take more images where they should join, with more overlap",
)
IMPOSSIBLE_LABELS = Kind(
    "impossible_labels",
    "labels dropped because the object's box lies behind the camera or beside what it sees",
    cause="a few wrong matches link the mask to an object elsewhere; the mask has no object now",
    remedy="look at these images; more overlap around them lets the mask find its own object",
)


def reconstruction_counts(images: int, models: Sequence[SparseModel]) -> dict[str, int]:
    """Of so many keyframes, what the reconstruction made of them; ``model_points`` are those of ``sparse/``."""
    return {
        "images": images,
        "registered": sum(len(model.names) for model in models),
        "registered_largest": len(models[0].names) if models else 0,
        "components": len(models),
        "model_points": sum(len(model.point_ids) for model in models),
        "observations": sum(len(model.obs_point) for model in models),
    }


def association_counts(incidence: Incidence, instances: Instances, models: Sequence[SparseModel]) -> dict[str, int]:
    """Segments, and the points of points.ply, and how many of them belong to instances.

    Args:
        models: as they are labelled: with the points that masks were given beyond ``model_points``.
    """
    strays = int(np.count_nonzero(stray_points(models)))
    return {
        "points": len(instances.point_instance) - strays,
        "stray_points": strays,
        "instances_with_points": len(np.unique(instances.point_instance[instances.point_instance > 0])),
        "segments": len(incidence.segment_ids),
        "segments_with_instance": int(np.count_nonzero(instances.segment_instance)),
        "instances": len(instances.ids),
        "labelled_points": int(np.count_nonzero(instances.point_instance)),
    }


def doubts(
    incidence: Incidence,
    instances: Instances,
    segmented: int,
    impossible: Sequence[ImpossibleLabel] = (),
    *,
    images: int = 0,
    spread: int = 0,
    in_model: int = 0,
) -> list[Finding]:
    """What is doubtful about the segments of so many keyframes, and about their instances.

    Args:
        impossible: labels that were dropped.
        images: how many there are, with segments or not.
        spread: masks that were drawn in images without segments.
        in_model: of the keyframes with segments, those that the models have.
    """
    found = [Finding(SPREAD, spread, details={"segmented": segmented, "images": images})] if spread else []
    if impossible:
        labels = len(shown_rows(instances)[0]) + sum(len(label.rows) for label in impossible)
        names = tuple(f"object {label.instance} in {label.name}" for label in impossible[:EXAMPLES])
        found.append(Finding(IMPOSSIBLE_LABELS, len(impossible), labels, names))
    empty = np.diff(incidence.matrix.indptr) == 0
    if in_model and len(empty) == 0:
        found.append(Finding(MASKS_WITHOUT_OBJECT, in_model, in_model))
    elif segmented and len(empty) == 0:
        found.append(Finding(NOTHING_TO_ASSOCIATE, segmented, segmented))
    elif (lost := empty & (instances.segment_instance == 0)).sum() > 0.5 * len(empty):
        found.append(Finding(SEGMENTS_WITHOUT_POINTS, int(lost.sum()), len(empty)))
    else:
        alone = instances.segment_instance == 0
        for label in impossible:  # told already
            alone[list(label.rows)] = False
        pointless = int(np.count_nonzero(alone & empty))
        apart = int(alone.sum()) - pointless
        counts = [f"{pointless} without points"] * bool(pointless) + [f"{apart} with too few"] * bool(apart)
        details = {"counts": ", ".join(counts)}
        found += [Finding(SEGMENTS_WITHOUT_INSTANCE, int(alone.sum()), len(alone), details=details)] if alone.any() else []
    return found


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
    models = reconstruction.models if reconstruction else []
    residuals = reconstruction.residuals if reconstruction else None
    reasons = {**(reconstruction.unregistered if reconstruction else {}), **left_out}
    doubted = [*(reconstruction.findings if reconstruction else []), *_separate_models(models)]
    store.update_metrics(
        {
            "counts": reconstruction_counts(images, models),
            "timings": {stage: round(value, 3) for stage, value in seconds.items()},
            **_in_words([*findings, *doubted]),
            "unregistered": [{"image": name, "reason": reason} for name, reason in sorted(reasons.items())],
            "positions": residuals.to_json() if residuals else {},
            "models": [_model_document(model) for model in models],
            "truth": None,  # it was measured on other labels
        }
    )


def _model_document(model: SparseModel) -> dict[str, Any]:
    """A model in metrics.json: how large it is, and how well its scale is known."""
    sigma = model.frame.scale_sigma
    known = None if sigma is None else round(sigma, 6)
    return {"images": len(model.names), "points": len(model.point_ids), "frame": model.frame.kind, "scale_sigma": known}


def _separate_models(models: Sequence[SparseModel]) -> list[Finding]:
    """Whether the images fell apart."""
    apart = [name for model in models[1:] for name in model.names]
    if not apart:
        return []
    places = (
        "GPS places them" if all(model.frame.kind == "enu" for model in models) else "where they lie to each other is unknown"
    )
    of = sum(len(model.names) for model in models)
    return [Finding(SEPARATE_MODELS, len(apart), of, tuple(apart[:EXAMPLES]), {"models": len(models), "places": places})]


def write_association_figures(store: MapStore, labelled: LabelledRevision, seconds: float) -> None:
    """Add what the association knows; the reconstruction's figures stay."""
    metrics = store.read_metrics()
    store.update_metrics(
        {
            "counts": {**labelled.counts, **metrics.get("counts", {})},
            "timings": {**metrics.get("timings", {}), "association": round(seconds, 3)},
            **_in_words(labelled.findings, metrics.get("findings", ())),
            "missed": [item.to_json() for item in labelled.missed],
            "truth": None,  # it was measured on other labels
        }
    )


def add_findings(store: MapStore, findings: Iterable[Finding], instead_of: Iterable[Kind] = ()) -> None:
    """Add findings to metrics.json; those of a kind that stands there already replace it.

    Args:
        instead_of: kinds that go, whether they are found anew or not.
    """
    gone = {kind.code for kind in instead_of}
    known = [entry for entry in store.read_metrics().get("findings", ()) if entry["code"] not in gone]
    store.update_metrics(_in_words(findings, known))


def _in_words(findings: Iterable[Finding], known: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The entries ``findings`` and ``warnings`` of metrics.json: those known before whose kind is not found anew stay."""
    new = [finding.to_json() for finding in findings]
    codes = {entry["code"] for entry in new}
    entries = [*(entry for entry in known if entry["code"] not in codes), *new]
    return {"findings": entries, "warnings": [entry["text"] for entry in entries]}
