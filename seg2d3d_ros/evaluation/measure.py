"""All metrics of a map and of the baselines, against ground truth (design, section 7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.errors import Seg2d3dError
from seg2d3d_ros.evaluation import baselines
from seg2d3d_ros.evaluation.bytetrack import bytetrack
from seg2d3d_ros.evaluation.cloud import read_cloud
from seg2d3d_ros.evaluation.clustering import mask_clustering, owners, track_metrics
from seg2d3d_ros.evaluation.coverage import coverage_metrics, detected_images, object_table
from seg2d3d_ros.evaluation.overlaps import THETA, Overlaps, relabel, without_excused
from seg2d3d_ros.evaluation.points import METRICS
from seg2d3d_ros.evaluation.positions import TRUTH_FILE, evaluate_positions
from seg2d3d_ros.evaluation.reading import read_map_masks
from seg2d3d_ros.evaluation.table import MAP_ROW
from seg2d3d_ros.evaluation.tracking import ALPHAS, hota_curve, hota_metrics, idf1
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.reconstruction.model_io import read_models


def score(
    labelled: Overlaps, raw: Overlaps, raw_label: np.ndarray, detected: np.ndarray, owner: np.ndarray
) -> dict[str, float | int | None]:
    """Every metric of one labelling.

    Args:
        labelled: overlaps of its regions, excused ones included.
        raw: overlaps of the R raw masks.
        raw_label: (R,) the label of each raw mask, 0 = none.
        detected: (G,) |D_g| of the raw masks.
        owner: (R,) the object of each raw mask (``clustering.owners``).
    """
    if len(raw_label) != len(raw.region_label):
        raise ValueError(f"{len(raw_label)} labels for {len(raw.region_label)} raw masks")
    counted = without_excused(labelled)
    return {
        **coverage_metrics(counted, detected),
        **hota_metrics(counted),
        "idf1": idf1(counted),
        **mask_clustering(owner, raw_label),
        **track_metrics(counted),
    }


def map_counts(store: MapStore) -> dict[str, int]:
    """``instances`` of tracks.json; ``points`` of points.ply, and of these ``labelled_points``: as in metrics.json."""
    points = store.read_points()
    labelled = int(np.count_nonzero(points["instance"]))
    return {"instances": len(store.read_tracks()["instances"]), "points": len(points), "labelled_points": labelled}


def evaluate_map(map_root: Path, truth: Path, *, truth_was_input: bool = False) -> dict[str, Any]:
    """Measure a map directory against ground truth, beside baselines on the same raw masks.

    Args:
        map_root: map directory with ``labels``, and ``segments`` and ``sparse`` if it has them.
        truth: folder of one uint16 PNG per image, named by the image's stem; 0 = background, 65535 = ignore.
        truth_was_input: measure also where the truth is what the segmenter gave.

    Returns:
        JSON-ready: ``methods`` {name: {metric: value or None}} with ``this_map`` first, ``images``,
        ``images_without_labels``, ``objects``, ``objects_in_one_image`` (left out), ``objects_never_detected``
        (|D_g| = 0), ``theta``, ``notes`` [text], ``per_object`` [row of ``coverage.object_table``], ``hota_curve``
        [{"iou", "hota", "deta", "assa"}], ``points_with_owner`` (3D points whose true owner is known; None without a model),
        ``map`` (``map_counts``), ``positions`` (``evaluate_positions``; empty where the truth has no
        ``objects.json``).

    Raises:
        DataError: no name in common, sizes that differ, damaged files.
    """
    map_root, truth = Path(map_root), Path(truth)
    masks = read_map_masks(map_root, truth, was_input=truth_was_input)
    raw, notes = masks.raw, list(masks.notes)
    detected, owner = detected_images(raw), owners(raw)
    if len(raw.object_ids) == 0:
        notes.append("no object of the truth is seen in two or more images; there is no identity to measure")

    cloud, labellings = None, {}
    try:
        cloud = read_cloud(map_root, truth, raw)
        labellings["published"] = baselines.published(cloud, raw)
    except (Seg2d3dError, ImportError) as error:
        notes.append(f"nothing was measured in 3D, and the published method was not run again: {error}")
    labellings["iou_tracker"] = baselines.iou_tracker(raw, masks.boxes)
    labellings["bytetrack"] = bytetrack(raw, masks.boxes, masks.scores)
    labellings["one_id"] = baselines.one_id(raw)
    labellings["one_id_per_mask"] = baselines.one_id_per_mask(raw)
    labellings["oracle"] = baselines.oracle(raw)

    methods = {MAP_ROW: score(masks.labelled, raw, masks.raw_label, detected, owner)}
    for name, labels in labellings.items():
        methods[name] = score(relabel(raw, labels), raw, labels, detected, owner)

    for name, values in methods.items():
        empty = dict.fromkeys(METRICS)
        values.update(empty if cloud is None else cloud.of_map() if name == MAP_ROW else cloud.of_masks(labellings[name]))

    positions: dict[str, Any] = {}
    if (truth / TRUTH_FILE).exists():
        models = read_models(map_root)
        if models:
            positions = evaluate_positions(truth, models[0], MapStore(map_root).read_tracks())
        else:
            notes.append("the map has no model: the places of its instances were not measured")

    counted = without_excused(masks.labelled)
    curve = hota_curve(counted)
    columns = zip(ALPHAS, curve.hota, curve.deta, curve.assa, strict=True)
    return {
        "methods": methods,
        "images": len(raw.names),
        "images_without_labels": masks.unlabelled_images,
        "objects": len(raw.object_ids),
        "objects_in_one_image": raw.single_image_objects,
        "objects_never_detected": int(np.sum(detected == 0)),
        "points_with_owner": None if cloud is None else int(np.sum(cloud.owner >= 0)),
        "map": map_counts(MapStore(map_root)),
        "positions": positions,
        "theta": THETA,
        "notes": notes,
        "per_object": object_table(counted, detected),
        "hota_curve": [{"iou": float(i), "hota": float(h), "deta": float(d), "assa": float(a)} for i, h, d, a in columns],
    }
