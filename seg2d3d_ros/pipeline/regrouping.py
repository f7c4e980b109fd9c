"""Another granularity for a map that is there: its models and masks stay, the tree's cut and all that follows is made anew."""

from __future__ import annotations

import time

from seg2d3d_ros.config import Config
from seg2d3d_ros.editing.replaying import TOLD
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.association_session import AssociationSession
from seg2d3d_ros.pipeline.figures import emptiness, reconstruction_counts, write_association_figures
from seg2d3d_ros.pipeline.labelled_revision import LabelledRevision
from seg2d3d_ros.progress import Progress

_OF_ASSOCIATION = ("nothing_to_associate", "masks_without_object", "segments_without_points", "segments_without_instance")
_OF_LABELS = ("masks_spread", "impossible_labels", "masks_without_node", *(kind.code for kind in TOLD))


def regroup(store: MapStore, config: Config, progress: Progress | None = None) -> LabelledRevision:
    """Choose the granularity that ``config`` names, and write labels, tracks and points.

    Raises:
        DataError: the map has no model, or no object comes out.
    """
    from seg2d3d_ros.reconstruction.model_io import read_models

    start = time.perf_counter()
    models = read_models(store.root)
    if not models:
        raise DataError(
            f"{store.root}: has no model in sparse/; finish the map first (the command that began it, with --resume)"
        )
    store.write_config(config)
    metrics = store.read_metrics()
    kept = reconstruction_counts(0, models)
    former = {key: value for key, value in metrics.get("counts", {}).items() if key in kept}
    findings = [f for f in metrics.get("findings", ()) if f["code"] not in (*_OF_ASSOCIATION, *_OF_LABELS)]
    store.update_metrics({"counts": {**kept, **former}, "findings": findings})
    labelled = AssociationSession(store, config, progress).update(models, full=True)
    write_association_figures(store, labelled, time.perf_counter() - start)
    if empty := emptiness(labelled, config.segmentation.prompts):
        raise DataError(empty)
    return labelled
