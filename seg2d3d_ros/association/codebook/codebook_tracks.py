"""The association method ``codebook``: the nearest code of each point is its object, without any clustering (Unified-Lift).

Two things are not in the paper, which looks at one small scene. Codes are shared by objects that no image shows together: on a
street of 200 m nothing pushes the features of its two ends apart. What has one code but hangs together by no mask is several
objects (``connectivity``). And masks that hold several objects are cut, as with the method ``consensus``.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from seg2d3d_ros.association.codebook.learning_codes import learn_codes
from seg2d3d_ros.association.codebook.learning_features import learn_features
from seg2d3d_ros.association.codebook.mask_entries import MaskEntries
from seg2d3d_ros.association.connectivity import split_disconnected
from seg2d3d_ros.association.consensus import Tracks, first_largest, point_weights, tracks_of
from seg2d3d_ros.association.evidence import ones_at
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Incidence

SEED = 0


def codebook_tracks(incidence: Incidence, config: AssociationConfig) -> Tracks:
    """Assign segments, of one class, to tracks, and cut those that show several.

    Masks that hold no point, observed or projected, have no track. The same input gives the same tracks.

    Raises:
        DataError: torch is not installed.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise DataError(
            "--method codebook learns features, and torch is not installed: pip install torch, or take --method consensus"
        ) from error
    held, _ = point_weights(incidence)
    object_of = nearest_codes(MaskEntries.of(held, incidence.segment_keyframe.astype(np.int64)), held.shape[1], config)
    object_of, held_by = _held_by(object_of, held)
    object_of, held_by = _held_by(split_disconnected(object_of, held, first_largest(held_by)), held)
    return tracks_of(incidence, config, object_of, held_by)


def nearest_codes(entries: MaskEntries, points: int, config: AssociationConfig) -> np.ndarray:
    """(P,) int64 the code most like each point's feature; −1 for points in no mask."""
    object_of = np.full(points, -1, np.int64)
    if len(entries.point) == 0:
        return object_of
    features = learn_features(entries, points, norm=config.codebook_norm, seed=SEED)
    codes = learn_codes(
        features,
        entries,
        mean=config.codebook_mapping == "mean",
        concentration=config.codebook_concentration,
        threshold=config.codebook_filter,
        seed=SEED,
    )
    held = np.unique(entries.point)
    object_of[held] = (features[held] @ codes.T).argmax(dim=1).numpy()
    return object_of


def _held_by(object_of: np.ndarray, held: sparse.csr_matrix) -> tuple[np.ndarray, sparse.csr_matrix]:
    """(P,) objects renumbered without gaps, and (S, objects) their weight in each mask."""
    labelled = np.flatnonzero(object_of >= 0)
    numbers, place = np.unique(object_of[labelled], return_inverse=True)
    renumbered = np.full(len(object_of), -1, np.int64)
    renumbered[labelled] = place
    return renumbered, (held @ ones_at(labelled, place, (len(object_of), len(numbers)))).tocsr()
