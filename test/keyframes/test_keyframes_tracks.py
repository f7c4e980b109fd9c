"""Tracks of receivers: GPX, NMEA and tables, and what is wrong with them."""

from __future__ import annotations

import math
from datetime import datetime, timezone

import pytest

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.keyframes.video.track import nanoseconds, parse_time
from seg2d3d_ros.keyframes.video.track_file import TRACK_ENTRIES_UNREADABLE, read_track

AT = nanoseconds(datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone.utc))
SECOND = 1_000_000_000
HEAD = '<?xml version="1.0"?>\n<gpx xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>'
TAIL = "</trkseg></trk></gpx>"
POINT = '<trkpt lat="51.5" lon="-13.25"><ele>{}</ele><time>2024-05-06T07:08:{:02d}Z</time><hdop>1.5</hdop></trkpt>'


def read(tmp_path, content):
    """The fixes of a file, and what was told."""
    path, findings = tmp_path / "track", Findings()
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_track(path, findings).fixes, {finding.kind: finding for finding in findings.list()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-05-06T07:08:09Z", AT),
        ("2024-05-06T07:08:09.250Z", AT + SECOND // 4),
        ("2024-05-06T09:08:09+02:00", AT),
        ("2024-05-06 07:08:09", AT),
        ("2024:05:06 07:08:09", AT),
        ("1714979289", AT),
        ("1714979289.5", AT + SECOND // 2),
        ("1714979289000", AT),
        ("1714979289000000000", AT),
    ],
)
def test_times_as_files_write_them(text, expected):
    assert parse_time(text) == expected


@pytest.mark.parametrize("text", ["", "07:08:09", "2024-13-06T07:08:09Z", "99999999999999999999", "yesterday"])
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match=r".*"):
        parse_time(text)


class TestGpx:
    def test_points_with_height_and_precision_in_the_order_of_time(self, tmp_path):
        fixes, told = read(tmp_path, HEAD + POINT.format("12.5", 10) + POINT.format("", 9) + TAIL)
        assert [fix.stamp_ns for fix in fixes] == [AT, AT + SECOND]
        assert (fixes[1].latitude, fixes[1].longitude, fixes[1].altitude, fixes[1].sigma) == (51.5, -13.25, 12.5, 6.0)
        assert math.isnan(fixes[0].altitude)
        assert not told

    def test_points_without_a_time_and_a_file_that_is_cut_off(self, tmp_path):
        fixes, told = read(tmp_path, HEAD + POINT.format("1", 9) + '<trkpt lat="1" lon="2"/>' + "<trkpt lat=")
        assert len(fixes) == 1
        assert told[TRACK_ENTRIES_UNREADABLE].count == 2

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
    def test_entities_are_refused(self, tmp_path, encoding):
        bomb = '<!DOCTYPE gpx [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><gpx>&b;</gpx>'
        with pytest.raises(DataError, match="declares a document type or entities"):
            read(tmp_path, bomb.encode(encoding))

    @pytest.mark.parametrize("content", ["<html/>", "<gpx/>", "<kml><gpx/></kml>", "<gpx>", "<"])
    def test_what_holds_no_track(self, tmp_path, content):
        with pytest.raises(DataError, match="track: "):
            read(tmp_path, content)


def sentence(body):
    total = 0
    for c in body.encode():
        total ^= c
    return f"${body}*{total:02X}\r\n"


class TestNmea:
    RMC = "GPRMC,{},A,5130.000,N,01315.000,W,10.0,90.0,{},,"
    GGA = "GNGGA,{},5130.600,N,01315.000,W,1,9,1.5,100.0,M,45.0,M,,"

    def test_gga_is_preferred_and_its_height_is_above_the_ellipsoid(self, tmp_path):
        log = sentence(self.RMC.format("070809.00", "060524")) + sentence(self.GGA.format("070809.00"))
        fixes, told = read(tmp_path, log + sentence(self.RMC.format("070810.50", "060524")))
        assert [fix.stamp_ns for fix in fixes] == [AT, AT + SECOND * 3 // 2]
        assert [fix.latitude for fix in fixes] == pytest.approx([51.51, 51.5])
        assert (fixes[0].longitude, fixes[0].altitude, fixes[0].sigma) == (-13.25, 145.0, 6.0)
        assert not told

    def test_midnight_between_two_dates(self, tmp_path):
        log = sentence(self.RMC.format("235959.00", "050524")) + sentence(self.GGA.format("000000.00"))
        fixes, _ = read(tmp_path, log + sentence(self.RMC.format("000000.00", "060524")))
        assert [fix.stamp_ns - fixes[0].stamp_ns for fix in fixes] == [0, SECOND]

    def test_bad_sentences_are_counted_and_fixes_without_reception_known(self, tmp_path):
        good = sentence(self.RMC.format("070809.00", "060524"))
        void = sentence("GPRMC,070810.00,V,,,,,,,060524,,")
        fixes, told = read(tmp_path, good + good.replace("51", "52") + "$GPRMC,07\r\n$GPRMC,x,A,1*00\r\n" + void)
        assert [fix.valid for fix in fixes] == [True, False]
        assert told[TRACK_ENTRIES_UNREADABLE].count >= 2


class TestTables:
    def test_columns_by_their_names(self, tmp_path):
        table = "lat;lon;Timestamp;alt;sigma\n51,5;13,25;2024-05-06T07:08:09Z;100;0.5\n51,5;13,26;later;100;0.5\n"
        fixes, told = read(tmp_path, table)
        assert [(fix.stamp_ns, fix.latitude, fix.longitude, fix.sigma) for fix in fixes] == [(AT, 51.5, 13.25, 0.5)]
        assert told[TRACK_ENTRIES_UNREADABLE].count == 1
        assert "line 3" in told[TRACK_ENTRIES_UNREADABLE].text

    def test_without_a_head(self, tmp_path):
        assert read(tmp_path, "1714979289,51.5,13.25,100\n1714979290,51.5,13.26,100\n")[0][1].stamp_ns == AT + SECOND

    def test_what_is_no_track(self, tmp_path):
        for content in ("", "nothing at all", "image,latitude,longitude\na.jpg,51,13\n"):
            with pytest.raises(DataError, match="track: "):
                read(tmp_path, content)
        with pytest.raises(UsageError, match="cannot be read"):
            read_track(tmp_path / "nowhere.gpx", Findings())
