"""Positions over time from a receiver's file: GPX, NMEA 0183 or a table."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
LARGEST = 200_000_000
"""Bytes of a file that is read."""
RANGE_ERROR = 4.0
"""Metres of a consumer receiver's distances to satellites: times the dilution of precision, its position's error (Kaplan and
Hegarty, Understanding GPS, 2006, section 7.3)."""
_LATEST = 4_102_444_800  # 2100


@dataclass(frozen=True)
class TrackFix:
    """A fix as a file has it, with the names of ``sensor_msgs/NavSatFix``, so that ``FixFilter`` takes it.

    Attributes:
        stamp_ns: since the epoch (UTC).
        latitude, longitude: degrees; NaN where they cannot be read.
        altitude: metres; NaN = unknown.
        sigma: horizontal standard deviation in metres; NaN = unknown.
        valid: False where the receiver says that it had no fix.
    """

    stamp_ns: int
    latitude: float
    longitude: float
    altitude: float = math.nan
    sigma: float = math.nan
    valid: bool = True

    @property
    def status(self) -> SimpleNamespace:
        """``NavSatStatus``: below 0 = no fix."""
        return SimpleNamespace(status=0 if self.valid else -1)

    @property
    def position_covariance(self) -> list[float]:
        """Row-major 3 × 3; vertical errors are about twice the horizontal ones."""
        square = self.sigma**2
        return [square, 0.0, 0.0, 0.0, square, 0.0, 0.0, 0.0, 4.0 * square]

    @property
    def position_covariance_type(self) -> int:
        """0 = unknown."""
        return 0 if math.isnan(self.sigma) else 2


@dataclass
class Track:
    """The fixes of a file in the order of time, and how many entries could not be read, with the reason of the first."""

    fixes: list[TrackFix] = field(default_factory=list)
    unreadable: int = 0
    reason: str = ""

    def refuse(self, reason: str) -> None:
        """Count an entry that cannot be read."""
        self.unreadable += 1
        self.reason = self.reason or reason

    def sort(self) -> None:
        """By time; entries of one time stay in their order."""
        self.fixes.sort(key=lambda fix: fix.stamp_ns)


def nanoseconds(moment: datetime) -> int:
    """Since the epoch; a time without a zone counts as UTC."""
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000


def parse_time(text: str) -> int:
    """Nanoseconds since the epoch of a time as files write it.

    ISO 8601 (``2024-05-06T07:08:09.5Z``, with ``+02:00``, or without a zone: UTC), EXIF's ``2024:05:06 07:08:09``, or seconds,
    milliseconds, microseconds or nanoseconds since the epoch.

    Raises:
        ValueError: it is no time.
    """
    text = text.strip()
    if re.fullmatch(r"\d{9,19}(\.\d+)?", text, re.ASCII):
        whole, _, fraction = text.partition(".")
        unit = next((1000**k for k in range(4) if int(whole) < _LATEST * 1000**k), 0)
        if not unit:
            raise ValueError(f"{text[:40]} is no time")
        return int(whole) * (1_000_000_000 // unit) + int((fraction + "0" * 9)[:9]) // unit
    found = re.fullmatch(
        r"(\d{4})[-:/](\d\d)[-:/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,12}))?\s*(?:(Z|UTC)|([+-])(\d\d):?(\d\d))?",
        text,
        re.ASCII | re.IGNORECASE,
    )
    if found is None:
        raise ValueError(f"{text[:40]!r} is no time; write 2024-05-06T07:08:09Z")
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=timezone.utc)  # 60 is a leap second
    if found[9]:
        shift = timedelta(hours=int(found[10]), minutes=int(found[11]))
        moment += shift if found[9] == "-" else -shift
    return nanoseconds(moment) + int((found[7] or "0").ljust(9, "0")[:9])
