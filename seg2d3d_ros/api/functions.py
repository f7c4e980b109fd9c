"""The functions of the package: make a map, open one, associate masks over a model of one's own."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.api.opened_map import OpenedMap
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.types import Instances, Segments, SparseModel

MASKS_WITHOUT_IMAGE = Kind(
    "api_masks_without_image",
    "mask images that belong to no image of the model",
    cause="masks are found by the image's name in the model, with or without its ending, and none there is called like them",
    remedy="call the masks like the images of the model",
)


def run(
    images: Path | str, *, out: Path | str, label: str | None = None, segments: Path | str | None = None, **options: Any
) -> OpenedMap:
    """Make a map of a folder of images, as ``seg2d3d run`` does, and open it.

    Args:
        images: a folder, or a video.
        out: the map directory.
        label: what to look for, e.g. "building".
        segments: ready masks: a folder or a COCO file.
        **options: any option of the command by its name with underscores: ``gps="none"``, ``densify=True``, ``recover=False``.

    Raises:
        UsageError: there is no such option or value.
        DataError: the data did not allow a result; the message says why.
    """
    from seg2d3d_ros.cli.main import build_parser
    from seg2d3d_ros.cli.making.run import run as run_command

    words = ["run", str(images), "--out", str(out)]
    for name, value in {"label": label, "segments": segments, **options}.items():
        words += _option(name, value)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            args = build_parser("run").parse_args(words)
    except SystemExit as error:
        raise UsageError(said.getvalue().strip().rpartition("error: ")[2] or "wrong use") from error
    code = run_command(args)
    if code:
        raise DataError(f"{out}: no result; {said.getvalue().strip()}")
    return OpenedMap(out)


def open_map(path: Path | str, *, edits: bool = True) -> OpenedMap:
    """Open a map directory to read it.

    Args:
        edits: with the corrections that people made; False = as the software made it.

    Raises:
        DataError: it is none, or damaged.
    """
    return OpenedMap(path, edits=edits)


@dataclass(frozen=True)
class Association:
    """Which masks and points are the same object.

    Attributes:
        instances: as the methods give them: by segment and by point.
        labels: (H, W) uint16 by image name: the instance of each pixel, glued masks cut.
        point_ids: (P,) int64, ids of the model's points; ``point_instance`` (P,) int64 their instance, 0 = none.
        findings: what is doubted.
    """

    instances: Instances
    labels: Mapping[str, np.ndarray]
    point_ids: np.ndarray
    point_instance: np.ndarray
    findings: Findings


def associate(
    model: SparseModel | Path | str,
    masks: Mapping[str, np.ndarray],
    images: Mapping[str, np.ndarray] | None = None,
    **options: Any,
) -> Association:
    """Find out which masks show the same object, over a COLMAP model of one's own.

    Args:
        model: a folder with a COLMAP model, or a model as arrays.
        masks: (H, W) integer arrays by image name (of the model, with or without ending): 0 = none, else the number of a mask.
        images: (H, W, 3) uint8 RGB by the same names, to look for more points in; None = the model's points are enough.
        **options: parameters of the section ``association``: ``method="published"``, ``repair=False``.

    Raises:
        UsageError: there is no such parameter.
        DataError: the model cannot be read, or a mask does not fit its image.
    """
    from seg2d3d_ros.association.incidence import build_incidence
    from seg2d3d_ros.association.masks.repair import Repair
    from seg2d3d_ros.association.points.point_evidence import PointEvidence
    from seg2d3d_ros.association.solve import associate as solve
    from seg2d3d_ros.association.solve import projects, stacked_up, stacked_xyz
    from seg2d3d_ros.config import load_config

    config = load_config(overrides={f"association.{name}": value for name, value in options.items()}).association
    sparse = model if isinstance(model, SparseModel) else _read_model(Path(model))
    findings = Findings()
    known = {name: name for name in sparse.names} | {Path(name).stem: name for name in sparse.names}
    named: dict[str, np.ndarray] = {}
    pictures: dict[str, np.ndarray] = {}
    for name, labels in masks.items():
        keyframe = known.get(name) or known.get(Path(name).stem)
        if keyframe is None:
            findings.add(MASKS_WITHOUT_IMAGE, name, of=len(masks))
            continue
        named[keyframe] = _numbers(name, labels)
        if images is not None:
            if name not in images:
                raise UsageError(f"images: has none for {name}; give the image of every mask, or no images")
            pictures[keyframe] = images[name]
    if not named:
        raise DataError(
            f"none of the {len(masks)} masks belongs to an image of the model; its images are {', '.join(sparse.names[:3])}, …"
        )
    segments = {name: _segments(name, labels) for name, labels in named.items()}
    evidence = PointEvidence(config)
    models = evidence.of_everything([sparse], segments, None if images is None else pictures)
    findings.update(evidence.findings)
    incidence = build_incidence(models, segments, project=projects(config))
    instances = solve(incidence, stacked_xyz(models), config, stacked_up(models))
    repair = Repair(incidence, instances)
    drawn = {name: repair(item).labels.image() for name, item in segments.items()}
    own = np.isin(incidence.point_ids, sparse.point_ids)
    return Association(instances, drawn, incidence.point_ids[own], instances.point_instance[own], findings)


def _numbers(name: str, labels: np.ndarray) -> np.ndarray:
    """(H, W) uint16. Raises ``DataError`` where a value would become another one."""
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "biu" or (labels.size and not 0 <= labels.min() <= labels.max() < 2**16):
        raise DataError(f"the mask of {name} is no (H, W) array of whole numbers from 0 to 65535")
    return labels.astype(np.uint16)


def _segments(name: str, labels: np.ndarray) -> Segments:
    ids = np.unique(labels[labels > 0])
    return Segments(name, labels, ids, np.ones(len(ids), np.int32), np.ones(len(ids), np.float32))


def _read_model(folder: Path) -> SparseModel:
    from seg2d3d_ros.reconstruction.model_io import open_model, sparse_model

    return sparse_model(open_model(folder), {}, folder=folder)


def _option(name: str, value: Any) -> list[str]:
    """An option of the command line."""
    flag = "--" + name.replace("_", "-")
    if value is None:
        return []
    if value is True:
        return [flag]
    if value is False:
        return ["--no-" + flag[2:]]
    if isinstance(value, (list, tuple)):
        return [word for item in value for word in (flag, str(item))]
    return [flag, str(value)]
