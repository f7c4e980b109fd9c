"""Another granularity for a map that is there: its models and masks stay, the tree's cut and all that follows is made anew."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from seg2d3d_ros.config import Config
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.mapstore.directory.inventory import delete_own, take_inventory
from seg2d3d_ros.mapstore.directory.marker import MARKER_FILE
from seg2d3d_ros.mapstore.directory.swap import building_path
from seg2d3d_ros.mapstore.held_map import real
from seg2d3d_ros.mapstore.new_map import NewMap
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.association_session import AssociationSession
from seg2d3d_ros.pipeline.figures import emptiness, reconstruction_counts, write_association_figures
from seg2d3d_ros.pipeline.labelled_revision import LabelledRevision
from seg2d3d_ros.progress import Progress

_MADE_ANEW = ("labels", "overlays")
"""Folders that another granularity writes again."""
_OF_ASSOCIATION = ("nothing_to_associate", "masks_without_object", "segments_without_points", "segments_without_instance")
_OF_LABELS = ("masks_spread", "impossible_labels", "masks_without_node")


def copy_map(source: Path, target: Path, made_anew: Sequence[str] = _MADE_ANEW) -> None:
    """Bring a map's files, but for folders that are made anew, into an empty map directory. What lies in folders is only ever
    replaced whole, so that a hard link does; files at the top may be written in place and are copied.

    Raises:
        DataError: the disk is full, or a file cannot be read.
    """
    try:
        for path in take_inventory(source).files:
            parts = PurePosixPath(path).parts
            if path == MARKER_FILE or parts[0] in made_anew or parts[-1].startswith(".seg2d3d"):
                continue
            to = target / path
            to.parent.mkdir(parents=True, exist_ok=True)
            if len(parts) == 1:
                shutil.copy2(source / path, to)
                continue
            try:
                os.link(source / path, to)
            except OSError:  # a file system without hard links
                shutil.copy2(source / path, to)
    except OSError as error:
        raise DataError(f"{error.filename or source}: cannot be copied ({error.strerror}); free space and try again") from error


@contextmanager
def changed_copy(path: Path, made_anew: Sequence[str] = _MADE_ANEW) -> Iterator[NewMap]:
    """A copy of a map, to be changed and then published in the map's place; one that fails is deleted, and the map stays.

    Raises:
        UsageError: an unfinished map lies beside this one, or another process writes it.
        DataError: the disk is full, or a file cannot be read.
    """
    if building_path(real(path)).exists():
        raise UsageError(
            f"{building_path(path)}: an unfinished map lies there; finish it (the command that began it, with --resume) or "
            "delete it first"
        )
    with NewMap(path, resume=False) as new:
        try:
            copy_map(real(path), new.store.root, made_anew)
            yield new
        except BaseException:
            if new.beside:
                delete_own(new.store.root)
            raise


def regroup(store: MapStore, config: Config, progress: Progress | None = None) -> LabelledRevision:
    """Choose the granularity that ``config`` names, and write labels, tracks and points.

    Raises:
        DataError: the map has no model, or no object comes out.
    """
    from seg2d3d_ros.reconstruction.model_io import read_models

    start = time.perf_counter()
    models = read_models(store.root)
    if not models:
        raise DataError(
            f"{store.root}: has no model in sparse/; finish the map first (the command that began it, with --resume)"
        )
    store.write_config(config)
    metrics = store.read_metrics()
    kept = reconstruction_counts(0, models)
    former = {key: value for key, value in metrics.get("counts", {}).items() if key in kept}
    findings = [f for f in metrics.get("findings", ()) if f["code"] not in (*_OF_ASSOCIATION, *_OF_LABELS)]
    store.update_metrics({"counts": {**kept, **former}, "findings": findings})
    labelled = AssociationSession(store, config, progress).update(models, full=True)
    write_association_figures(store, labelled, time.perf_counter() - start)
    if empty := emptiness(labelled, config.segmentation.prompts):
        raise DataError(empty)
    return labelled
