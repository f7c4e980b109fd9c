"""All quality-of-service profiles, by name.

Images are reliable: with best effort and default Fast DDS 86 of 100 raw images of 6 MB were lost between two
processes. Depths fit the bursts: what does not fit into the history is overwritten even when reliable.
"""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSCompatibility, QoSProfile, ReliabilityPolicy, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo


def _profile(depth: int, *, reliable: bool = True, latched: bool = False) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


KEYFRAMES = _profile(50)
"""keyframes/image/compressed, keyframes/camera_info, keyframes/fix"""
SEGMENTS = _profile(50)
"""keyframes/segments, and segments from another node"""
PROMPTS = _profile(50)
"""keyframes/prompts"""
OBSERVATIONS = _profile(200)
"""map/observations"""
LABELS = _profile(200)
"""instances/labels, instances/tracks"""
LATCHED = _profile(1, latched=True)
"""map/points, map/cameras, instances/points, instances/markers, instances/boxes: a late subscriber gets the last one"""
INPUT_RELIABLE = _profile(50)
INPUT_SENSOR_DATA = _profile(50, reliable=False)
PLAYER = _profile(200)
"""bag_player: everything it plays"""
TF = _profile(100)
TF_STATIC = _profile(100, latched=True)
CLOCK = _profile(1, reliable=False)
DIAGNOSTICS = _profile(10)


def input_profile(name: str, publishers: Sequence[TopicEndpointInfo] = ()) -> QoSProfile:
    """Profile of a camera, camera_info or fix subscription.

    Args:
        name: ``reliable``, ``sensor_data`` (best effort), or ``auto``: reliable unless a publisher offers only best effort.
        publishers: the topic's publishers in the graph, for ``auto``.
    """
    best_effort = any(p.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT for p in publishers)
    if name == "sensor_data" or (name == "auto" and best_effort):
        return INPUT_SENSOR_DATA
    return INPUT_RELIABLE


def incompatibility(publisher: QoSProfile, subscription: QoSProfile) -> str:
    """Why a subscription gets nothing from this publisher, in words; empty where the two fit."""
    verdict, reason = qos_check_compatible(publisher, subscription)
    if verdict != QoSCompatibility.ERROR:
        return ""
    pairs = (
        (subscription.reliability, publisher.reliability, ReliabilityPolicy.RELIABLE),
        (subscription.durability, publisher.durability, DurabilityPolicy.TRANSIENT_LOCAL),
    )
    unfit = [
        f"you ask for {asked.name}, it offers {offered.name}" for asked, offered, strict in pairs if asked == strict != offered
    ]
    return "; ".join(unfit) or reason.strip()
