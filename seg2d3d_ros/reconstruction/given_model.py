"""A finished COLMAP model, from COLMAP, hloc or anybody, in the place of a reconstruction of our own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import EXAMPLES, Finding, Kind
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.vertical.camera_up import CameraUp, held_as
from seg2d3d_ros.geometry.vertical.verticals import verticals
from seg2d3d_ros.image_files import stored_orientation
from seg2d3d_ros.progress import Progress, Stopwatch
from seg2d3d_ros.reconstruction.database import FeatureDatabase, ImageRow
from seg2d3d_ros.reconstruction.model_check import check_model
from seg2d3d_ros.reconstruction.model_writer import ModelWriter
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction, Reconstructor
from seg2d3d_ros.reconstruction.viewgraph import by_size, only_images
from seg2d3d_ros.reconstruction.world.locator import FRAME_KEPT
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig
from seg2d3d_ros.types import Keyframe, WorldFrame

MODEL_IMAGES_ABSENT = Kind(
    "model_images_absent",
    "images of the given model without a photograph",
    cause="no photograph among the images has their name",
    remedy="give the folder that the model was made of; the points that only these images see are left out",
)
SAME_SHAPE = 0.01
"""Relative difference of two aspect ratios that counts as none: sizes are whole pixels."""
NOT_IN_MODEL, NO_POSE = "the given model has no image of this name", "the given model has no pose for it"
GIVE_ANOTHER = "give a whole model, as COLMAP writes it"
GIVE_ONE = "give the folder of one of them"


@dataclass(frozen=True)
class _Photograph:
    """What is kept of a keyframe: who it is, its size, and its place among the models: which one, and the image's id there."""

    row: ImageRow
    size: tuple[int, int]
    place: tuple[int, int]


class GivenModel(Reconstructor):
    """Takes the poses, cameras, points, frame and names of a model as they are.

    An image is found in the model by its name (``left/0001.jpg``), else by the end of its name if only one image of the model
    has it. Photographs of another size than the model's images, but of the same shape, are theirs scaled.

    Args:
        root: the map folder.
        config: its ``model`` is the folder of the model, or that above several (``0``, ``1``, …), as COLMAP writes them.

    Raises:
        UsageError: there is no model.
        DataError: it is damaged.
    """

    def __init__(self, root: Path, config: ReconstructionConfig) -> None:
        self._models = sorted((open_given(folder) for folder in given_folders(Path(config.model))), key=by_size)
        self._watch = Stopwatch()
        self._database = FeatureDatabase(Path(root) / "database.db")
        self._writer = ModelWriter(Path(root), self._database)
        self._photographs: dict[str, _Photograph] = {}
        self._taken: dict[tuple[int, int], str] = {}
        self._lacking: dict[str, str] = {}
        self._by_name = {
            image.name: (k, image_id) for k, m in reversed([*enumerate(self._models)]) for image_id, image in m.images.items()
        }
        ends = Counter(PurePosixPath(name).name for name in self._by_name)
        self._by_end = {end: at for name, at in self._by_name.items() if ends[end := PurePosixPath(name).name] == 1}

    @property
    def names(self) -> tuple[str, ...]:
        """See ``Reconstructor``."""
        return (*self._photographs, *self._lacking)

    def close(self) -> None:
        """See ``Reconstructor``."""
        self._database.close()

    def add(self, keyframe: Keyframe, ignore: np.ndarray | None = None) -> int:
        """See ``Reconstructor``; ``ignore`` changes nothing, because the points are there."""
        file_name = PurePosixPath(keyframe.file_name)
        place = self._by_name.get(str(file_name)) or self._by_end.get(file_name.name)
        if place is None:
            self._lacking[keyframe.name] = NOT_IN_MODEL
            return 0
        if (other := self._taken.setdefault(place, keyframe.name)) != keyframe.name:
            raise DataError(f"{keyframe.source or file_name}: the given model has one image for it and for {other}")
        model = self._models[place[0]]
        camera, (width, height) = model.camera(model.image(place[1]).camera_id), keyframe.size
        if abs(width * camera.height / (height * camera.width) - 1.0) > SAME_SHAPE:
            raise DataError(
                f"{keyframe.source or file_name}: {width}×{height} pixels, in the given model {camera.width}×{camera.height}; "
                "give the pictures that the model was made of (undistorted ones for the model of `image_undistorter`)"
            )
        identity = (keyframe.name, keyframe.file_name, keyframe.camera_name, keyframe.stamp_ns)
        up = CameraUp.of_exif(stored_orientation(keyframe.encoded))
        row = ImageRow(place[1], 0, *identity, 0, keyframe.geo, up=up)
        self._photographs[keyframe.name] = _Photograph(row, keyframe.size, place)  # not its pixels: there may be thousands
        return 0

    def solve(self, progress: Progress | None = None) -> Reconstruction:
        """See ``Reconstructor``."""
        models, rows, absent = [], [], []
        with self._watch("writing"):
            for k, model in enumerate(self._models):
                taken = {p.place[1]: p for p in self._photographs.values() if p.place[0] == k}
                posed = [i for i in taken if model.image(i).has_pose]
                others = (model.image(i).name for i in model.reg_image_ids() if i not in taken)
                absent += [name for name in others if self._by_name[name][0] == k]  # else a larger model has it
                if posed:
                    models.append(_resized(only_images(model, posed), taken))
                    rows += [taken[image_id].row for image_id in posed]
            _require_distinct(rows)
            frames = [WorldFrame(up=_up(model, rows)) for model in models]
            written = self._writer.write(models, frames, rows)
        placed = {name for model in written for name in model.names}
        reasons = {name: self._lacking.get(name, NO_POSE) for name in self.names if name not in placed}
        total = len(absent) + len(self._photographs)
        findings = [Finding(MODEL_IMAGES_ABSENT, len(absent), total, tuple(absent[:EXAMPLES]))] if absent else []
        located = [name for name, photograph in self._photographs.items() if photograph.row.geo is not None]
        if located:
            findings.append(
                Finding(FRAME_KEPT, len(located), len(self._photographs), tuple(located[:EXAMPLES]), {"what": "model"})
            )
        return Reconstruction(written, reasons, self._watch.take(), findings)


