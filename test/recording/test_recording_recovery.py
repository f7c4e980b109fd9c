"""Recordings that were torn: what is left becomes a whole one, what is lost is told for each topic, the original stays."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3

import pytest
import yaml
from helpers_bags import JAZZY, ROS2, SECOND, START, storage_file, write_bag
from rosbags.rosbag2 import Reader

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.recording.losses import FILES_DAMAGED, MESSAGES_LOST, MESSAGES_UNFIT
from seg2d3d_ros.recording.reader import open_recording
from seg2d3d_ros.recording.recovery import (
    MESSAGES_MISSING,
    RECORDING_OPEN,
    TYPES_UNKNOWN,
    TopicRecovery,
    default_out,
    recover,
)

COUNT = 200
PERIOD = SECOND // 10


def drive(path, storage, count=COUNT):
    """Texts at 10 Hz with a good kilobyte each, and fixes at 1 Hz."""
    records = []
    for k in range(count):
        log = START + k * PERIOD
        records.append(("/texts", log, ROS2.text(f"{k} " + chr(97 + k % 26) * 1500)))
        if k % 10 == 0:
            records.append(("/fix", log + 1, ROS2.fix(log, 50.0 + k * 1e-5, 13.0)))
    return write_bag(path, records, storage)


def hashes(folder):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def read(folder):
    """What rosbags, which knows nothing of damage, reads in a recording: numbers of the texts, latitudes."""
    texts, fixes = [], []
    with Reader(folder) as reader:
        for connection, _, raw in reader.messages():
            message = JAZZY.deserialize_cdr(raw, connection.msgtype)
            (texts if connection.topic == "/texts" else fixes).append(message)
        assert reader.message_count == len(texts) + len(fixes)
    return [int(message.data.split()[0]) for message in texts], [message.latitude for message in fixes]


def kinds(recovered):
    return {finding.kind: finding for finding in recovered.findings}


def topic(recovered, name):
    return next(one for one in recovered.topics if one.name == name)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_that_was_cut_off_becomes_whole_and_the_original_stays(tmp_path, storage):
    bag = drive(tmp_path / "drive", storage)
    file = storage_file(bag)
    if storage == "mcap":  # rosbags writes one chunk; a recorder writes many
        pytest.importorskip("mcap")
        file.unlink()
        many_chunks(file)
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size * 2 // 3)
    before = hashes(bag)
    recovered = recover(bag, tmp_path / "whole")
    assert hashes(bag) == before
    texts, fixes = read(tmp_path / "whole")
    assert texts[: len(texts) - 2] == list(range(len(texts) - 2)), "from the beginning, without a hole"
    assert 80 < len(texts) < COUNT
    assert len(fixes) >= len(texts) // 10 - 2
    assert topic(recovered, "/texts").kept == len(texts)
    loss = topic(recovered, "/texts").loss(recovered.start_ns, recovered.end_ns)
    assert (loss.messages, loss.estimated) == (COUNT - len(texts), False), "metadata.yaml counted them"
    assert loss.seconds == pytest.approx((COUNT - len(texts)) / 10, abs=1.5)
    assert FILES_DAMAGED in kinds(recovered)
    assert RECORDING_OPEN not in kinds(recovered)
    with open_recording(tmp_path / "whole") as again:
        list(again.messages(again.types))
        assert again.findings == []


def many_chunks(file):
    """The same drive in chunks of some ten kilobytes, as rosbag2 writes them."""
    from mcap.writer import CompressionType, Writer

    with file.open("wb") as stream:
        writer = Writer(stream, chunk_size=20_000, compression=CompressionType.NONE)
        writer.start(profile="ros2", library="test")
        channels = {}
        for k in range(COUNT):
            log = START + k * PERIOD
            messages = [("/texts", ROS2.text(f"{k} " + chr(97 + k % 26) * 1500))]
            messages += [("/fix", ROS2.fix(log, 50.0 + k * 1e-5, 13.0))] if k % 10 == 0 else []
            for name, message in messages:
                kind = message.__msgtype__
                if name not in channels:
                    text = JAZZY.generate_msgdef(kind, ros_version=2)[0].encode()
                    schema = writer.register_schema(name=kind, encoding="ros2msg", data=text)
                    channels[name] = writer.register_channel(topic=name, message_encoding="cdr", schema_id=schema)
                raw = bytes(JAZZY.serialize_cdr(message, kind))
                writer.add_message(channels[name], log_time=log, publish_time=log, data=raw)
        writer.finish()


def test_a_recorder_that_was_killed_leaves_an_open_end_and_nobody_claims_to_know_it(tmp_path):
    bag = drive(tmp_path / "drive", "sqlite3")
    file = storage_file(bag)
    (bag / "metadata.yaml").unlink()
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size // 2)
    recovered = recover(bag, tmp_path / "whole")
    assert RECORDING_OPEN in kinds(recovered)
    assert topic(recovered, "/texts").promised is None
    assert "nobody can say what came after it" in kinds(recovered)[RECORDING_OPEN].text
    facts = yaml.safe_load((tmp_path / "whole/metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert facts["message_count"] == sum(one.kept for one in recovered.topics)


def test_of_a_single_file_without_index_the_end_is_unknown_too(tmp_path):
    file = tmp_path / "drive.mcap"
    many_chunks(file)
    whole = recover(file, tmp_path / "whole")
    assert (whole.findings, whole.damaged) == ([], False)
    file.write_bytes(file.read_bytes()[:-100_000])
    recovered = recover(file, tmp_path / "left")
    assert {FILES_DAMAGED, RECORDING_OPEN} <= kinds(recovered).keys()
    assert 50 < topic(recovered, "/texts").kept < COUNT


def test_only_the_metadata_is_missing(tmp_path):
    bag = drive(tmp_path / "drive", "mcap")
    (bag / "metadata.yaml").unlink()
    recovered = recover(bag, tmp_path / "whole")
    assert kinds(recovered).keys() == {RECORDING_OPEN}
    assert read(tmp_path / "whole")[0] == list(range(COUNT))
    assert all(one.loss(recovered.start_ns, recovered.end_ns).messages == 0 for one in recovered.topics)


def test_a_hole_in_the_middle_is_estimated_by_the_time_it_took_where_nobody_counted(tmp_path):
    bag = drive(tmp_path / "drive", "sqlite3")
    file = storage_file(bag)
    with sqlite3.connect(file) as database:
        database.execute(
            "DELETE FROM messages WHERE timestamp >= ? AND timestamp < ?", (START + 5 * SECOND, START + 8 * SECOND)
        )
    (bag / "metadata.yaml").unlink()
    with file.open("r+b") as stream:  # the end is gone, too, so that the file counts nothing
        stream.truncate(file.stat().st_size - 40_000)
    recovered = recover(bag, tmp_path / "whole")
    loss = topic(recovered, "/texts").loss(recovered.start_ns, recovered.end_ns)
    assert loss.estimated
    assert loss.messages == pytest.approx(30, abs=2)
    assert loss.seconds == pytest.approx(3.0, abs=0.2)
    assert "/texts about" in kinds(recovered)[MESSAGES_MISSING].text


def test_a_log_of_a_killed_recorder_is_read_and_left_as_it_is(tmp_path):
    """SQLite's write-ahead log, which even a reader would touch."""
    bag = drive(tmp_path / "drive", "sqlite3", count=20)
    file = storage_file(bag)
    live = tmp_path / "live"
    live.mkdir()
    shutil.copy(file, live / "drive.db3")
    database = sqlite3.connect(live / "drive.db3")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA wal_autocheckpoint=0")
    raw = bytes(JAZZY.serialize_cdr(ROS2.text("20 late"), "std_msgs/msg/String"))
    (key,) = database.execute("SELECT id FROM topics WHERE name = '/texts'").fetchone()
    database.execute("INSERT INTO messages(topic_id, timestamp, data) VALUES (?, ?, ?)", (key, START + 20 * PERIOD, raw))
    database.commit()
    torn = tmp_path / "torn"
    torn.mkdir()
    for name in ("drive.db3", "drive.db3-wal"):
        shutil.copy(live / name, torn)
    database.close()
    before = hashes(torn)
    for number, place in enumerate((torn, torn / "drive.db3")):
        recover(place, tmp_path / f"whole{number}")
        assert hashes(torn) == before
        assert read(tmp_path / f"whole{number}")[0] == list(range(21))


