"""A track from a file of any of the forms that are read."""

from __future__ import annotations

import math
from pathlib import Path

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.keyframes.positions.positions_file import TIME_COLUMN, read_positions
from seg2d3d_ros.keyframes.video.gpx import read_gpx
from seg2d3d_ros.keyframes.video.nmea import looks_like_nmea, read_nmea
from seg2d3d_ros.keyframes.video.track import LARGEST, Track, TrackFix, parse_time

TRACK_ENTRIES_UNREADABLE = Kind(
    "track_entries_unreadable",
    "entries of the track that cannot be read",
    cause="{reason}",
    remedy="write GPX with a time in every point, NMEA, or a table time,latitude,longitude,altitude with times like "
    "2024-05-06T07:08:09Z",
)


def read_track(path: Path, findings: Findings) -> Track:
    """The fixes of a GPX file, an NMEA log or a table with the columns time, latitude, longitude and, optional, altitude and
    sigma; the content decides, not the ending.

    Raises:
        UsageError: no such file.
        DataError: none of these, or not one entry with time and position.
    """
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path}: larger than {LARGEST // 1_000_000} MB, no track of a drive; cut it")
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: the track cannot be read ({error.strerror or error})") from error
    text = content.decode("latin-1")
    if content.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<") or content[:4] in (b"\xff\xfe<\0", b"\xfe\xff\0<"):
        track = read_gpx(content, str(path))
    elif looks_like_nmea(text):
        track = read_nmea(text)
    else:
        track = _read_table(path)
    track.sort()
    if track.unreadable:
        total = track.unreadable + len(track.fixes)
        findings.add(TRACK_ENTRIES_UNREADABLE, path.name, count=track.unreadable, of=total, reason=track.reason)
    if not track.fixes:
        why = f": {track.reason}" if track.reason else ""
        raise DataError(
            f"{path}: not one position with a time{why}; give GPX, NMEA, or a table time,latitude,longitude,altitude"
        )
    return track


def _read_table(path: Path) -> Track:
    table, track = read_positions(path, TIME_COLUMN), Track()
    for reason in table.refused.values():
        track.refuse(reason)
    for row in table.rows:
        geo = row.geo
        try:
            stamp_ns = parse_time(row.image)
        except ValueError as error:
            track.refuse(f"line {row.line}: {error}")
            continue
        sigma = math.nan if geo.covariance is None else geo.sigma
        track.fixes.append(TrackFix(stamp_ns, geo.latitude, geo.longitude, geo.altitude, sigma))
    return track
