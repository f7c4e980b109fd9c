"""Link keypoints to masks: P(i, s), the 3D points that segment s of keyframe i holds (arXiv 2605.26725)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seg2d3d_ros.association.online_incidence import OnlineIncidence
from seg2d3d_ros.types import Incidence, Segments, SparseModel


def build_incidence(models: Sequence[SparseModel], segments: Mapping[str, Segments], *, project: bool = False) -> Incidence:
    """All segments of all registered keyframes against all points of all components.

    The points of the components stand one after the other; components share no point, so no segment of one can be
    associated with a segment of another. A point observed twice inside one segment counts once.

    Args:
        models: components of the reconstruction.
        segments: by keyframe name; a keyframe without segments contributes visibility only.
        project: also find where points lie that a keyframe should see but does not observe. Components whose poses are
            unknown (NaN) have none.

    Raises:
        DataError: a label image is smaller than the image that the keypoints were found in.
    """
    online = OnlineIncidence(project=project)
    online.update(models, segments, frozenset())
    online.project()
    return online.whole()
