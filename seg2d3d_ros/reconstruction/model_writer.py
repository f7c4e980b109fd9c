"""The folder ``sparse`` of a map: all models of the last revision, replaced as a whole or not at all."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.mapstore.files.covariance_file import write_covariance
from seg2d3d_ros.mapstore.pose_covariance import PoseCovariance
from seg2d3d_ros.reconstruction import model_io
from seg2d3d_ros.reconstruction.database import FeatureDatabase, ImageRow
from seg2d3d_ros.reconstruction.model_check import check_model
from seg2d3d_ros.types import SparseModel, WorldFrame

FORMER_MODEL_DAMAGED = Kind(
    "former_model_damaged",
    "models of the map's last state that are damaged",
    cause="{reason}",
    remedy="nothing, unless it comes again (then look at the disk): points that were in them have new ids",
)
MADE_ANEW = "it was made anew from its features and matches"
NOT_WRITTEN = "free space on the disk or choose another folder"


class ModelWriter:
    """Owns ``root/sparse``; what a killed process left of it is put in order.

    Args:
        root: the map folder; an attribute, too.
        database: counts the revisions.
    """

    def __init__(self, root: Path, database: FeatureDatabase) -> None:
        self.root, self._sparse, self._database = root, root / "sparse", database
        recover_folder(self._sparse)

    def keypoint_ids(self, *, findings: Findings | None = None) -> dict[int, np.ndarray]:
        """Image id -> (N,) int64 point id of each keypoint in the last revision, -1 = none.

        Args:
            findings: gets models that were damaged since they were written, whose ids are left out; None where they are
                known to be whole.
        """
        found: dict[int, np.ndarray] = {}
        for folder in model_io.model_folders(self.root):
            if findings is not None:
                try:
                    check_model(folder, MADE_ANEW)
                except DataError as error:
                    findings.add(FORMER_MODEL_DAMAGED, folder.name, reason=error)
                    continue
            found.update(model_io.keypoint_ids(folder))
        return found

    def write(
        self, solved: Sequence[pycolmap.Reconstruction], frames: Sequence[WorldFrame], rows: Sequence[ImageRow]
    ) -> list[SparseModel]:
        """Write all models, the largest first, to a new folder and put it in the place of ``sparse``.

        Args:
            solved: their images get the names of their files.
            frames: what the coordinates of each model mean.
            rows: all images of the map.

        Raises:
            DataError: the folder cannot be written.
        """
        names = {row.file_name: row.name for row in rows}
        files = {row.image_id: row.file_name for row in rows}
        revision = self._database.next_revision()
        fresh = self.root / f".sparse.{uuid.uuid4().hex[:12]}"
        models = []
        try:
            fresh.mkdir(parents=True)
            for k, (model, frame) in enumerate(zip(solved, frames, strict=True)):
                for image_id in list(model.images):
                    model.image(image_id).name = files[image_id]
                folder = fresh / str(k)
                folder.mkdir(parents=True)
                model.write_binary(folder)
                check_model(folder, NOT_WRITTEN)  # COLMAP does not notice that a disk is full
                model_io.write_frame(folder, frame, revision, names)
                models.append(model_io.sparse_model(model, names, frame=frame, component=k, revision=revision, folder=folder))
            swap_folder(fresh, self._sparse)
        except (OSError, RuntimeError, ValueError) as error:  # COLMAP says ValueError where a file cannot be opened
            reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[-1]
            raise DataError(f"{self._sparse}: cannot be written ({reason}); {NOT_WRITTEN}") from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return models

    def write_covariance(self, model: SparseModel, covariance: PoseCovariance) -> None:
        """Put the covariance of a written model's poses beside it. Raises ``DataError`` where it cannot be written."""
        write_covariance(self._sparse / str(model.component), covariance, model.revision)


def swap_folder(fresh: Path, target: Path) -> None:
    """Put ``fresh`` in the place of ``target``; a crash in between is mended by ``recover_folder``.

    Raises:
        OSError: that is impossible; ``target`` is as before.
    """
    old = target.with_name(f".{target.name}.former")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    try:
        fresh.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(target: Path) -> None:
    """Bring back the former content where ``swap_folder`` was killed half-way, and clear its left-overs."""
    old = target.with_name(f".{target.name}.former")
    if old.exists() and not target.exists():
        old.rename(target)
    for leftover in [old, *target.parent.glob(f".{target.name}.*")]:
        shutil.rmtree(leftover, ignore_errors=True)
