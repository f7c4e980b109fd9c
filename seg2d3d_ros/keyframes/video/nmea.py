"""NMEA 0183 logs: the sentences RMC, GGA and ZDA of any satellite system."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, timedelta, timezone
from functools import reduce
from operator import xor

from seg2d3d_ros.keyframes.video.track import RANGE_ERROR, Track, TrackFix, nanoseconds

_SENTENCE = re.compile(r"\$(?P<body>[A-Z]{2}(?P<kind>RMC|GGA|ZDA),[^*$]*)(?:\*(?P<sum>[0-9A-Fa-f]{2}))?")
_TIME = re.compile(r"(\d\d)(\d\d)(\d\d)(\.\d+)?", re.ASCII)
_MIDNIGHT = timedelta(hours=12)
"""A time of day that jumps back by more belongs to the next day."""


def looks_like_nmea(text: str) -> bool:
    """Whether some of the first lines are sentences."""
    return any(_SENTENCE.search(line) for line in text.splitlines()[:200])


def read_nmea(text: str) -> Track:
    """One fix for each moment: position of GGA where there is one (it has the height and the precision), else of RMC.

    The date comes from RMC or ZDA; GGA before the first of them is not used. Heights are above the ellipsoid: GGA's height
    above the sea with its separation of the geoid.
    """
    track, day = Track(), None
    moments: dict[int, TrackFix] = {}
    last: datetime | None = None
    for line in text.splitlines():
        for sentence in _SENTENCE.finditer(line):
            fields = sentence["body"].split(",")
            if sentence["sum"] and reduce(xor, sentence["body"].encode("latin-1", "replace"), 0) != int(sentence["sum"], 16):
                track.refuse("sentences with a wrong checksum")
                continue
            try:
                day = _date(sentence["kind"], fields) or day
                if sentence["kind"] == "ZDA" or day is None:
                    continue
                moment = _moment(fields[1], day)
                if last is not None and sentence["kind"] == "GGA" and last - moment > _MIDNIGHT:
                    moment += timedelta(days=1)  # the date of the new day comes with the next RMC
                last = moment
                stamp_ns = nanoseconds(moment)
                if sentence["kind"] == "GGA":
                    moments[stamp_ns] = _of_gga(stamp_ns, fields)
                else:
                    moments.setdefault(stamp_ns, _of_rmc(stamp_ns, fields))
            except (ValueError, IndexError, OverflowError):
                track.refuse("sentences with missing or wrong fields")
    track.fixes = [moments[stamp_ns] for stamp_ns in sorted(moments)]
    return track


def _date(kind: str, fields: list[str]) -> date | None:
    if kind == "RMC" and re.fullmatch(r"\d{6}", fields[9], re.ASCII):
        return date(2000 + int(fields[9][4:6]), int(fields[9][2:4]), int(fields[9][:2]))
    if kind == "ZDA" and fields[4]:
        return date(int(fields[4]), int(fields[3]), int(fields[2]))
    return None


def _moment(text: str, day: date) -> datetime:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(text)
    moment = datetime(day.year, day.month, day.day, int(found[1]), int(found[2]), tzinfo=timezone.utc)
    return moment + timedelta(seconds=int(found[3]) + float(found[4] or 0))


def _of_gga(stamp_ns: int, fields: list[str]) -> TrackFix:
    """Fields: time, latitude, N/S, longitude, E/W, quality, satellites, HDOP, height, M, geoid separation, M."""
    quality, dilution, height, separation = fields[6], fields[8], fields[9], fields[11]
    sigma = RANGE_ERROR * float(dilution) if dilution else math.nan
    if quality in ("4", "5"):  # RTK: the dilution multiplies centimetres, or decimetres while ambiguities float
        sigma *= 0.005 if quality == "4" else 0.1
    altitude = float(height) + float(separation or 0.0) if height else math.nan
    valid = quality not in ("", "0")
    return TrackFix(stamp_ns, *_place(fields[2:6], valid), altitude, sigma if sigma > 0 else math.nan, valid)


def _of_rmc(stamp_ns: int, fields: list[str]) -> TrackFix:
    """Fields: time, status, latitude, N/S, longitude, E/W, speed, course, date."""
    valid = fields[2] == "A"
    return TrackFix(stamp_ns, *_place(fields[3:7], valid), valid=valid)


def _place(fields: list[str], valid: bool) -> tuple[float, float]:
    """Degrees of ``ddmm.mmm``, N or S, ``dddmm.mmm``, E or W; NaN where there was no fix."""
    latitude, north, longitude, east = fields
    if not valid and not (latitude and longitude):
        return math.nan, math.nan
    if north not in ("N", "S") or east not in ("E", "W"):
        raise ValueError(north + east)
    return _degrees(latitude) * (1 if north == "N" else -1), _degrees(longitude) * (1 if east == "E" else -1)


def _degrees(text: str) -> float:
    value = float(text)
    return value // 100 + value % 100 / 60
