"""The positions of a satellite receiver: which of its fixes are used, and what became of the others."""

from __future__ import annotations

import math
from collections import Counter, deque
from statistics import median
from typing import Any

import numpy as np

from seg2d3d_ros.findings import ERROR, NOTE, Finding, Kind
from seg2d3d_ros.geometry.trajectory import StampedSeries
from seg2d3d_ros.geometry.wgs84 import GeoPosition, is_null_island, wrapped
from seg2d3d_ros.sections.keyframe_config import KeyframeConfig

FIXES_REFUSED = Kind(
    "fixes_refused",
    "GPS fixes that are not used",
    cause="{used} are used; not: {reasons}",
    remedy="see to the receiver's reception and driver; keyframes without a position are placed by the images alone",
)
FIXES_WITHOUT_STATUS = Kind(
    "fixes_without_status",
    "GPS fixes with good coordinates that are not used for their status says 'no fix'",
    cause="some drivers never set the status; without fixes the map has no place on the Earth",
    remedy="if the positions are right, set keyframes.ignore_fix_status=true",
    level=ERROR,
)
FIXES_CLOCK = Kind(
    "fixes_clock",
    "GPS fixes that are not used for their clock is not that of the images",
    cause="the receiver's clock is {offset} s off theirs (18 s: GPS time without leap seconds; whole hours: local time)",
    remedy="let the driver stamp in UTC by the computer's clock, or set keyframes.fix_clock_offset={remedy_offset}",
    level=ERROR,
)
FIXES_WITHOUT_COVARIANCE = Kind(
    "fixes_without_covariance",
    "GPS fixes whose covariance says nothing",
    cause="it is unknown, zero, negative or not a number; 10 m are assumed",
    remedy="let the driver fill position_covariance, so that good fixes count for more",
    level=NOTE,
)

FASTEST = 100.0
"""Metres per second: no vehicle with cameras is faster, so a position farther off is an error."""
CLOCKS_APART = 5.0
"""Seconds between two drivers' delays; more is a difference of clocks."""
_DEGREE = 111_195.0
"""Metres of a degree on a sphere of the Earth's mean radius (6371 km)."""
_CONFIRMED = 3
"""Fixes that agree with each other against those before: the receiver has found its place again."""
_MOMENTS = 5
"""Fixes from which the difference of the clocks is told."""
_IMAGES = 30
"""Newest images, of which the one that came nearest to a fix is compared with it."""
_FASTEST_REPLAY = 10.0
"""A recording that is played goes through so many seconds in one, or fewer."""
_UNDATED = 10_000
"""Fixes that may wait for the first image."""

NO_FIX, NULL_ISLAND, NO_NUMBER, BEYOND = "no fix by their status", "at 0°/0°", "not a number", "beyond the Earth"
IMPRECISE, SAME_STAMP, JUMP, CLOCK = (
    "too imprecise",
    "with the stamp of another (rounded to seconds?)",
    "that jump",
    "by another clock",
)


