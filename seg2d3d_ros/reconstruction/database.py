"""The COLMAP database of a map, and beside its tables those of ours that make a restart possible.

``seg2d3d_images`` holds, per image, the keyframe's identity, its GPS position and the colours at its keypoints; the
row is written last, so an image without it was cut off in the middle and is written anew. ``seg2d3d_cameras`` tells
which camera a set of intrinsics belongs to and whether they are calibrated (kept fixed) or a guess.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.disk.documents import parse_json
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.given_pose import GivenPose
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.vertical.camera_up import CameraUp
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.image_files import stored_orientation
from seg2d3d_ros.reconstruction.database_check import PAIR_BASE, REMEDY, SIFT, SIFT_BYTES, check_file, check_rows
from seg2d3d_ros.reconstruction.database_fields import decode_geo, decode_up, encode_descriptors, encode_geo, encode_up
from seg2d3d_ros.types import Keyframe

_TABLES = """
CREATE TABLE IF NOT EXISTS seg2d3d_cameras (camera_id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL,
    calibrated INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS seg2d3d_images (image_id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, file_name TEXT NOT NULL,
    camera_name TEXT NOT NULL, stamp_ns INTEGER NOT NULL, geo TEXT, features INTEGER NOT NULL, colors BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS seg2d3d_mounts (camera_name TEXT PRIMARY KEY, base_from_camera TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS seg2d3d_odometry (name TEXT PRIMARY KEY, odom_from_base TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS seg2d3d_views (name TEXT PRIMARY KEY, panorama TEXT NOT NULL, camera_name TEXT NOT NULL,
    panorama_camera TEXT NOT NULL, panorama_from_view TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS seg2d3d_verticals (name TEXT PRIMARY KEY, up TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS seg2d3d_given_poses (name TEXT PRIMARY KEY, pose TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS seg2d3d_state (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

_REPAIR = """
DELETE FROM frames WHERE frame_id IN
    (SELECT frame_id FROM frame_data WHERE data_id NOT IN (SELECT image_id FROM seg2d3d_images));
DELETE FROM frame_data WHERE data_id NOT IN (SELECT image_id FROM seg2d3d_images);
DELETE FROM keypoints WHERE image_id NOT IN (SELECT image_id FROM seg2d3d_images);
DELETE FROM descriptors WHERE image_id NOT IN (SELECT image_id FROM seg2d3d_images);
DELETE FROM images WHERE image_id NOT IN (SELECT image_id FROM seg2d3d_images);
"""


@dataclass(frozen=True)
class Features:
    """N features of one image of ``width`` × ``height`` pixels.

    Attributes:
        keypoints: (N, 4) float32 x, y, scale, orientation in full-size pixels (first pixel's centre at 0.5, 0.5).
        descriptors: (N, 128) uint8, RootSIFT; or (N, D) float32 of a network, kept in half precision.
        colors: (N, 3) uint8 RGB at the keypoints.
    """

    width: int
    height: int
    keypoints: np.ndarray
    descriptors: np.ndarray
    colors: np.ndarray

    def __len__(self) -> int:
        return len(self.keypoints)

    def largest(self, count: int) -> Features:
        """The ``count`` features of largest scale; of equal ones the first."""
        kept = np.sort(np.argsort(-self.keypoints[:, 2], kind="stable")[:count])
        return Features(self.width, self.height, self.keypoints[kept], self.descriptors[kept], self.colors[kept])


@dataclass(frozen=True)
class ImageRow:
    """One image of the database: COLMAP's ids and the keyframe's identity; ``panorama`` names that of which it is a view."""

    image_id: int
    camera_id: int
    name: str
    file_name: str
    camera_name: str
    stamp_ns: int
    features: int
    geo: GeoPosition | None
    panorama: str = ""
    up: CameraUp | None = None


ColmapImage: TypeAlias = "tuple[pycolmap.Camera, pycolmap.Rig, pycolmap.Image, pycolmap.Frame]"
"""What COLMAP knows of one image: its camera, the camera's rig, the image, its frame."""


def database_name(file_name: str) -> str:
    """The image's name in the database: blanks and ``#`` are escaped, because COLMAP's list of pairs splits there."""
    return quote(file_name, safe="/!$&'()*+,;=:@[]~äöüß%") if any(c.isspace() or c == "#" for c in file_name) else file_name


class FeatureDatabase:
    """``path`` opened for this process alone; created when absent.

    Raises:
        DataError: the file is no COLMAP database, or another process is writing it.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            check_file(self.path)
        try:
            self._colmap: pycolmap.Database = pycolmap.Database.open(self.path)
            self._sqlite = sqlite3.connect(self.path, timeout=30.0, isolation_level=None)
            self._check_owner()
            self._sqlite.executescript(_TABLES + _REPAIR)
            check_rows(self.path, self._sqlite)
            for _ in (
                self.images(),
                self.mounts(),
                self.views(),
                self.odometry(),
                self.given_poses(),
                self.datum(),
                self._state("revision"),
                self._state("features"),
            ):
                pass  # what is kept as text can be read
        except (RuntimeError, sqlite3.Error) as error:
            reason = " ".join(str(error).split())
            remedy = "free space on the disk" if "full" in reason else "make it writable" if "readonly" in reason else REMEDY
            raise DataError(f"{self.path}: cannot be opened as a COLMAP database ({reason}); {remedy}") from error
        except (ValueError, TypeError, LookupError, ArithmeticError) as error:
            raise DataError(f"{self.path}: the database is damaged ({' '.join(str(error).split())}); {REMEDY}") from error

    def _check_owner(self) -> None:
        ours = self._row("SELECT name FROM sqlite_master WHERE name = 'seg2d3d_images'")
        if ours is None and self._colmap.num_images() > 0:
            raise DataError(f"{self.path}: holds images of another program; choose another map folder, or remove the file")

    def _row(self, query: str, *values: object) -> Any:
        """The first row that a query gives, or None."""
        return self._sqlite.execute(query, values).fetchone()

    def close(self) -> None:
        """Close both handles; harmless when called again."""
        self._sqlite.close()
        self._colmap.close()

    def camera_id(self, camera_name: str, camera: Camera) -> int:
        """The row for these intrinsics of this camera, written when new, with a rig of its own.

        Images of one ``camera_name`` with equal size and equal intrinsics (known or guessed) share one row.
        """
        key = json.dumps([camera_name, camera.model, camera.width, camera.height, list(camera.params), camera.calibrated])
        if (row := self._row("SELECT camera_id FROM seg2d3d_cameras WHERE key = ?", key)) is not None:
            return int(row[0])
        row_camera = camera.to_colmap()
        row_camera.has_prior_focal_length = camera.focal_known
        with pycolmap.DatabaseTransaction(self._colmap):
            row_camera.camera_id = self._colmap.write_camera(row_camera)
            rig = pycolmap.Rig()
            rig.add_ref_sensor(row_camera.sensor_id)
            self._colmap.write_rig(rig)
        self._sqlite.execute(
            "INSERT INTO seg2d3d_cameras VALUES (?, ?, ?)", (row_camera.camera_id, key, int(camera.calibrated))
        )
        return row_camera.camera_id

    def calibrated_cameras(self) -> dict[int, tuple[float, ...]]:
        """Camera id -> parameters, of the cameras whose intrinsics stay fixed."""
        return {camera.camera_id: tuple(camera.params) for camera in self._cameras(calibrated=True)}

    def calibrated(self) -> dict[int, Camera]:
        """Camera id -> camera, of those whose intrinsics stay fixed."""
        return {camera.camera_id: Camera.from_colmap(camera) for camera in self._cameras(calibrated=True)}

    def known_focals(self) -> dict[int, tuple[float, ...]]:
        """Camera id -> parameters, of the cameras to refine whose focal length came with the images (EXIF)."""
        known = (camera for camera in self._cameras(calibrated=False) if camera.has_prior_focal_length)
        return {camera.camera_id: tuple(camera.params) for camera in known}

    def _cameras(self, *, calibrated: bool) -> list[pycolmap.Camera]:
        ids = self._sqlite.execute("SELECT camera_id FROM seg2d3d_cameras WHERE calibrated = ?", (int(calibrated),))
        return [self._colmap.read_camera(camera_id) for (camera_id,) in ids]

    def _rig_of(self, camera: pycolmap.Camera) -> pycolmap.Rig:
        rig = self._colmap.read_rig_with_sensor(camera.sensor_id)
        assert rig is not None, "camera_id writes both"
        return rig

    def add_image(self, keyframe: Keyframe, camera_id: int, features: Features) -> int:
        """Write one image with its features; returns its id."""
        camera = self._colmap.read_camera(camera_id)
        with pycolmap.DatabaseTransaction(self._colmap):
            image = pycolmap.Image(name=database_name(keyframe.file_name), camera_id=camera_id)
            image.image_id = self._colmap.write_image(image)
            frame = pycolmap.Frame()
            frame.rig_id = self._rig_of(camera).rig_id
            frame.add_data_id(image.data_id)
            self._colmap.write_frame(frame)
            self._colmap.write_keypoints(image.image_id, features.keypoints)
            self._colmap.write_descriptors(image.image_id, encode_descriptors(features.descriptors))
        self.note_poses(keyframe)
        if (up := keyframe.up or CameraUp.of_exif(stored_orientation(keyframe.encoded, keyframe.source))) is not None:
            self._sqlite.execute("INSERT OR REPLACE INTO seg2d3d_verticals VALUES (?, ?)", (keyframe.name, encode_up(up)))
        identity = (keyframe.name, keyframe.file_name, keyframe.camera_name, keyframe.stamp_ns)
        values = (image.image_id, *identity, encode_geo(keyframe.geo), len(features), features.colors.tobytes())
        self._sqlite.execute("INSERT INTO seg2d3d_images VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        return int(image.image_id)

    def note_again(self, keyframe: Keyframe) -> None:
        """Keep what is newly known of an image that is there: a map can be resumed with positions or poses."""
        self.note_poses(keyframe)
        if keyframe.geo is not None:
            row = (encode_geo(keyframe.geo), keyframe.name)
            self._sqlite.execute("UPDATE seg2d3d_images SET geo = ? WHERE name = ?", row)

    def note_poses(self, keyframe: Keyframe) -> None:
        """Keep what a keyframe says of its mount, its odometry and its given pose."""
        for table, key, pose in (
            ("seg2d3d_mounts", keyframe.camera_name, keyframe.mount),
            ("seg2d3d_odometry", keyframe.name, keyframe.odometry),
        ):
            if pose is not None:
                value = json.dumps(pose.matrix.tolist())
                self._sqlite.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", (key, value))
        if (view := keyframe.view) is not None:
            names = keyframe.name, view.panorama, keyframe.camera_name, view.camera_name
            turn = json.dumps(view.panorama_from_view.matrix.tolist())
            self._sqlite.execute("INSERT OR REPLACE INTO seg2d3d_views VALUES (?, ?, ?, ?, ?)", (*names, turn))

        if keyframe.given is not None:
            row = (keyframe.name, json.dumps(keyframe.given.to_json()))
            self._sqlite.execute("INSERT OR REPLACE INTO seg2d3d_given_poses VALUES (?, ?)", row)

    def given_poses(self) -> dict[int, GivenPose]:
        """Image id -> the pose that somebody gave it."""
        rows = self._sqlite.execute(
            "SELECT image_id, pose FROM seg2d3d_given_poses JOIN seg2d3d_images USING (name) ORDER BY image_id"
        )
        return {i: GivenPose.from_json(parse_json(text, "database.db", remedy=REMEDY)) for i, text in rows}

    def mounts(self) -> dict[str, Pose]:
        """Camera name -> ``base_from_camera``, as the keyframes said it last."""
        rows = self._sqlite.execute("SELECT camera_name, base_from_camera FROM seg2d3d_mounts ORDER BY camera_name")
        return {name: Pose.from_matrix(parse_json(text, "database.db", remedy=REMEDY)) for name, text in rows}

    def views(self) -> dict[str, tuple[str, Pose]]:
        """Camera name of each view of panoramas -> the panoramas' camera, and ``panorama_from_view``."""
        rows = self._sqlite.execute("SELECT DISTINCT camera_name, panorama_camera, panorama_from_view FROM seg2d3d_views")
        return {name: (of, Pose.from_matrix(parse_json(turn, "database.db", remedy=REMEDY))) for name, of, turn in rows}

    def odometry(self) -> dict[int, Pose]:
        """Image id -> ``odom_from_base``, of the images that have it."""
        rows = self._sqlite.execute(
            "SELECT image_id, odom_from_base FROM seg2d3d_odometry JOIN seg2d3d_images USING (name) ORDER BY image_id"
        )
        return {image_id: Pose.from_matrix(parse_json(text, "database.db", remedy=REMEDY)) for image_id, text in rows}

    def images(self) -> list[ImageRow]:
        """All complete images, in the order of their ids."""
        rows = self._sqlite.execute(
            "SELECT image_id, camera_id, s.name, file_name, s.camera_name, stamp_ns, features, geo, COALESCE(panorama, ''), up "
            "FROM seg2d3d_images s JOIN images USING (image_id) LEFT JOIN seg2d3d_views v ON v.name = s.name "
            "LEFT JOIN seg2d3d_verticals u ON u.name = s.name ORDER BY image_id"
        )
        return [ImageRow(*(*row, decode_geo(geo), panorama, decode_up(up))) for *row, geo, panorama, up in rows]

    def descriptors(self, image_id: int, count: int | None = None) -> np.ndarray:
        """(≤ ``count``, D) as in ``Features``, those of largest scale; of equal scales the first."""
        descriptors = self._table("descriptors", image_id, np.uint8, SIFT_BYTES)
        if self._row("SELECT type FROM descriptors WHERE image_id = ?", image_id)[0] != SIFT:
            descriptors = descriptors.view(np.float16).astype(np.float32)
        if count is None or len(descriptors) <= count:
            return descriptors
        return descriptors[np.argsort(-self.keypoints(image_id)[:, 2], kind="stable")[:count]]

    def keypoints(self, image_id: int) -> np.ndarray:
        """(N, 4) float32 x, y, scale, orientation."""
        return self._table("keypoints", image_id, np.float32, 4)

    def _table(self, name: str, image_id: int, kind: type, columns: int) -> np.ndarray:
        rows, cols, data = self._row(f"SELECT rows, cols, data FROM {name} WHERE image_id = ?", image_id)
        return np.frombuffer(data or b"", kind).reshape(rows, cols or columns)

    def image_cameras(self, image_ids: Iterable[int]) -> dict[int, Camera]:
        """Image id -> its camera, as it was given."""
        read = {row.image_id: row.camera_id for row in self.images()}
        wanted = {i: read[i] for i in image_ids}
        rows = {k: self._colmap.read_camera(k) for k in set(wanted.values())}
        cameras = {k: Camera.from_colmap(row, calibrated=row.has_prior_focal_length) for k, row in rows.items()}
        return {i: cameras[k] for i, k in wanted.items()}

    def write_matches(self, first: int, second: int, matches: np.ndarray) -> None:
        """Write (M, 2) keypoint indices of two images, ``first`` < ``second``, that have yet to be verified.

        What a process that was killed before it verified them has left is replaced.
        """
        if self._colmap.exists_matches(first, second):
            self._colmap.delete_matches(first, second)
        self._colmap.write_matches(first, second, np.ascontiguousarray(matches, np.uint32).reshape(-1, 2))

    def colors(self, image_id: int) -> np.ndarray:
        """(N, 3) uint8 RGB at the keypoints."""
        (data,) = self._row("SELECT colors FROM seg2d3d_images WHERE image_id = ?", image_id)
        return np.frombuffer(data, np.uint8).reshape(-1, 3)

    def colmap_image(self, row: ImageRow) -> ColmapImage:
        """COLMAP's objects of one image; named by its file, with its keypoints and without a pose."""
        camera = self._colmap.read_camera(row.camera_id)
        frame = self._colmap.read_frame(self._colmap.read_image(row.image_id).frame_id)
        keypoints = self.keypoints(row.image_id)[:, :2].astype(np.float64)
        image = pycolmap.Image(name=row.file_name, keypoints=keypoints, camera_id=row.camera_id, image_id=row.image_id)
        image.frame_id = frame.frame_id
        return camera, self._rig_of(camera), image, frame

    def geometry(self, first: int, second: int) -> pycolmap.TwoViewGeometry:
        """The verified geometry of a pair, ``first`` < ``second``."""
        return self._colmap.read_two_view_geometry(first, second)

    def verified(self, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
        """Rows of ``matched_pairs``: of those ``pairs`` (smaller image id first) that were tried."""
        found = []
        for first, second in pairs:
            row = self._row("SELECT rows FROM two_view_geometries WHERE pair_id = ?", first * PAIR_BASE + second)
            if row is not None:
                found.append((first, second, row[0]))
        return np.array(found, np.int64).reshape(-1, 3)

    def matched_pairs(self) -> np.ndarray:
        """(M, 3) int64 smaller image id, larger image id, number of verified matches; every pair that was tried."""
        rows = self._sqlite.execute("SELECT pair_id, rows FROM two_view_geometries ORDER BY pair_id").fetchall()
        table = np.array(rows, np.int64).reshape(-1, 2)
        return np.column_stack([table[:, 0] // PAIR_BASE, table[:, 0] % PAIR_BASE, table[:, 1]])

    def inlier_matches(self, first: int, second: int) -> np.ndarray:
        """(M, 2) uint32 keypoint indices in the two images, ``first`` < ``second``."""
        row = self._row("SELECT data FROM two_view_geometries WHERE pair_id = ?", first * PAIR_BASE + second)
        return np.frombuffer((row and row[0]) or b"", np.uint32).reshape(-1, 2)

    def use_features(self, name: str) -> None:
        """Note that the map's keypoints are of this kind.

        Raises:
            UsageError: they are of another kind.
        """
        there = self._state("features") or ("sift" if self.images() else name)
        if there != name:
            raise UsageError(
                f"{self.path}: the map's keypoints are of kind {there}, which cannot be matched with {name}: go on with "
                f"reconstruction.features {there}, or choose another map folder"
            )
        self._set_state("features", name)

    def _state(self, key: str) -> Any:
        row = self._row("SELECT value FROM seg2d3d_state WHERE key = ?", key)
        return None if row is None else parse_json(row[0], "database.db", remedy=REMEDY)

    def _set_state(self, key: str, value: Any) -> None:
        self._sqlite.execute("INSERT OR REPLACE INTO seg2d3d_state VALUES (?, ?)", (key, json.dumps(value)))

    def datum(self) -> tuple[float, float, float] | None:
        """Latitude, longitude, altitude of the map's origin, once chosen."""
        value = self._state("datum")
        return None if value is None else (value[0], value[1], value[2])

    def set_datum(self, datum: tuple[float, float, float]) -> None:
        """Fix the map's origin."""
        self._set_state("datum", list(datum))

    def next_revision(self) -> int:
        """A number that grows with every call, over restarts too."""
        revision = int(self._state("revision") or 0) + 1
        self._set_state("revision", revision)
        return revision
