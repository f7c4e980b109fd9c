"""Whether a binary COLMAP model is whole, told from its bytes, before COLMAP sees them.

COLMAP believes the counts in its files: one wrong bit makes it ask for terabytes, read for ever, or end the process. Here every
count is compared with the file's length, every id with the file that defines it, and every number must be one. Time and
memory are those of the files' size. The formats are those of COLMAP 4 (src/colmap/scene/reconstruction_io_binary.cc).
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.camera import PARAMETERS

NO_POINT = np.iinfo(np.uint64).max
REMEDY = "take the map folder's 'sparse' away and make the map again with --resume, which keeps its features and matches"
"""What to do about a damaged model of a map."""
_FILES = ("cameras", "rigs", "frames", "images", "points3D")
_CAMERA = 0  # COLMAP's SensorType
_UNIT_TOLERANCE = 1e-6
_SAME_POSE = 1e-5
_LARGEST_SIDE = 1 << 20
_LARGEST_NUMBER = 1e12
_POINT = np.dtype([("id", "<u8"), ("xyz", "<f8", 3), ("rgb", "u1", 3), ("error", "<f8"), ("track", "<u8")])
_ELEMENT = np.dtype([("image", "<u4"), ("index", "<u4")])
_OBSERVATION = np.dtype([("xy", "<f8", 2), ("id", "<u8")])
_BLOCK = 100_000


def check_model(folder: Path, remedy: str = REMEDY) -> None:
    """Check the binary model in ``folder``.

    Raises:
        DataError: a file is missing, damaged, or does not fit the others; it is named, with the way out.
    """
    _Check(Path(folder), remedy).run()


class _Damaged(Exception):
    """What is wrong with the file that is being read."""


class _Reader:
    """Values of a file, one after the other; none lies behind its end."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            # Not read at once: a model of a city has gigabytes.
            self.data: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        self.at = 0

    def take(self, form: str) -> tuple[Any, ...]:
        """The next values by ``struct``'s letters, little-endian and packed."""
        end = self.at + struct.calcsize(f"<{form}")
        if end > len(self.data):
            raise _Damaged("it is cut off, or a count in it is wrong")
        values = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at = end
        return values

    def table(self, kind: np.dtype[Any], count: int) -> np.ndarray:
        """The next ``count`` records."""
        if count * kind.itemsize > len(self.data) - self.at:
            raise _Damaged(f"it is cut off, or a count in it is wrong ({count} where there is room for fewer)")
        found = np.frombuffer(self.data, kind, count, self.at)
        self.at += count * kind.itemsize
        return found

    def text(self) -> str:
        """The next text, which ends with a zero byte."""
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise _Damaged("a name has no end")
        raw, self.at = self.data[self.at : end], end + 1
        try:
            return bytes(raw).decode()
        except UnicodeDecodeError:
            raise _Damaged("a name is not text") from None

    def pose(self) -> np.ndarray:
        """(4, 4) float64 of the next quaternion and translation."""
        values = np.array(self.take("7d"))
        if not _sane(values) or abs(np.linalg.norm(values[:4]) - 1.0) > _UNIT_TOLERANCE:
            raise _Damaged("a pose is no rotation and translation")
        w, x, y, z = values[:4]
        matrix = np.eye(4)
        matrix[:3, :3] = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
        matrix[:3, 3] = values[4:]
        return matrix

    def end(self) -> None:
        """Nothing may follow."""
        if self.at != len(self.data):
            raise _Damaged(f"{len(self.data) - self.at} bytes follow its end")