def given_folders(path: Path) -> list[Path]:
    """The folders of the models in ``path``: itself, its ``sparse``, or those below that are called by numbers.

    Raises:
        UsageError: there is none.
    """
    for folder in (path, path / "sparse"):
        for found in ([folder], sorted(f for f in folder.glob("[0-9]*") if f.is_dir())):
            if models := [f for f in found if any((f / f"images{end}").is_file() for end in (".bin", ".txt"))]:
                return models
    raise UsageError(f"{path}: no COLMAP model there (cameras, images and points3D, as .bin or .txt)")


def open_given(folder: Path) -> pycolmap.Reconstruction:
    """A model that somebody else wrote, also one of before COLMAP knew rigs.

    Raises:
        DataError: it is damaged.
    """
    if (folder / "rigs.bin").is_file():
        check_model(folder, GIVE_ANOTHER)
    try:
        model = pycolmap.Reconstruction(folder)
        for i in model.reg_image_ids():  # frames and images that do not belong together show here
            model.image(i).cam_from_world()
        return model
    except (RuntimeError, ValueError, LookupError, OSError, MemoryError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise DataError(f"{folder}: COLMAP cannot read the model ({reason}); {GIVE_ANOTHER}") from error


def _up(model: pycolmap.Reconstruction, rows: Sequence[ImageRow]) -> tuple[float, float, float]:
    """The likeliest vertical of a model's own frame, by its photographs and their EXIF orientation."""
    told = {row.image_id: row.up for row in rows}
    ids = sorted(model.reg_image_ids())
    poses = Pose.stack([Pose.from_colmap(model.image(i).cam_from_world()) for i in ids])
    x, y, z = verticals(poses, [held_as(told.get(i), None) for i in ids])[0].direction.tolist()
    return x, y, z


def model_poses(folder: Path) -> dict[str, Pose]:
    """Name of an image -> ``world_from_camera`` of the model in a folder, the largest one where there are several.

    Raises:
        UsageError: there is no model.
        DataError: it is damaged, or has no pose.
    """
    model = min((open_given(one) for one in given_folders(folder)), key=by_size)
    images = [model.image(i) for i in model.reg_image_ids()]
    poses = {image.name: Pose.from_colmap(image.cam_from_world()).inverse() for image in images}
    if not poses:
        raise DataError(f"{folder}: no image of the model has a pose; {GIVE_ANOTHER}")
    return poses


def _require_distinct(rows: Sequence[ImageRow]) -> None:
    """Images of several models must not share a number: those of one COLMAP database do not."""
    if len({row.image_id for row in rows}) < len(rows):
        raise DataError(f"the given models number different images alike, so they are of different databases; {GIVE_ONE}")


def _resized(model: pycolmap.Reconstruction, photographs: Mapping[int, _Photograph]) -> pycolmap.Reconstruction:
    """The model with cameras and keypoints of the photographs' size, in place.

    Raises:
        DataError: photographs of one camera have different sizes.
    """
    sizes: dict[int, tuple[int, int]] = {}
    for image_id in sorted(model.reg_image_ids()):
        camera, size = model.camera(model.image(image_id).camera_id), photographs[image_id].size
        if sizes.setdefault(camera.camera_id, size) != size:
            raise DataError(
                f"{photographs[image_id].row.file_name}: {size[0]}×{size[1]} pixels, others of its camera in the given model "
                f"{sizes[camera.camera_id][0]}×{sizes[camera.camera_id][1]}; give pictures of one size"
            )
    scale = {i: np.divide(size, (model.camera(i).width, model.camera(i).height)) for i, size in sizes.items()}
    for image_id in model.reg_image_ids():
        image = model.image(image_id)
        if (scale[image.camera_id] != 1.0).any():
            for point in image.points2D:
                point.xy = point.xy * scale[image.camera_id]
    for camera_id, (width, height) in sizes.items():
        if (scale[camera_id] != 1.0).any():
            model.camera(camera_id).rescale(width, height)
    return model
