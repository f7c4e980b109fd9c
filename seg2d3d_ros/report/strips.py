"""Which pictures the report shows: the best view and a strip of each instance, and the contact sheet."""

from __future__ import annotations

from collections.abc import Sequence

from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.report.content import Instance

PICTURES_IN_STRIP = 12
PICTURES_IN_ALL = 300
MAX_CARDS = 150
MAX_STRIPS = 80
CONTACT_PICTURES = 24


def ranked(instances: Sequence[Instance]) -> list[Instance]:
    """Most seen first, then most points."""
    return sorted(instances, key=lambda item: (-len(item.images), -item.points, item.id))


def choose_cards(instances: Sequence[Instance]) -> list[Instance]:
    """The instances that get a card with their best view."""
    return ranked(instances)[:MAX_CARDS]


def choose_crops(instances: Sequence[Instance]) -> dict[int, list[str]]:
    """Keyframe names to show of each instance that gets a strip, in order of capture, spread evenly over its track.

    With many instances the strips get shorter, so that the page stays small enough to send.
    """
    shown = ranked(instances)[:MAX_STRIPS]
    room = max(3, min(PICTURES_IN_STRIP, PICTURES_IN_ALL // max(len(shown), 1)))
    return {item.id: [item.images[k] for k in evenly(len(item.images), room)] for item in shown}


def choose_overlays(records: Sequence[KeyframeRecord]) -> list[str]:
    """Keyframe names for the contact sheet, in order of capture."""
    ordered = sorted(records, key=lambda record: (record.stamp_ns, record.name))
    return [ordered[k].name for k in evenly(len(ordered), CONTACT_PICTURES)]


def evenly(available: int, limit: int) -> list[int]:
    """At most ``limit`` indices below ``available``, evenly spread, first and last among them."""
    if available <= limit:
        return list(range(available))
    return [round(k * (available - 1) / (limit - 1)) for k in range(limit)]