class _Check:
    """What the files define, in the order in which they need each other."""

    def __init__(self, folder: Path, remedy: str) -> None:
        self._folder, self._remedy = folder, remedy
        self._camera_ids: set[int] = set()
        self._sensors: dict[int, dict[int, np.ndarray]] = {}  # of a rig: sensor_from_rig by camera
        self._placed: dict[int, tuple[int, np.ndarray]] = {}  # of an image: its camera, camera_from_world
        self._point_ids: dict[int, np.ndarray] = {}  # of an image: the 3D point of each keypoint

    def run(self) -> None:
        """Check all files."""
        if missing := [f"{name}.bin" for name in _FILES if not (self._folder / f"{name}.bin").is_file()]:
            raise DataError(f"{self._folder}: the COLMAP model lacks {', '.join(missing)}; {self._remedy}")
        for name, read in zip(_FILES, (self._cameras, self._rigs, self._frames, self._images, self._points), strict=True):
            path = self._folder / f"{name}.bin"
            try:
                reader = _Reader(path)
                (count,) = reader.take("Q")
                read(reader, count)
                reader.end()
            except OSError as error:
                raise DataError(f"{path}: cannot be read ({error.strerror}); {self._remedy}") from error
            except _Damaged as error:
                raise DataError(f"{path}: the COLMAP model is damaged: {error}; {self._remedy}") from error

    def _cameras(self, reader: _Reader, count: int) -> None:
        for _ in range(count):
            camera, model, width, height = reader.take("IiQQ")
            if not 0 <= model < len(PARAMETERS):
                raise _Damaged(f"camera {camera} has the unknown model {model}")
            params = reader.take(f"{list(PARAMETERS.values())[model]}d")
            if not (0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE and _sane(params) and params[0] > 0):
                raise _Damaged(f"camera {camera} has no possible size or parameters")
            _add_once(self._camera_ids, camera, "camera")

    def _rigs(self, reader: _Reader, count: int) -> None:
        for _ in range(count):
            rig, sensors = reader.take("II")
            mounts: dict[int, np.ndarray] = {}
            for k in range(sensors):
                kind, camera = reader.take("iI")
                if kind != _CAMERA or camera not in self._camera_ids:
                    raise _Damaged(f"rig {rig} has a sensor that is none of the cameras")
                placed = k == 0 or reader.take("?")[0]
                _add_once(mounts, camera, "sensor")
                mounts[camera] = np.eye(4) if k == 0 else reader.pose() if placed else np.full((4, 4), np.nan)
            _add_once(self._sensors, rig, "rig")
            self._sensors[rig] = mounts

    def _frames(self, reader: _Reader, count: int) -> None:
        frames: set[int] = set()
        for _ in range(count):
            frame, rig = reader.take("II")
            rig_from_world = reader.pose()
            (images,) = reader.take("I")
            if rig not in self._sensors:
                raise _Damaged(f"frame {frame} belongs to rig {rig}, which there is not")
            for _ in range(images):
                kind, camera, image = reader.take("iIQ")
                if kind != _CAMERA or camera not in self._sensors[rig]:
                    raise _Damaged(f"frame {frame} has an image of a camera that is not in its rig")
                _add_once(self._placed, image, "image")
                self._placed[image] = camera, self._sensors[rig][camera] @ rig_from_world
            _add_once(frames, frame, "frame")

    def _images(self, reader: _Reader, count: int) -> None:
        names: set[str] = set()
        for _ in range(count):
            (image,) = reader.take("I")
            pose = reader.pose()
            (camera,) = reader.take("I")
            _add_once(names, reader.text(), "name")
            (points,) = reader.take("Q")
            table = reader.table(_OBSERVATION, points)
            if camera not in self._camera_ids or self._placed.get(image, (-1,))[0] != camera:
                raise _Damaged(f"image {image} belongs to camera {camera}, which frames.bin or cameras.bin do not say")
            if not _sane(table["xy"]):
                raise _Damaged(f"a keypoint of image {image} is no place")
            _require_same_pose(pose, self._placed[image][1], image)
            _add_once(self._point_ids, image, "image")
            self._point_ids[image] = table["id"]

    def _points(self, reader: _Reader, count: int) -> None:
        tracks = _track_starts(reader, count)
        owner, index, point = [], [], []
        previous: set[int] = set()
        for start in range(0, count, _BLOCK):
            block = tracks[start : start + _BLOCK]
            head = _gather(reader.data, block - _POINT.itemsize, _POINT)
            if not (_sane(head["xyz"]) and _sane(head["error"])):
                raise _Damaged("a point is no place")
            ids, lengths = head["id"], head["track"].astype(np.int64)
            within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            elements = _gather(reader.data, np.repeat(block, lengths) + within * _ELEMENT.itemsize, _ELEMENT)
            owner.append(elements["image"])
            index.append(elements["index"])
            point.append(np.repeat(ids, lengths))
            if len(np.unique(ids)) < len(ids) or not previous.isdisjoint(ids.tolist()):
                raise _Damaged("a point is there twice")
            previous.update(ids.tolist())
        self._compare(*(np.concatenate(parts or [np.zeros(0, np.uint64)]) for parts in (owner, index, point)))

    def _compare(self, owner: np.ndarray, index: np.ndarray, point: np.ndarray) -> None:
        """Keypoints name their points in images.bin, and points their keypoints in points3D.bin; both must say the same."""
        said = sum(int((ids != NO_POINT).sum()) for ids in self._point_ids.values())
        order = np.argsort(owner, kind="stable")
        images, first = np.unique(owner[order], return_index=True)
        for image, rows in zip(images.tolist(), np.split(order, first[1:]), strict=False):
            ids = self._point_ids.get(image)
            if ids is None or (len(rows) and (index[rows].max() >= len(ids) or (ids[index[rows]] != point[rows]).any())):
                raise _Damaged(f"its points and the keypoints of image {image} in images.bin contradict each other")
        if said != len(owner):
            raise _Damaged(f"images.bin has {said} observations of points, it has {len(owner)}")


def _track_starts(reader: _Reader, count: int) -> np.ndarray:
    """Where each point's track begins; the reader stands behind the last point."""
    room = len(reader.data) - reader.at - count * _POINT.itemsize
    if room < 0 or room % _ELEMENT.itemsize:
        raise _Damaged("it is cut off, or a count in it is wrong")
    starts = np.empty(count, np.int64)
    at, length = reader.at, struct.Struct("<Q")
    for k in range(count):
        at += _POINT.itemsize
        if at > len(reader.data):
            raise _Damaged("it is cut off, or a count in it is wrong")
        starts[k] = at
        at += _ELEMENT.itemsize * length.unpack_from(reader.data, at - length.size)[0]
    if at > len(reader.data):
        raise _Damaged("it is cut off, or a count in it is wrong")
    reader.at = at
    return starts


def _gather(data: Any, offsets: np.ndarray, kind: np.dtype[Any]) -> np.ndarray:
    """Records of ``kind`` at these bytes."""
    places = offsets[:, None] + np.arange(kind.itemsize)
    return np.frombuffer(data, np.uint8)[places].view(kind)[:, 0] if len(offsets) else np.zeros(0, kind)


def _sane(values: Any) -> bool:
    """Whether all are numbers that a length, a place or a parameter can have."""
    return bool((np.abs(values) < _LARGEST_NUMBER).all())


def _add_once(known: Any, key: Any, what: str) -> None:
    if key in known:
        raise _Damaged(f"{what} {key} is there twice")
    if isinstance(known, set):
        known.add(key)


def _require_same_pose(one: np.ndarray, other: np.ndarray, image: int) -> None:
    """COLMAP writes an image's pose twice, with the image and with its frame."""
    scale = max(1.0, float(np.abs(one[:3, 3]).max()))
    if not np.isnan(other).any() and np.abs(one - other).max() > _SAME_POSE * scale:
        raise _Damaged(f"image {image} has another pose than in frames.bin")
