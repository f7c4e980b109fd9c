"""Identity as clustering: ARI and B-cubed over masks, and how pure, broken or glued the tracks are.

None of these depends on the images' order.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from seg2d3d_ros.evaluation.coverage import match_counts, mean
from seg2d3d_ros.evaluation.overlaps import THETA, Overlaps, excused

MERGE_SHARE = 0.3
"""Share of an object's images from which a track that swallows it there is said to hold it."""


def owners(raw: Overlaps) -> np.ndarray:
    """(R,) the object each mask belongs to (index into ``object_ids``), -1 for none.

    A mask belongs to the object it shares most pixels with (the lowest of equals), unless it shares more with the
    background, or is excused for lying on ignored pixels.
    """
    order = np.lexsort((raw.pair_truth, -raw.pair_area, raw.pair_region))
    first = order[np.diff(raw.pair_region[order], prepend=-1) > 0]
    region = raw.pair_region[first]
    background = raw.region_area - np.bincount(raw.pair_region, raw.pair_area, len(raw.region_area))
    owner = np.full(len(raw.region_area), -1)
    owner[region] = np.where(raw.pair_area[first] >= background[region], raw.truth_object[raw.pair_truth[first]], -1)
    owner[excused(raw)] = -1
    return owner


def mask_clustering(owner: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    """ARI and B-cubed of the masks that belong to an object: true class = ``owner``, cluster = label.

    A mask with label 0 is a cluster of its own. Pixels and IoU play no part: this judges association alone.

    Args:
        owner: (R,) from ``owners``; masks with -1 are left out.
        labels: (R,) the predicted id of each mask, 0 = none.

    Returns:
        ``ari`` (Hubert and Arabie 1985) and ``bcubed_precision``, ``bcubed_recall``, ``bcubed_f1`` (Amigó et al. 2009);
        None if no mask belongs to an object.
    """
    kept = owner >= 0
    truth = np.unique(owner[kept], return_inverse=True)[1]
    alone = labels[kept] == 0
    own_cluster = labels.max(initial=0) + 1 + np.arange(len(truth))
    cluster = np.unique(np.where(alone, own_cluster, labels[kept]), return_inverse=True)[1]
    if len(truth) == 0:
        return dict.fromkeys(("ari", "bcubed_precision", "bcubed_recall", "bcubed_f1"))
    table = sparse.coo_matrix((np.ones(len(truth), np.int64), (truth, cluster))).tocsr().tocoo()
    truth_size, cluster_size = np.bincount(truth), np.bincount(cluster)
    precision = float(np.sum(table.data**2 / cluster_size[table.col]) / len(truth))
    recall = float(np.sum(table.data**2 / truth_size[table.row]) / len(truth))
    return {
        "ari": adjusted_rand_index(table.data, truth_size, cluster_size),
        "bcubed_precision": precision,
        "bcubed_recall": recall,
        "bcubed_f1": 2 * precision * recall / (precision + recall),
    }


def adjusted_rand_index(joint: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float:
    """ARI from the cells and the two margins of a contingency table (any order); 1 for equal partitions."""
    total = int(rows.sum())
    pairs = [int(np.sum(np.asarray(n, np.int64) * (np.asarray(n, np.int64) - 1))) for n in (joint, rows, columns)]
    together, by_rows, by_columns = pairs
    expected = by_rows * by_columns / max(total * (total - 1), 1)
    limit = (by_rows + by_columns) / 2
    # Both all-singletons or both one cluster: no chance to be better than chance, and yet equal.
    return 1.0 if limit == expected else float((together - expected) / (limit - expected))


def track_metrics(overlaps: Overlaps, theta: float = THETA) -> dict[str, float | int | None]:
    """How good the tracks are as tracks.

    * ``purity``: Σ_p max_g m(g, p) / Σ_p |p|, the share of all regions that show their track's main object.
    * ``fragmentation``: mean number of tracks with m(g, p) > 0, over the objects that have any; 1 is best.
    * ``false_merges``: tracks that hold two or more objects. A track holds g if it contains at least half of g's
      pixels in at least 30 % of g's images (containment, since a mask over two houses matches neither at IoU 0.5).
    * ``merged_objects``: objects that such a track holds.
    * ``tracks``: all tracks.
    """
    counts = match_counts(overlaps, theta)
    regions = len(overlaps.region_label)
    best = counts.max(axis=0).toarray().sum() if min(counts.shape) else 0
    per_object = np.diff(counts.indptr)
    inside = 2 * overlaps.pair_area >= overlaps.truth_area[overlaps.pair_truth]
    swallowed = overlaps.count_pairs(inside).tocoo()
    held = swallowed.data / overlaps.object_images[swallowed.row] >= MERGE_SHARE
    glued = np.bincount(swallowed.col[held], minlength=len(overlaps.track_labels)) >= 2
    return {
        "purity": float(best / regions) if regions else None,
        "fragmentation": mean(per_object[per_object > 0]),
        "false_merges": int(glued.sum()),
        "merged_objects": len(np.unique(swallowed.row[held & glued[swallowed.col]])),
        "tracks": len(overlaps.track_labels),
    }
