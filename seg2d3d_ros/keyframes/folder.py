"""Keyframes from a folder of photographs: every readable image is one."""

from __future__ import annotations

import logging
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import EXAMPLES, Finding, Findings, Kind, printable
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.panorama.equirectangular import Equirectangular
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.image_files import TooManyPixels, UnreadFormat, damage
from seg2d3d_ros.images import decode_small_gray
from seg2d3d_ros.keyframes import photo_findings as kinds
from seg2d3d_ros.keyframes.camera_file import CameraFile, read_camera_file
from seg2d3d_ros.keyframes.folder_scan import FORMAT_NOT_READ, FolderScan, PhotoFile, scan_folder
from seg2d3d_ros.keyframes.panoramas.panorama import is_two_to_one, looks_like_panorama, shape_of
from seg2d3d_ros.keyframes.panoramas.panorama_cutting import (
    PANORAMAS,
    PANORAMAS_NOT_READ,
    cut_panorama,
    view_name,
    views_of,
    what_views_show,
)
from seg2d3d_ros.keyframes.photo_header import GeoProblem, PhotoHeader, read_header
from seg2d3d_ros.keyframes.positions.image_positions import positions_of_table, tell_missing
from seg2d3d_ros.keyframes.positions.pose_rows import PoseSource
from seg2d3d_ros.sections.keyframe_config import KeyframeConfig
from seg2d3d_ros.types import Keyframe

log = logging.getLogger(__name__)

MIN_SIDE = 32
"""Pixels: images with a shorter side have nothing to tell them by."""
MAX_ELONGATION = 20
"""Longer by shorter side: strips beyond are no photographs."""

# Nanoseconds since the epoch have 19 digits from 2001 to 2286.
_STREAM_STEM = re.compile(r"(?P<camera>.+)_(?P<stamp>\d{19})")


