"""Recordings of all kinds of writers: ROS 1 in mcap, compression, lost metadata and files, damage, foreign types."""

from __future__ import annotations

import io
import shutil
import sqlite3

import numpy as np
import pytest
import zstandard
from helpers_bags import JAZZY, NOETIC, ROS1, ROS2, SECOND, START, storage_file, write_bag
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.recording.losses import FILES_DAMAGED, FILES_MISSING, FILES_NOT_LISTED, MESSAGES_LOST, MESSAGES_UNFIT
from seg2d3d_ros.recording.reader import open_recording
from seg2d3d_ros.recording.storage import mcap_file

TEXT = "std_msgs/msg/String"
FIX = "sensor_msgs/msg/NavSatFix"
NOISE = "".join(np.random.default_rng(1).choice(list("abcdefgh"), 4000))


def numbers(recording):
    return [int(message.data.partition(" ")[0]) for _, _, message in recording.messages(["/text"])]


def kinds(recording):
    return {finding.kind: finding for finding in recording.findings}


def compressed(path, plugin, mode, count=6):
    writer = Writer(path, version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/text", TEXT, typestore=JAZZY)
        for k in range(count):
            writer.write(connection, START + k * SECOND, JAZZY.serialize_cdr(ROS2.text(f"{k} {NOISE}"), TEXT))
    return path


def mcap(
    path, messages, *, profile="ros2", definition="ros2msg", encoding="cdr", serialize=None, text=None, chunk_size=1 << 20
):
    """``messages``: (topic, type, message, log time), in this order; ``text`` overrides the definitions."""
    with path.open("wb") as stream:
        writer = McapWriter(stream, chunk_size=chunk_size, compression=CompressionType.ZSTD)
        writer.start(profile=profile, library="test")
        channels = {}
        for topic, kind, message, log_ns in messages:
            if topic not in channels:
                if text is None:
                    store = NOETIC if profile == "ros1" else JAZZY
                    found = store.generate_msgdef(kind, ros_version=1 if profile == "ros1" else 2)[0]
                else:
                    found = text
                name = kind.replace("/msg/", "/") if profile == "ros1" else kind
                schema = writer.register_schema(name=name, encoding=definition, data=found.encode()) if found else 0
                channels[topic] = writer.register_channel(topic=topic, message_encoding=encoding, schema_id=schema)
            raw = bytes((serialize or JAZZY.serialize_cdr)(message, kind))
            writer.add_message(channels[topic], log_time=log_ns, publish_time=log_ns, data=raw)
        writer.finish()
    return path


def texts(count=30, first=0):
    return [("/text", TEXT, ROS2.text(f"{k} {NOISE}"), START + k * SECOND) for k in range(first, first + count)]


def test_messages_of_ros1_in_an_mcap(tmp_path):
    """As tools convert the bags of ROS 1."""
    records = [("/fix", FIX, ROS1.fix(START, 50.0, 13.0), START), ("/text", TEXT, ROS1.text("7"), START + 1)]
    options = {"profile": "ros1", "definition": "ros1msg", "encoding": "ros1", "serialize": NOETIC.serialize_ros1}
    with open_recording(mcap(tmp_path / "a.mcap", records, **options)) as recording:
        assert recording.types == {"/fix": (FIX,), "/text": (TEXT,)}
        assert recording.first("/fix").latitude == 50.0
        assert recording.first("/fix").header.seq == 0
        ((_, _, raw),) = recording.serialized(["/fix"])
        assert JAZZY.deserialize_cdr(raw, FIX).longitude == 13.0
        assert recording.findings == []


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("mode", [CompressionMode.MESSAGE, CompressionMode.FILE])
@pytest.mark.parametrize("metadata", [True, False])
def test_compressed_messages_and_files(tmp_path, plugin, mode, metadata):
    path = compressed(tmp_path / "b", plugin, mode)
    if not metadata:
        (path / "metadata.yaml").unlink()
    files = [file for file in path.iterdir() if file.name != "metadata.yaml"]
    for place in [path, *files]:
        with open_recording(place) as recording:
            assert numbers(recording) == list(range(6))
            raws = [raw for _, _, raw in recording.serialized(["/text"])]
            assert JAZZY.deserialize_cdr(raws[3], TEXT).data.startswith("3 ")
            assert recording.findings == []


def test_a_compressed_message_that_claims_too_much_is_left_out(tmp_path, monkeypatch):
    claims = zstandard.ZstdCompressor().compress(b"\0" * (3 << 20))
    records = texts(2)
    whole = {0: None, 1: claims}
    count = iter(range(2))

    def serialize(message, kind):
        return whole[next(count)] or JAZZY.serialize_cdr(message, kind)

    path = mcap(tmp_path / "a.mcap", records, serialize=serialize)
    monkeypatch.setattr("seg2d3d_ros.recording.storage.compression.MAX_BYTES", 1 << 20)
    with open_recording(path) as recording:
        assert numbers(recording) == [0]
        assert "claims" in kinds(recording)[MESSAGES_UNFIT].text


def test_a_damaged_chunk_costs_only_itself_and_the_loss_is_told(tmp_path):
    path = mcap(tmp_path / "a.mcap", texts(40), chunk_size=10_000)
    with open_recording(path) as recording:
        assert numbers(recording) == list(range(40))
        chunks = recording._storages[0]._chunks
        assert len(chunks) > 8
    data = bytearray(path.read_bytes())
    middle = chunks[4].offset + 200
    data[middle : middle + 300] = b"\xff" * 300
    path.write_bytes(data)
    with open_recording(path) as recording:
        left = numbers(recording)
        lost = 40 - len(left)
        assert 0 < lost < 10
        assert left[0] == 0
        assert left[-1] == 39
        found = kinds(recording)
        assert found.keys() == {FILES_DAMAGED, MESSAGES_LOST}
        assert (found[MESSAGES_LOST].count, found[MESSAGES_LOST].of) == (lost, 40)
        assert f"/text {len(left)} of 40" in found[MESSAGES_LOST].text


def test_changed_bytes_in_a_chunk_are_told(tmp_path):
    """Without compression they would pass unseen but for the chunk's checksum."""
    stream = io.BytesIO()
    writer = McapWriter(stream, compression=CompressionType.NONE)
    writer.start(profile="ros2", library="test")
    schema = writer.register_schema(name=TEXT, encoding="ros2msg", data=JAZZY.generate_msgdef(TEXT, ros_version=2)[0].encode())
    channel = writer.register_channel(topic="/text", message_encoding="cdr", schema_id=schema)
    writer.add_message(channel, log_time=START, publish_time=START, data=bytes(JAZZY.serialize_cdr(ROS2.text("0 word"), TEXT)))
    writer.finish()
    path = tmp_path / "a.mcap"
    path.write_bytes(stream.getvalue().replace(b"word", b"ward"))
    with open_recording(path) as recording:
        assert numbers(recording) == [0]
        assert "checksum" in kinds(recording)[FILES_DAMAGED].text


def test_chunks_that_overlap_in_time_are_read_in_order(tmp_path):
    """Some recorders write a chunk per topic."""
    shuffled = [*texts(10, first=10), *texts(10)]
    with open_recording(mcap(tmp_path / "a.mcap", shuffled, chunk_size=30_000)) as recording:
        assert len(recording._storages[0]._chunks) > 1
        assert numbers(recording) == list(range(20))


def test_a_chunk_that_claims_too_much_is_not_unpacked(tmp_path, monkeypatch):
    path = mcap(tmp_path / "a.mcap", texts(4))
    monkeypatch.setattr(mcap_file, "MAX_BYTES", 1000)
    with open_recording(path) as recording:
        assert numbers(recording) == []
        assert "claims" in kinds(recording)[FILES_DAMAGED].text
        assert kinds(recording)[MESSAGES_LOST].count == 4


@pytest.mark.parametrize("text", ["", "no definition [ of anything"])
def test_a_type_without_a_definition(tmp_path, text):
    """ROS's own types are known; of the others the messages are counted, with the reason."""
    store = {"own/msg/Thing": "string data\n"}
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    types = get_typestore(Stores.ROS2_JAZZY)
    types.register(get_types_from_msg(store["own/msg/Thing"], "own/msg/Thing"))
    own = [("/own", "own/msg/Thing", types.types["own/msg/Thing"](data="x"), START + k) for k in range(3)]
    path = mcap(tmp_path / "a.mcap", [*texts(2), *own], text=text or " ", serialize=types.serialize_cdr)
    with open_recording(path) as recording:
        assert numbers(recording) == [0, 1]
        assert recording.first("/own") is None
        found = kinds(recording)[MESSAGES_UNFIT]
        assert found.count == 3
        assert "/own 3: type own/msg/Thing" in found.text


def test_messages_that_are_no_ros_messages_are_named(tmp_path):
    records = [("/camera", "foxglove.CompressedImage", None, START)]
    options = {"definition": "protobuf", "encoding": "protobuf", "serialize": lambda *_: b"\x0a\x00", "text": "x"}
    with open_recording(mcap(tmp_path / "a.mcap", records, **options)) as recording:
        assert recording.types == {"/camera": ("foxglove.CompressedImage",)}
        assert recording.first("/camera") is None
        assert "protobuf" in kinds(recording)[MESSAGES_UNFIT].text


def split_bag(tmp_path, storage):
    """A recording in three files with one metadata.yaml."""
    records = [("/text", START + k * SECOND, ROS2.text(f"{k} x")) for k in range(15)]
    whole = write_bag(tmp_path / "whole", records, storage)
    (tmp_path / "drive").mkdir()
    for part in range(3):
        file = storage_file(write_bag(tmp_path / f"part{part}", records[5 * part : 5 * part + 5], storage))
        file.rename(tmp_path / "drive" / f"drive_{part}.{storage}")
    text = (whole / "metadata.yaml").read_text()
    name = storage_file(whole).name
    listed = "\n".join(f"  - drive_{part}.{storage}" for part in range(3))
    text = text.replace(f"  - {name}", listed)
    assert f"drive_2.{storage}" in text
    (tmp_path / "drive" / "metadata.yaml").write_text(text)
    return tmp_path / "drive"


@pytest.mark.parametrize("storage", ["mcap", "db3"])
def test_missing_parts_of_a_split_recording_are_told(tmp_path, storage):
    path = split_bag(tmp_path, storage)
    with open_recording(path) as recording:
        assert numbers(recording) == list(range(15))
        assert recording.findings == []
    (path / f"drive_1.{storage}").unlink()
    shutil.copy(path / f"drive_0.{storage}", path / f"copy of drive_0.{storage}")
    with open_recording(path) as recording:
        assert numbers(recording) == [*range(5), *range(10, 15)]
        found = kinds(recording)
        assert found.keys() == {FILES_MISSING, FILES_NOT_LISTED, MESSAGES_LOST}
        assert f"drive_1.{storage} is not there" in found[FILES_MISSING].text
        assert "copy of" in found[FILES_NOT_LISTED].text
        assert (found[MESSAGES_LOST].count, found[MESSAGES_LOST].of) == (5, 15)
    for part in (0, 2):
        (path / f"drive_{part}.{storage}").unlink()
    (path / f"copy of drive_0.{storage}").unlink()
    with pytest.raises(DataError, match="files are missing: drive_0"):
        open_recording(path)


def test_metadata_that_is_a_trap_is_ignored(tmp_path):
    path = write_bag(tmp_path / "b", [("/text", START, ROS2.text("0 x"))])
    for content in ("[" * 100_000, "rosbag2_bagfile_information: 7", "&a [*a]", "\0\x01"):
        (path / "metadata.yaml").write_text(content)
        with open_recording(path) as recording:
            assert numbers(recording) == [0]
            assert "metadata.yaml" in kinds(recording)[FILES_DAMAGED].text


def test_damaged_pages_of_a_database_cost_the_messages_in_them(tmp_path):
    records = [("/text", START + k * SECOND, ROS2.text(f"{k} {NOISE[:900]}")) for k in range(300)]
    file = storage_file(write_bag(tmp_path / "b", records, "db3"))
    with sqlite3.connect(file) as database:
        (size,) = database.execute("PRAGMA page_size").fetchone()
        row = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'messages'").fetchone()
    data = bytearray(file.read_bytes())
    leaves = [at for at in range(0, len(data), size) if data[at] == 0x0D and at // size + 1 != row[0]]
    middle = leaves[len(leaves) // 2]
    data[middle : middle + 8] = b"\xff" * 8
    file.write_bytes(data)
    with open_recording(file) as recording:
        left = numbers(recording)
        assert 250 < len(left) < 300
        assert left == sorted(left)
        assert left[-1] == 299
        assert FILES_DAMAGED in kinds(recording)
