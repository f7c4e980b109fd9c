"""What a map came to, in counts, seconds and words: for metrics.json, diagnostics and the report.

The reconstruction's figures are written first, and the association adds its own: the commands do both, of the nodes each does
its part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.labelled_revision import LabelledRevision
from seg2d3d_ros.types import Incidence, Instances, SparseModel

if TYPE_CHECKING:
    from seg2d3d_ros.reconstruction.reconstructor import Reconstruction


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


def doubts(incidence: Incidence, segmented: int) -> list[str]:
    """Warnings about the segments of so many keyframes, in words."""
    empty = np.diff(incidence.matrix.indptr) == 0
    if segmented and len(empty) == 0:
        return ["no segment lies in a registered image: there is nothing to associate"]
    if empty.sum() > 0.5 * len(empty):
        return [f"{int(empty.sum())} of {len(empty)} segments hold no 3D point and cannot be associated"]
    return []


def write_reconstruction_figures(
    store: MapStore,
    images: int,
    reconstruction: Reconstruction | None,
    left_out: Mapping[str, str],
    seconds: Mapping[str, float],
    warnings: Iterable[str] = (),
) -> None:
    """Replace counts, timings, warnings and unregistered keyframes by what is known of them before the association.

    Args:
        images: keyframes that came.
        left_out: name -> reason, of those that were not handed to the reconstruction.
        seconds: by stage.
        warnings: of what came before the reconstruction.
    """
    reasons = {**(reconstruction.unregistered if reconstruction else {}), **left_out}
    store.update_metrics(
        {
            "counts": reconstruction_counts(images, reconstruction.models if reconstruction else []),
            "timings": {stage: round(value, 3) for stage, value in seconds.items()},
            "warnings": [*warnings, *(reconstruction.warnings if reconstruction else [])],
            "unregistered": [{"image": name, "reason": reason} for name, reason in sorted(reasons.items())],
        }
    )


def write_association_figures(store: MapStore, labelled: LabelledRevision, seconds: float) -> None:
    """Add what the association knows; the reconstruction's figures stay."""
    metrics = store.read_metrics()
    warnings = metrics.get("warnings", [])
    store.update_metrics(
        {
            "counts": {**labelled.counts, **metrics.get("counts", {})},
            "timings": {**metrics.get("timings", {}), "association": round(seconds, 3)},
            "warnings": [*warnings, *(text for text in labelled.warnings if text not in warnings)],
            "missed": [item.to_json() for item in labelled.missed],
        }
    )