class _LeftOut(Exception):
    """A photograph is not used: of which kind that is, and why in words."""

    def __init__(self, kind: Kind, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


class ImageFolder:
    """The keyframes of a folder, read one by one while iterating, so that a big folder needs no memory. A panorama is several.

    Cameras and positions are those given; None = what each image's header says.

    ``len()`` is the number of images that will be tried. Iterating again reads again.

    Attributes:
        skipped: by name, why images were left out so far; complete after an iteration.
    """

    def __init__(
        self,
        root: Path,
        scan: FolderScan,
        cameras: CameraFile | None,
        positions: Mapping[str, GeoPosition] | None,
        poses: PoseSource | None,
        findings: Findings,
        config: KeyframeConfig,
    ):
        self.root, self._config = root, config
        self._photos, self._not_tried = scan.photos, scan.left_out
        self._cameras, self._positions, self._poses, self._findings = cameras, positions, poses, findings
        self._seen: dict[Kind, list[tuple[str, dict[str, Any]]]] = {}
        self._problems: Counter[GeoProblem] = Counter()
        self._located: dict[str, bool] = {}
        self._without_pose: list[str] = []
        self.skipped: dict[str, str] = {}
        self._start()

    def __len__(self) -> int:
        return len(self._photos)

    @property
    def photos(self) -> list[tuple[str, str]]:
        """The name and file name of each image, without reading it."""
        return [(photo.name, photo.file_name) for photo in self._photos]

    def __iter__(self) -> Iterator[Keyframe]:
        """Yield the readable images.

        Raises:
            DataError: at the end, if not one image could be read.
        """
        self._start()
        kept = 0
        for photo in self._photos:
            try:
                keyframes = self._read(photo)
            except _LeftOut as error:
                log.warning("left out: %s", printable(error.reason))
                self.skipped[photo.name] = error.reason
                self._note(error.kind, photo.file_name, reason=error.reason.removeprefix(f"{photo.path}: "))
                continue
            kept += 1
            yield from keyframes
        if self._positions is None:
            self._tell_positions()
        if self._poses is not None:
            self._poses.tell(self._without_pose, kept, self._findings)
        if not kept:
            reasons = "; ".join(self._finding(kind).text for kind in self._seen)
            raise DataError(f"{self.root}: none of {len(self._photos)} images can be used: {reasons}")

    def _start(self) -> None:
        """Forget what an earlier iteration found."""
        self._seen, self._problems, self._located, self._without_pose = {}, Counter(), {}, []
        self.skipped = {name: item.reason for name, item in self._not_tried.items()}
        for name, item in self._not_tried.items():
            self._note(item.kind, name, reason=item.reason.removeprefix(f"{self.root / name}: "), kept=item.kept)

    def _note(self, kind: Kind, name: str, **details: Any) -> None:
        """Count a photograph; whoever reads the findings meanwhile sees the number so far, once per iteration."""
        self._seen.setdefault(kind, []).append((name, details))
        self._findings.put(self._finding(kind))

    def _finding(self, kind: Kind) -> Finding:
        names = [name for name, _ in self._seen[kind]]
        _, details = self._seen[kind][0]
        return Finding(kind, len(names), len(self._photos) + len(self._not_tried), tuple(names[:EXAMPLES]), details)

    def _read(self, photo: PhotoFile) -> Sequence[Keyframe]:
        encoded, header, panorama = self._usable(photo)
        camera_name, stamp = photo.camera_name, header.stamp_ns
        if match := _STREAM_STEM.fullmatch(photo.path.stem):
            stamp = int(match["stamp"])
            camera_name = camera_name or match["camera"]
        camera_name = camera_name or re.sub(r"\W+", "_", header.device).strip("_") or "camera"
        geo = self._position(header, photo) if self._positions is None else self._positions.get(photo.name)
        row = self._poses.of(photo, stamp) if self._poses else None
        if self._poses is not None and row is None:
            self._without_pose.append(photo.name)
        keyframe = Keyframe(
            name=photo.name,
            camera_name=camera_name,
            stamp_ns=stamp,
            encoded=encoded,
            camera=None if panorama else self._camera(camera_name, header, photo),
            geo=row.geo if row is not None and row.geo is not None else geo,
            file_name=photo.file_name,
            source=str(photo.path.resolve()),
            given=row.given if row is not None else None,
        )
        return [keyframe] if panorama is None else self._cut(keyframe, panorama)

    def _cut(self, panorama: Keyframe, shape: Equirectangular) -> list[Keyframe]:
        """The views of a panorama.

        Raises:
            _LeftOut: it cannot be decoded, or a view would have the name of a photograph.
        """
        views = views_of(panorama, shape, self._config.panorama_views)
        if taken := {view_name(view, panorama.stamp_ns) for view in views} & {photo.name for photo in self._photos}:
            reason = f"{panorama.source}: its view {min(taken)} would have the name of another image"
            raise _LeftOut(PANORAMAS_NOT_READ, reason)
        try:
            keyframes = list(cut_panorama(panorama, views))
        except DataError as error:
            raise _LeftOut(kinds.UNREADABLE, str(error)) from error
        self._note(PANORAMAS, panorama.file_name, **what_views_show(views))
        return keyframes

    def _usable(self, photo: PhotoFile) -> tuple[bytes, PhotoHeader, Equirectangular | None]:
        """A file's content and header, and what it shows if it is a panorama.

        Raises:
            _LeftOut: it cannot be used; found now, not in the middle of the reconstruction.
        """
        source = str(photo.path)
        try:
            encoded = photo.path.read_bytes()
            header = read_header(encoded, source)
            self._require_shape(header, source)
            gray = decode_small_gray(encoded, source=source)
        except OSError as error:
            raise _LeftOut(kinds.UNREADABLE, f"{source}: cannot be read ({error.strerror or error})") from error
        except UnreadFormat as error:
            raise _LeftOut(FORMAT_NOT_READ, str(error)) from error
        except TooManyPixels as error:
            raise _LeftOut(kinds.TOO_LARGE, str(error)) from error
        except DataError as error:
            raise _LeftOut(kinds.UNREADABLE, str(error)) from error
        shape = self._panorama(header, gray, source)
        self._doubt(photo, header, encoded)
        return encoded, header, shape

    def _panorama(self, header: PhotoHeader, gray: np.ndarray, source: str) -> Equirectangular | None:
        width, height, which = header.width, header.height, self._config.panorama
        looks = is_two_to_one(width, height) if which == "always" else looks_like_panorama(gray, width, height)
        if which == "never" or not (header.panorama or looks):
            return None
        try:
            return shape_of(header.panorama, width, height)
        except DataError as error:
            raise _LeftOut(PANORAMAS_NOT_READ, f"{source}: {error}") from error

    def _require_shape(self, header: PhotoHeader, source: str) -> None:
        shorter, longer = sorted((header.width, header.height))
        if shorter < MIN_SIDE:
            raise _LeftOut(kinds.TOO_SMALL, f"{source}: only {header.width}×{header.height} pixels")
        if longer > MAX_ELONGATION * shorter:
            raise _LeftOut(kinds.TOO_SMALL, f"{source}: a strip of {header.width}×{header.height} pixels")

    def _doubt(self, photo: PhotoFile, header: PhotoHeader, encoded: bytes) -> None:
        """Say what is odd about a photograph that is used nevertheless."""
        if words := damage(encoded):
            self._note(kinds.DAMAGED, photo.file_name, words=words)
        if header.orientation in (3, 6, 8):
            self._note(kinds.TURNED, photo.file_name)
        elif header.orientation != 1:
            self._note(kinds.MIRRORED, photo.file_name)
        if header.pages > 1:
            self._note(kinds.SEVERAL_PAGES, photo.file_name)

    def _camera(self, camera_name: str, header: PhotoHeader, photo: PhotoFile) -> Camera | None:
        """By the calibration file; as the photo's header says where there is none or it does not fit."""
        if self._cameras is None:
            return header.camera
        camera, kind, details = kinds.fit_calibration(self._cameras, camera_name, header.width, header.height)
        if kind is not None:
            self._note(kind, photo.file_name, **details)
        return camera or header.camera

    def _position(self, header: PhotoHeader, photo: PhotoFile) -> GeoPosition | None:
        self._located[photo.name] = header.geo is not None
        if header.geo_problem is not None:
            self._problems[header.geo_problem] += 1
            if kind := kinds.OF_PROBLEM.get(header.geo_problem):
                self._note(kind, photo.file_name)
        return header.geo

    def _tell_positions(self) -> None:
        """In one line, where at least one photograph has a position in its tags."""
        seen = len(self._located) - self._problems[GeoProblem.NONE_SEEN]
        if seen:
            refused = [(count, why.value) for why, count in self._problems.items() if why is not GeoProblem.NONE_SEEN]
            missing = [name for name, there in self._located.items() if not there]
            tell_missing(missing, len(self._located), len(self._located) - len(missing), seen, refused, self._findings)


def read_folder(
    images: Path,
    *,
    camera: Path | None = None,
    gps: str | Path | None = "exif",
    poses: Callable[[Sequence[PhotoFile], Findings], PoseSource] | None = None,
    order: str = "name",
    findings: Findings | None = None,
    config: KeyframeConfig | None = None,
) -> ImageFolder:
    """Open a folder of unordered photographs.

    Images directly in the folder count; if there are none, each sub-folder at any depth is one camera (``front/0001.jpg``
    gets the name ``front_0001``). Else the camera is the ``<camera>`` of a stem ``<camera>_<stamp ns>``, the EXIF make and
    model, or ``camera``; one camera may deliver several sizes. Of files that share a stem (``a.jpg``, ``a.png``) the first
    kind of ``IMAGE_SUFFIXES`` is taken. What cannot be used is skipped with a reason.

    Pixels are used as they are stored, whatever the EXIF orientation says, as COLMAP does.

    Args:
        images: the folder.
        camera: file with the intrinsics; else EXIF, else unknown (None).
        gps: ``"exif"``, a table, or None (or ``"none"``) for no positions.
        poses: makes of the photographs, in the order of their names, what knows their poses; a place that this says counts
            more than one of ``gps``.
        findings: gets what is not used, and what is doubtful.
        order: ``"name"`` (numbers count as numbers) or ``"shuffle:SEED"``.
        config: says which images are panoramas.

    Raises:
        UsageError: no such folder, or a bad ``order``, ``camera`` or ``gps``.
        DataError: no image in it.
    """
    root, findings = Path(images), Findings() if findings is None else findings
    scan = scan_folder(root)
    for kind, count in Counter(item.kind for item in scan.left_out.values()).items():
        log.warning("left out: %d %s", count, kind.what)
    source = None if poses is None else poses(scan.photos, findings)
    _put_in_order(scan.photos, order)
    cameras = None if camera is None else read_camera_file(Path(camera))
    positions: dict[str, GeoPosition] | None = None if str(gps) == "exif" else {}
    if gps is not None and str(gps) not in ("exif", "none"):
        positions = positions_of_table(Path(gps), scan.photos, findings)
    return ImageFolder(root, scan, cameras, positions, source, findings, config or KeyframeConfig())


def _put_in_order(photos: list[PhotoFile], order: str) -> None:
    kind, _, seed = order.partition(":")
    if order == "name":
        return
    if kind != "shuffle" or not re.fullmatch(r"\d+", seed):
        raise UsageError(f"order {order!r}: write 'name' or 'shuffle:SEED' with a whole number, e.g. shuffle:1")
    random.Random(int(seed)).shuffle(photos)
