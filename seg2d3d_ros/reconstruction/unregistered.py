"""Why an image is in no model, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seg2d3d_ros.reconstruction.database import ImageRow
from seg2d3d_ros.types import SparseModel

FEW_FEATURES = 100


def unregistered_reasons(
    rows: Sequence[ImageRow], pairs: np.ndarray, models: Sequence[SparseModel], min_matches: int
) -> dict[str, str]:
    """Keyframe name -> reason, for every image in no model.

    Args:
        rows: all images.
        pairs: (M, 3) image id, image id, verified matches, of every pair tried.
        models: the result.
        min_matches: verified matches that make a pair.
    """
    registered = {name for model in models for name in model.names}
    names = {row.image_id: row.name for row in rows}
    reasons = {}
    for row in rows:
        if row.name in registered:
            continue
        mine = pairs[(pairs[:, 0] == row.image_id) | (pairs[:, 1] == row.image_id)]
        partners = np.where(mine[:, 0] == row.image_id, mine[:, 1], mine[:, 0])
        strong = mine[:, 2] >= min_matches
        if len(rows) == 1:
            reasons[row.name] = "it is the only image; at least two views of the same place are needed"
        elif row.features == 0:
            reasons[row.name] = "no features were found: the picture is blank, blurred or masked"
        elif not strong.any():
            best = int(mine[:, 2].max()) if len(mine) else 0
            few = f" (it has only {row.features} features)" if row.features < FEW_FEATURES else ""
            found = f"the best of {len(mine)} tried has {best}" if best else f"{len(mine)} were tried"
            reasons[row.name] = f"no other image shares {min_matches} verified matches with it; {found}{few}"
        else:
            neighbours = [names.get(int(p), "?") for p in partners[strong]]
            count, most = len(neighbours), int(mine[:, 2].max())
            known = sum(neighbour in registered for neighbour in neighbours)
            if known:
                reasons[row.name] = (
                    f"matched with {count} image{'s' * (count > 1)} (at most {most} matches), but it shares too few 3D points "
                    "with the model to place it"
                )
            else:
                reasons[row.name] = (
                    f"matched with {count} image{'s' * (count > 1)} (at most {most} matches), none of which could be placed: "
                    "too little parallax or too few matches for a model of their own"
                )
    return reasons
