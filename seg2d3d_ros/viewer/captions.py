"""What people read instead of a keyframe's name, which ends in nanoseconds where the images came as a stream."""

from __future__ import annotations

import re
from collections.abc import Iterable

from seg2d3d_ros.export.gis.features import moment
from seg2d3d_ros.mapstore.records import KeyframeRecord

_STAMPED = re.compile(r"_?\d{16,20}(?=\D|$)")


def captions(records: Iterable[KeyframeRecord]) -> dict[str, str]:
    """A caption for each keyframe by its name: ``front 10:00:02.3`` for what came as a stream, else the image's own name.

    Times are UTC, in tenths of a second, or finer where two images of one camera would read alike; the day is in front where
    the keyframes are of several. Where the stamps are no times of day, they are told in seconds: ``front 12.3 s``.
    """
    records = list(records)
    streamed = [record for record in records if str(record.stamp_ns) in record.name and record.stamp_ns > 0]
    days = {when.date() for record in streamed if (when := moment(record.stamp_ns))}
    read = {record.name: record.name for record in records}
    for digits in (1, 3, 6, 9):
        for record in streamed:
            read[record.name] = _caption(record, digits, len(days) > 1)
        if len(set(read.values())) == len(read):
            break
    return read


def short_name(name: str) -> str:
    """A name without a stamp in nanoseconds, for images that no record is known of."""
    return _STAMPED.sub("", name).strip("_") or name


def day_of(records: Iterable[KeyframeRecord]) -> str:
    """When the images were taken: ``2 June 2026``, or the first and the last day; empty where nobody said."""
    days = sorted({when.date() for record in records if (when := moment(record.stamp_ns))})
    if not days:
        return ""
    first, last = (f"{day.day} {day:%B %Y}" for day in (days[0], days[-1]))
    return first if first == last else f"{first} to {last}"


def _caption(record: KeyframeRecord, digits: int, dated: bool) -> str:
    when, (seconds, rest) = moment(record.stamp_ns), divmod(record.stamp_ns, 10**9)
    fraction = f"{rest:09d}"[:digits]
    time = f"{when:%H:%M:%S}.{fraction}" if when else f"{seconds}.{fraction} s"
    other = short_name(record.name.replace(str(record.stamp_ns), "")).removeprefix(record.camera_name).strip("_")
    words = (record.camera_name, f"{when:%Y-%m-%d}" if when and dated else "", time, other)
    return " ".join(word for word in words if word)