class FixFilter:
    """Takes ``NavSatFix`` messages of any origin one by one, live or from a recording, and gives positions at any time.

    A fix is used where its status says so (or ``keyframes.ignore_fix_status`` is set), its coordinates are a place on the
    Earth other than 0°/0°, its horizontal standard deviation is at most ``keyframes.max_fix_sigma``, its stamp is new and
    by the images' clock, and no vehicle would have to be faster than ``FASTEST`` to be there. A fix that jumps is used when
    two more agree with it. Covariances with a horizontal part that is unknown, zero, negative or NaN say nothing; an
    altitude of NaN is unknown.

    Attributes:
        seen: messages.
        refused: numbers of messages by reason.
    """

    def __init__(self, config: KeyframeConfig) -> None:
        self._config = config
        self._series = StampedSeries[GeoPosition](config.max_fix_gap)
        self._last: tuple[int, GeoPosition] | None = None
        self._doubted: list[tuple[int, GeoPosition]] = []
        self._undated: deque[tuple[Any, int, int]] = deque(maxlen=_UNDATED)
        self._images: deque[tuple[int, int]] = deque(maxlen=_IMAGES)
        self._offsets: list[float] = []
        self._good_without_status = 0
        self._without_covariance = 0
        self.seen = 0
        self.refused: Counter[str] = Counter()

    @property
    def used(self) -> int:
        """Fixes that are used."""
        return self._series.used

    def add_image(self, stamp_ns: int, arrival_ns: int) -> None:
        """An image with its stamp, and when it was recorded or came, by which the clocks are compared."""
        self._images.append((stamp_ns, arrival_ns))
        while self._undated:
            self._take(*self._undated.popleft())

    def add(self, message: Any, stamp_ns: int, arrival_ns: int) -> None:
        """A ``NavSatFix``; ``arrival_ns`` is when it was recorded, or came."""
        self.seen += 1
        stamp_ns += round(self._config.fix_clock_offset * 1e9)
        if self._images:
            self._take(message, stamp_ns, arrival_ns)
        else:
            self._undated.append((message, stamp_ns, arrival_ns))

    def reaches(self, stamp_ns: int) -> bool:
        """Whether a fix that is used came at or after ``stamp_ns``: later ones will not change ``at(stamp_ns)`` much."""
        return self._series.reaches(stamp_ns)

    def at(self, stamp_ns: int) -> GeoPosition | None:
        """The position at a time; None before the first fix, after the last, and in gaps longer than ``max_fix_gap``."""
        return self._series.at(stamp_ns)

    def flush(self) -> None:
        """No more fixes come: decide about those that wait."""
        while self._undated:
            self._take(*self._undated.popleft())
        if self._last is None and len(self._doubted) == 1:
            self._accept(self._doubted)
        self.refused[JUMP] += len(self._doubted)
        self._doubted = []

    def findings(self) -> list[Finding]:
        """What there is to say; kinds that do not apply have the count 0."""
        wrong_clock = self.refused[CLOCK]
        others = {reason: count for reason, count in self.refused.items() if count and reason != CLOCK}
        all_by_status = self._good_without_status if not self.used else 0
        words = ", ".join(f"{count} {reason}" for reason, count in others.items())
        offset = median(self._offsets) if self._offsets else 0.0
        clock = {"offset": f"{offset:+.1f}", "remedy_offset": f"{self._config.fix_clock_offset - offset:.1f}"}
        return [
            Finding(FIXES_REFUSED, sum(others.values()), self.seen, (), {"reasons": words, "used": self.used}),
            Finding(FIXES_WITHOUT_STATUS, all_by_status, self.seen),
            Finding(FIXES_CLOCK, wrong_clock, self.seen, (), clock),
            Finding(FIXES_WITHOUT_COVARIANCE, self._without_covariance, self.seen),
        ]

    def _take(self, message: Any, stamp_ns: int, arrival_ns: int) -> None:
        if reason := self._refusal(message):
            self.refused[reason] += 1
            return
        offset = self._clock_offset(stamp_ns, arrival_ns)
        if abs(offset) > CLOCKS_APART:
            self.refused[CLOCK] += 1
            self._offsets = [*self._offsets[-_MOMENTS:], offset]
            return
        position = self._position(message)
        if position.covariance is not None and position.sigma > self._config.max_fix_sigma:
            self.refused[IMPRECISE] += 1
        elif self._series.has(stamp_ns) or any(stamp == stamp_ns for stamp, _ in self._doubted):
            self.refused[SAME_STAMP] += 1
        else:
            self._without_covariance += position.covariance is None
            self._place(stamp_ns, position)

    def _clock_offset(self, stamp_ns: int, arrival_ns: int) -> float:
        """Seconds between a fix's stamp and that of the image that came nearest to it; 0 where the difference tells nothing.

        A recording may be played faster, and images may wait in a node that is busy, so an image that came at another time
        tells less.
        """
        if not self._images:
            return 0.0
        image_ns, image_arrival_ns = min(self._images, key=lambda image: abs(arrival_ns - image[1]))
        apart = (arrival_ns - image_arrival_ns) * 1e-9
        offset = (stamp_ns - image_ns) * 1e-9 - apart
        return offset if abs(offset) > CLOCKS_APART + _FASTEST_REPLAY * abs(apart) else 0.0

    def _refusal(self, message: Any) -> str:
        latitude, longitude = float(message.latitude), float(message.longitude)
        if not (math.isfinite(latitude) and math.isfinite(longitude)):
            reason = NO_NUMBER
        elif is_null_island(latitude, longitude):
            reason = NULL_ISLAND
        elif abs(latitude) > 90 or abs(longitude) > 360:
            reason = BEYOND
        else:
            reason = ""
        if message.status.status < 0 and not self._config.ignore_fix_status:
            self._good_without_status += not reason
            return NO_FIX
        return reason

    def _position(self, message: Any) -> GeoPosition:
        covariance = np.array(message.position_covariance, np.float64).reshape(3, 3)
        horizontal = covariance[:2, :2]
        known = message.position_covariance_type != 0 and np.isfinite(horizontal).all() and (horizontal.diagonal() > 0).all()
        if known and not (np.isfinite(covariance).all() and covariance[2, 2] > 0):
            # Vertical errors are about twice the horizontal ones.
            covariance[2, :] = covariance[:, 2] = 0.0
            covariance[2, 2] = 2.0 * horizontal.trace()
        altitude = float(message.altitude) if math.isfinite(message.altitude) else math.nan
        return GeoPosition(float(message.latitude), float(message.longitude), altitude, covariance if known else None)

    def _place(self, stamp_ns: int, position: GeoPosition) -> None:
        """Take a position into the series, or keep it until others agree with it."""
        new = stamp_ns, position
        if self._last is not None and _possible(self._last, new):
            self.refused[JUMP] += len(self._doubted)
            self._doubted = []
            self._accept([new])
        elif self._doubted and _possible(self._doubted[-1], new):
            self._doubted.append(new)
            if len(self._doubted) >= (_CONFIRMED if self._last is not None else 2):
                self._accept(self._doubted)
                self._doubted = []
        else:
            self.refused[JUMP] += len(self._doubted)
            self._doubted = [new]

    def _accept(self, fixes: list[tuple[int, GeoPosition]]) -> None:
        for stamp_ns, position in fixes:
            self._series.add(stamp_ns, position)
        self._last = fixes[-1]
        fixes.clear()


def _possible(first: tuple[int, GeoPosition], second: tuple[int, GeoPosition]) -> bool:
    """Whether a vehicle can have been at both places, each within three of its standard deviations."""
    here, there = first[1], second[1]
    north = there.latitude - here.latitude
    east = wrapped(there.longitude - here.longitude) * math.cos(math.radians(here.latitude))
    seconds = max(abs(second[0] - first[0]) * 1e-9, 0.1)
    return _DEGREE * math.hypot(north, east) <= FASTEST * seconds + 3.0 * (here.sigma + there.sigma)