def test_broken_messages_are_left_out_and_unknown_types_are_copied(tmp_path):
    from mcap.writer import Writer

    file = tmp_path / "a.mcap"
    with file.open("wb") as stream:
        writer = Writer(stream)
        writer.start(profile="ros2", library="test")
        text = JAZZY.generate_msgdef("std_msgs/msg/String", ros_version=2)[0].encode()
        texts = writer.register_channel(
            topic="/texts",
            message_encoding="cdr",
            schema_id=writer.register_schema(name="std_msgs/msg/String", encoding="ros2msg", data=text),
        )
        own = writer.register_channel(
            topic="/own",
            message_encoding="cdr",
            schema_id=writer.register_schema(name="own/msg/Thing", encoding="ros2msg", data=b""),
        )
        good = bytes(JAZZY.serialize_cdr(ROS2.text("0 good"), "std_msgs/msg/String"))
        for k, (channel, raw) in enumerate([(texts, good), (texts, good[:7]), (own, b"\x00\x01\x00\x00what"), (texts, good)]):
            writer.add_message(channel, log_time=START + k, publish_time=START + k, data=raw)
        writer.finish()
    recovered = recover(file, tmp_path / "whole")
    assert kinds(recovered).keys() == {MESSAGES_UNFIT, TYPES_UNKNOWN}
    assert kinds(recovered)[MESSAGES_UNFIT].count == 1
    assert (topic(recovered, "/texts").kept, topic(recovered, "/texts").promised) == (2, 3)
    with Reader(tmp_path / "whole") as reader:
        assert [bytes(raw) for one, _, raw in reader.messages() if one.topic == "/own"] == [b"\x00\x01\x00\x00what"]


