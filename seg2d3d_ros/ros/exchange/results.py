"""What the map nodes write beside the map: effective configuration, figures, report."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from seg2d3d_ros.config import Config, make_config, read_parameters
from seg2d3d_ros.errors import Seg2d3dError, UsageError
from seg2d3d_ros.mapstore.store import MapStore

if TYPE_CHECKING:
    from seg2d3d_ros.pipeline.association_session import Labelled
    from seg2d3d_ros.reconstruction.reconstructor import Reconstruction

log = logging.getLogger(__name__)


def write_config_sections(store: MapStore, config: Config, sections: Sequence[str]) -> None:
    """Keep a node's own sections of the effective configuration in config.yaml, beside those of the other nodes."""
    path = store.root / "config.yaml"
    try:
        written = make_config(read_parameters(path)) if path.exists() else Config()
    except UsageError as error:
        log.warning("%s is written anew: %s", path, error)
        written = Config()
    own = {key: value for key, value in config.flat().items() if key.partition(".")[0] in sections}
    store.write_config(make_config(own, written))


def write_reconstruction_figures(
    store: MapStore,
    received: int,
    reconstruction: Reconstruction | None,
    rejected: Mapping[str, str],
    seconds: Mapping[str, float],
) -> None:
    """Counts, timings, warnings and unregistered keyframes, as far as the reconstruction knows them."""
    models = reconstruction.models if reconstruction else []
    reasons = {**(reconstruction.unregistered if reconstruction else {}), **rejected}
    store.update_metrics(
        {
            "counts": {
                "images": received,
                "registered": sum(len(model.names) for model in models),
                "registered_largest": len(models[0].names) if models else 0,
                "components": len(models),
                "points": int(sum(len(model.point_ids) for model in models)),
                "observations": int(sum(len(model.obs_point) for model in models)),
            },
            "timings": {stage: round(value, 3) for stage, value in seconds.items()},
            "warnings": list(reconstruction.warnings) if reconstruction else [],
            "unregistered": [{"image": name, "reason": reason} for name, reason in sorted(reasons.items())],
        }
    )


def write_association_figures(store: MapStore, labelled: Labelled, seconds: float) -> None:
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


def write_report_if_possible(store: MapStore) -> str:
    """report.html, or why not, in words; a map without its report is still a map."""
    from seg2d3d_ros.report import write_report

    try:
        return f"report {write_report(store.root)}"
    except Seg2d3dError as error:
        log.warning("no report: %s", error)
        return f"no report ({error})"
