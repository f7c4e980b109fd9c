"""Keyframes in, a map directory out: the offline commands' whole way, made of the parts that the nodes use too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from seg2d3d_ros.config import Config
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.association_session import AssociationSession
from seg2d3d_ros.pipeline.figures import emptiness, write_association_figures, write_reconstruction_figures
from seg2d3d_ros.pipeline.intake import Intake
from seg2d3d_ros.pipeline.labelled_revision import LabelledRevision
from seg2d3d_ros.pipeline.second_look import second_round
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.segmentation.models.mask_models import Looker
from seg2d3d_ros.segmentation.segmenter import Segmenter
from seg2d3d_ros.types import Keyframe

if TYPE_CHECKING:
    from seg2d3d_ros.reconstruction.reconstructor import Reconstruction


def build_map(
    keyframes: Iterable[Keyframe],
    store: MapStore,
    config: Config,
    segmenter: Segmenter | None,
    *,
    images_in: Path | Mapping[str, Path] | None = None,
    progress: Progress,
    total: int = 0,
    skipped: Callable[[], Mapping[str, str]] = dict,
    findings: Findings,
) -> LabelledRevision:
    """Build a whole map from a finite source of keyframes.

    Args:
        keyframes: read once, a batch of the segmenter at a time.
        segmenter: None for reconstruction only.
        images_in: folder where the keyframes' ``file_name`` lie already, or where the image of each lies, by name; None to keep
            the images in the map directory.
        total: how many keyframes there are, for the progress; 0 = unknown.
        skipped: images that the source left out so far, with reasons.
        findings: has what the source and the segmenter found; gets what the rest finds.

    Raises:
        DataError: nothing could be reconstructed, or objects were asked for and none was found; all that there is was written
            before.
    """
    from seg2d3d_ros.reconstruction.opening import open_reconstructor

    store.write_config(config)
    store.clear_overlapping()  # every keyframe is segmented again, perhaps by a segmenter that gives none
    session = AssociationSession(store, config, progress)
    looker = getattr(segmenter, "looker", None) if config.segmentation.second_look else None
    with closing(open_reconstructor(store.root, config.reconstruction, config.segmentation.networks)) as reconstructor:
        intake = Intake(store, config.segmentation, reconstructor, segmenter, images_in, findings)
        batches = _batches(keyframes, intake.batch, lambda done: progress("images", done, total))
        reconstruction, labelled = map_keyframes(batches, intake, session, looker, progress)

    left_out = {**intake.left_out, **skipped()}
    association = intake.watch.seconds.pop("association")
    timings = {**intake.watch.seconds, **reconstruction.timings}
    images = len(intake.records) + len(skipped())
    write_reconstruction_figures(store, images, reconstruction, left_out, timings, findings.list())
    write_association_figures(store, labelled, association)
    if not reconstruction.models:
        raise DataError(nothing_registered({**reconstruction.unregistered, **left_out}))
    if empty := emptiness(labelled, config.segmentation.prompts if segmenter is not None else ()):
        raise DataError(empty)
    return labelled


def map_keyframes(
    batches: Iterable[Sequence[Keyframe]],
    intake: Intake,
    session: AssociationSession,
    looker: Looker | None,
    progress: Progress,
) -> tuple[Reconstruction, LabelledRevision]:
    """The whole way of a keyframe into the map, step by step.

    In a live map the steps are spread over the nodes that are named at the right; what they do is the same code.

    Args:
        batches: keyframes, as many at a time as the segmenter takes.
        looker: takes a second look where objects were missed; then everything is associated once more.
    """
    for batch in batches:
        for keyframe, segments in intake.segment(batch):  # segmentation_node
            movable = intake.movable(segments)  # reconstruction_node (ros/exchange/movable_masks.py)
            taken = intake.take(keyframe, movable)  # reconstruction_node keeps it, its worker finds features
            if taken and segments is not None:
                session.receive(segments)  # association_node
    reconstruction = intake.solve(progress)  # reconstruction_node's worker
    progress("association", 0, 1)
    with intake.watch("association"):
        labelled = session.update(reconstruction.models, full=True)  # association_node, which also writes the labels
        if looker is not None:  # association_node asks, segmentation_node looks
            for segments, added in second_round(looker, session.asks(), intake.keyframe, session.segments_of):
                session.receive(segments, added)
        if session.pending:
            labelled = session.update(reconstruction.models, full=True)
    progress("association", 1, 1)
    return reconstruction, labelled


def _batches(keyframes: Iterable[Keyframe], size: int, progress: Callable[[int], None]) -> Iterator[list[Keyframe]]:
    def counted() -> Iterator[Keyframe]:
        done, last = -1, ""
        for keyframe in keyframes:
            picture = keyframe.name if keyframe.view is None else keyframe.view.panorama
            done += picture != last
            last = picture
            progress(done)
            yield keyframe

    source = counted()
    while batch := list(islice(source, size)):
        yield batch


def nothing_registered(reasons: Mapping[str, str]) -> str:
    """Why there is no model, in one message."""
    first = "; ".join(f"{name}: {reason}" for name, reason in sorted(reasons.items())[:3])
    return (
        f"no two images could be brought together in 3D ({first}). Images must overlap by more than half, "
        "be sharp, and be taken from different places"
    )
