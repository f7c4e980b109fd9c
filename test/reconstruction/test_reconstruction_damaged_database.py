"""A database that is damaged, cut off, of another version or of another program is refused in one line."""

import json
import random
import shutil
import sqlite3

import numpy as np
import pytest

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.reconstruction.database import FeatureDatabase, Features
from seg2d3d_ros.types import Keyframe


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A database of three images with features and one matched pair."""
    path = tmp_path_factory.mktemp("map") / "database.db"
    database = FeatureDatabase(path)
    camera = Camera("PINHOLE", 100, 80, (90.0, 90.0, 50.0, 40.0))
    camera_id = database.camera_id("front", camera)
    rng = np.random.default_rng(1)
    for k in range(3):
        frame = Keyframe(f"{k}", "front", k, b"x", camera=camera, file_name=f"{k}.jpg", geo=GeoPosition(48.0, 11.0, 500.0))
        features = Features(
            100,
            80,
            rng.random((20, 4), np.float32),
            rng.integers(0, 255, (20, 128), np.uint8),
            rng.integers(0, 255, (20, 3), np.uint8),
        )
        database.add_image(frame, camera_id, features)
    database.set_datum((48.0, 11.0, 500.0))
    database.close()
    with sqlite3.connect(path) as connection:
        pair, data = 2147483647 + 2, np.arange(10, dtype="<u4").tobytes()
        connection.execute("INSERT INTO matches VALUES (?, 5, 2, ?)", (pair, data))
        connection.execute(
            "INSERT INTO two_view_geometries (pair_id, rows, cols, data, config) VALUES (?, 5, 2, ?, 3)", (pair, data)
        )
    connection.close()
    return path


def open_it(path):
    """Open and close."""
    FeatureDatabase(path).close()


def test_a_whole_database_opens(whole, tmp_path):
    shutil.copy(whole, tmp_path / "database.db")
    database = FeatureDatabase(tmp_path / "database.db")
    assert len(database.images()) == 3
    database.close()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no database at all, but long enough to be one", "is no SQLite database"),
        (b"SQLite format 3\0", "cannot be opened"),
        (b"SQLite format 3\0" + b"\xff" * 5000, "cannot be opened|damaged"),
    ],
)
def test_another_file_is_refused(tmp_path, content, words):
    (tmp_path / "database.db").write_bytes(content)
    with pytest.raises(DataError, match=rf"database\.db: .*({words}).*without --resume") as caught:
        open_it(tmp_path / "database.db")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "database.db").read_bytes() == content


def test_an_empty_file_is_a_new_database_and_said(tmp_path, caplog):
    """A process that was killed early leaves one."""
    (tmp_path / "database.db").touch()
    open_it(tmp_path / "database.db")
    assert "database.db: is empty" in caplog.text


def test_another_programs_or_versions_database_is_refused(whole, tmp_path):
    path = tmp_path / "database.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (id INTEGER)")
    connection.close()
    with pytest.raises(DataError, match="lacks table cameras"):
        open_it(path)
    shutil.copy(whole, path)
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE descriptors RENAME COLUMN type TO kind")
    connection.close()
    with pytest.raises(DataError, match="lacks column type of table descriptors"):
        open_it(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE keypoints SET rows = 1000000000 WHERE image_id = 2", "keypoints of image 2"),
        ("UPDATE keypoints SET data = NULL WHERE image_id = 2", "keypoints of image 2"),
        ("UPDATE keypoints SET rows = 'many' WHERE image_id = 2", "keypoints of image 2"),
        ("UPDATE descriptors SET cols = 64 WHERE image_id = 1", "descriptors of image 1"),
        ("DELETE FROM keypoints WHERE image_id = 3", "image 3 has no keypoints|descriptors of image 3"),
        ("UPDATE seg2d3d_images SET colors = x'00' WHERE image_id = 1", "keypoints of image 1"),
        ("UPDATE images SET camera_id = 9 WHERE image_id = 1", "camera 9"),
        ("UPDATE two_view_geometries SET rows = 7", "two_view_geometries of images 1 and 2"),
        ("UPDATE two_view_geometries SET data = x'" + "ff" * 40 + "'", "name keypoints that there are not"),
        ("UPDATE matches SET cols = 3", "matches of images 1 and 2"),
        ("UPDATE seg2d3d_images SET geo = '[1, 2'", "no valid JSON"),
        ("UPDATE seg2d3d_images SET geo = '[1, 2]'", "damaged"),
        ("UPDATE seg2d3d_state SET value = '[1'", "no valid JSON"),
        ("UPDATE seg2d3d_state SET value = '7'", "damaged"),
    ],
)
def test_rows_that_contradict_their_content_are_refused(whole, tmp_path, change, words):
    path = tmp_path / "database.db"
    shutil.copy(whole, path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(change)
    connection.close()
    with pytest.raises(DataError, match=words) as caught:
        open_it(path)
    assert "database.db" in str(caught.value)
    assert "without --resume" in str(caught.value)


def test_whatever_is_damaged_it_is_refused_or_opened(whole, tmp_path):
    """Bytes at random places, and files that are cut off; nothing but ``DataError`` comes out."""
    rng = random.Random(2)
    good = whole.read_bytes()
    refused = taken = 0
    for k in range(60):
        data = bytearray(good)
        if k % 4 == 0:
            data = data[: rng.randrange(len(data))]
        else:
            for _ in range(rng.randrange(1, 40)):
                data[rng.randrange(len(data))] = rng.randrange(256)
        path = tmp_path / str(k) / "database.db"
        path.parent.mkdir()
        path.write_bytes(data)
        try:
            open_it(path)
        except DataError as error:
            refused += "database.db" in str(error) and "\n" not in str(error)
        else:
            taken += 1
    assert refused + taken == 60
    assert refused > 10


def test_poses_that_are_none_are_refused(whole, tmp_path):
    path = tmp_path / "database.db"
    shutil.copy(whole, path)
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO seg2d3d_mounts VALUES ('front', ?)", (json.dumps([[1, 2], [3]]),))
    connection.close()
    with pytest.raises(DataError, match=r"database\.db: the database is damaged"):
        open_it(path)
