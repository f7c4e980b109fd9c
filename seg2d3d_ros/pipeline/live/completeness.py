"""What of a live map came only in part, because a node was not there, or messages got lost on the way."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from seg2d3d_ros.findings import ERROR, EXAMPLES, Finding, Kind

MAP_WITHOUT_MASKS = Kind(
    "map_without_masks",
    "keyframes of the map whose masks never came",
    cause="segmentation_node was not running when they came, or is too slow, or their masks were lost on the way",
    remedy="segmentation_node/resegment sends them again, then finalize; with respawn:=true a node that dies is started again",
)
MASKS_WITHOUT_KEYFRAME = Kind(
    "masks_without_keyframe",
    "keyframes whose masks came, but which reconstruction_node never got",
    cause="it was not running when they came",
    remedy="drive there, or play the bag, again: the map goes on; with respawn:=true a node that dies is started again",
)
MASKS_DROPPED = Kind(
    "masks_dropped",
    "keyframes whose masks were dropped",
    cause="the disk of the map directory does not keep up with writing them",
    remedy="a faster disk for map_dir, or a larger keyframes.min_motion",
    level=ERROR,
)
KEYFRAMES_DROPPED = Kind(
    "keyframes_dropped",
    "keyframes that were dropped",
    cause="the disk of the map directory does not keep up with writing them (keyframes.max_pending waited)",
    remedy="a faster disk for map_dir, or a larger keyframes.min_motion",
    level=ERROR,
)


def incomplete(
    in_map: Sequence[str], answered: Collection[str], new: Collection[str], received: Collection[str]
) -> list[Finding]:
    """Both kinds of halves of keyframes, each with its count, 0 included.

    Args:
        in_map: keyframes of the map.
        answered: keyframes whose masks are known, or of which it is known that nobody looked for objects there.
        new: those of them of which that came in this run.
        received: keyframes that the reconstruction has got; empty where that is not known.
    """
    without = [name for name in in_map if name not in answered]
    lost = sorted(name for name in new if name not in received) if received else []
    return [
        Finding(MAP_WITHOUT_MASKS, len(without), len(in_map), tuple(without[:EXAMPLES])),
        Finding(MASKS_WITHOUT_KEYFRAME, len(lost), len(new), tuple(lost[:EXAMPLES])),
    ]