def test_what_was_latched_stays_latched(tmp_path):
    bag = write_bag(tmp_path / "drive", [("/tf_static", START, ROS2.text("x"))])
    with open_recording(bag) as recording:
        assert recording.topics["/tf_static"].latched
    recover(bag, tmp_path / "whole")
    text = (tmp_path / "whole/metadata.yaml").read_text()
    assert "transient_local" in text


def test_what_cannot_be_is_refused_and_leaves_nothing(tmp_path):
    bag = drive(tmp_path / "drive", "mcap", count=5)
    with pytest.raises(UsageError, match="is there already"):
        recover(bag, bag)
    with pytest.raises(UsageError, match="lies in the damaged recording"):
        recover(bag, bag / "whole")
    (tmp_path / "noise.mcap").write_bytes(b"\x00" * 1000)
    with pytest.raises(DataError, match="cannot be read as a bag"):
        recover(tmp_path / "noise.mcap", tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drive", "noise.mcap"]


def test_the_command_says_it_for_each_topic(tmp_path, capsys):
    bag = drive(tmp_path / "drive", "mcap", count=12)
    facts = (bag / "metadata.yaml").read_text()
    (bag / "metadata.yaml").write_text(facts.replace("message_count: 12", "message_count: 15"))
    assert main(["recover", str(bag)]) == 0
    said = capsys.readouterr()
    (row,) = [line.split() for line in said.out.splitlines() if line.startswith("/texts")]
    assert row == ["/texts", "12", "3", "0.0"]
    assert MESSAGES_LOST.what in said.err
    assert "12 of 15" in said.err
    assert default_out(bag).is_dir()
    assert main(["recover", str(tmp_path / "none")]) == 2


def test_silence_without_damage_is_no_loss():
    """A parked camera, an event: where the count is right, nothing is lost."""
    quiet = TopicRecovery("/a", "t", 6)
    quiet.times.extend([0, SECOND, 2 * SECOND, 3 * SECOND, 100 * SECOND, 101 * SECOND])
    assert quiet.loss(0, 101 * SECOND).messages == 0
    assert quiet.loss(0, 101 * SECOND).seconds == 0.0
    quiet.promised = None
    assert quiet.loss(0, 101 * SECOND).messages == 96
