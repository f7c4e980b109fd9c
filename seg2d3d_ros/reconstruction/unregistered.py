"""Why an image is in no model, in words."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from seg2d3d_ros.reconstruction.database import ImageRow
from seg2d3d_ros.types import SparseModel

FEW_FEATURES = 100


def unregistered_reasons(
    rows: Sequence[ImageRow],
    pairs: np.ndarray,
    models: Sequence[SparseModel],
    min_matches: int,
    refused: Collection[int] = (),
) -> dict[str, str]:
    """Keyframe name -> reason, for every image in no model.

    Args:
        rows: all images.
        pairs: (M, 3) image id, image id, verified matches, of every pair tried.
        models: the result.
        min_matches: verified matches that make a pair.
        refused: ids of images that were refused because of their positions.
    """
    registered = {name for model in models for name in model.names}
    names = {row.image_id: row.name for row in rows}
    reasons = {}
    for row in rows:
        if row.name in registered:
            continue
        mine = pairs[(pairs[:, :2] == row.image_id).any(axis=1)]
        strong = mine[mine[:, 2] >= min_matches]
        most = int(mine[:, 2].max(initial=0))
        if len(rows) == 1:
            reasons[row.name] = "it is the only image; at least two views of the same place are needed"
        elif row.image_id in refused:
            reasons[row.name] = "its matches pull it far from its position: one of the two is wrong"
        elif row.features == 0:
            reasons[row.name] = "no features were found: the picture is blank, blurred or masked"
        elif len(strong) == 0:
            few = f" (it has only {row.features} features)" if row.features < FEW_FEATURES else ""
            found = f"the best of {len(mine)} tried has {most}" if most else f"{len(mine)} were tried"
            reasons[row.name] = f"no other image shares {min_matches} verified matches with it; {found}{few}"
        else:
            matched = f"matched with {len(strong)} image{'s' * (len(strong) > 1)} (at most {most} matches), "
            if any(names.get(i) in registered for i in strong[:, :2].ravel().tolist()):
                reasons[row.name] = matched + "but it shares too few 3D points with the model to place it"
            else:
                reasons[row.name] = matched + (
                    "none of which could be placed: too little parallax or too few matches for a model of their own"
                )
    return reasons
