"""Reads a drive into the city, once: what is there already, and of the same source, is not read again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from seg2d3d_ros.city.drives.drive_source import DriveSource
from seg2d3d_ros.city.drives.stored_drive import (
    FILE,
    CityKeyframe,
    DriveFacts,
    digest_of,
    read_facts,
    stored_keyframes,
    write_facts,
)
from seg2d3d_ros.config import Config, make_config
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.segmentation.factory import MODELS, create_segmenter
from seg2d3d_ros.segmentation.files.bag_segments import RecordedSegments
from seg2d3d_ros.segmentation.files.photo_names import PhotoName
from seg2d3d_ros.segmentation.segmenter import Segmenter
from seg2d3d_ros.types import Keyframe

CITY_MASKS_UNUSED = Kind(
    "city_masks_unused",
    "keyframes of drives whose ready masks cannot be used",
    cause="{reason}",
    remedy="mend or replace the masks of these images; the images themselves still help the map",
)


def read_drive(
    source: DriveSource, folder: Path, config: Config, *, own_cameras: bool, findings: Findings, progress: Progress
) -> tuple[list[CityKeyframe], DriveFacts]:
    """The keyframes of a drive, sorted by name, and what is known of it; read from the source where that changed.

    Args:
        folder: of the drive in the city.
        own_cameras: put the drive's name before those of its cameras, too: each drive has intrinsics and mounts of its own.
        findings: gets what cannot be used, where the drive is read now.
        progress: called with ("reading <drive>", keyframes so far, all; 0 = unknown).

    Raises:
        UsageError: the source is of no kind that is read, or masks are asked for that are not there.
        DataError: nothing in it can be used.
    """
    fingerprint = source.fingerprint(config) + f" {own_cameras}"
    facts = read_facts(folder)
    if facts is not None and facts.fingerprint == fingerprint:
        return stored_keyframes(folder, facts), facts
    (folder / FILE).unlink(missing_ok=True)
    store, own = MapStore(folder), Findings()
    records: list[KeyframeRecord] = []
    digests: dict[str, str] = {}
    objects = 0
    with _opened(source, config, own) as opened:
        for keyframe in opened.keyframes:
            named = _renamed(keyframe, source.name, own_cameras)
            masks, count = _keep_masks(store, opened.segmenter, keyframe, named, config, own)
            image = Path(keyframe.source) if _is_file(source, keyframe) else store.write_image(named).relative_to(store.root)
            record = KeyframeRecord.of(named, image)
            records.append(record)
            digests[named.name] = digest_of(named, record, masks)
            objects += count
            progress(f"reading {source.name}", len(records), opened.total)
        skipped, given = opened.left_out(), opened.segmenter is not None
    if not records:
        raise DataError(f"{source.path}: no image in it can be used")
    store.write_keyframes(records)
    found = [finding.to_json() for finding in own.list()]
    facts = DriveFacts(fingerprint, digests, objects if given else -1, skipped, found)
    write_facts(folder, facts)
    before = {finding.kind.code: finding.of for finding in findings.list()}
    for finding in own.list():  # of several drives, out of what all of them have
        of = finding.of + before.get(finding.kind.code, 0) if finding.of else 0
        findings.add(finding.kind, *finding.examples, count=finding.count, of=of, **finding.details)
    return stored_keyframes(folder, facts), facts


def _is_file(source: DriveSource, keyframe: Keyframe) -> bool:
    """Whether the keyframe is a photograph that stays where it is."""
    return not source.is_recording and keyframe.view is None


def _renamed(keyframe: Keyframe, drive: str, own_cameras: bool) -> Keyframe:
    """The keyframe as it is called in the city."""
    camera = f"{drive}_{keyframe.camera_name}" if own_cameras else keyframe.camera_name
    view = keyframe.view
    if view is not None:
        view = replace(view, panorama=f"{drive}_{view.panorama}")
    name, file_name = f"{drive}_{keyframe.name}", f"{drive}/{keyframe.file_name}"
    return replace(keyframe, name=name, file_name=file_name, camera_name=camera, view=view)


def _keep_masks(
    store: MapStore, segmenter: Segmenter | None, keyframe: Keyframe, named: Keyframe, config: Config, findings: Findings
) -> tuple[bytes, int]:
    """Keep a keyframe's ready masks under its name in the city; their bytes, and how many there are."""
    if segmenter is None:
        return b"", 0
    try:
        segments = segmenter.segment(keyframe)
    except DataError as error:
        findings.add(CITY_MASKS_UNUSED, named.name, reason=str(error))
        return b"", 0
    if segments is None:
        return b"", 0
    asked = config.segmentation.asked
    store.write_segments(replace(segments, name=named.name, overlapping=None), asked)
    path = store.segment_path(named.name)
    files = [path, path.with_suffix(".json")]
    if segments.overlapping is not None:
        store.write_overlapping(replace(segments.overlapping, name=named.name), asked)
        files.append(store.root / "masks" / f"{named.name}.json")
    return b"".join(file.read_bytes() for file in files), len(segments.ids)


@dataclass(frozen=True)
class _OpenDrive:
    """A source that is being read: who gives its ready masks (None = nobody), what is left out, to be asked at the end, and
    how many images there are (0 = unknown)."""

    keyframes: Iterable[Keyframe]
    segmenter: Segmenter | None
    left_out: Callable[[], dict[str, str]] = dict
    total: int = 0


@contextmanager
def _opened(source: DriveSource, config: Config, findings: Findings) -> Iterator[_OpenDrive]:
    if source.is_recording:
        with _recording(source, config, findings) as found:
            yield found
        return
    from seg2d3d_ros.keyframes.folder import read_folder
    from seg2d3d_ros.keyframes.video.video_keyframes import is_video

    if is_video(source.path):
        raise UsageError(f"{source.path}: is a video; a city takes folders of photographs and recordings")
    known = {"camera": source.camera, "gps": source.gps if source.gps in ("exif", "none") else Path(source.gps)}
    images = read_folder(source.path, **known, findings=findings, config=config.keyframes)  # type: ignore[arg-type]
    segmenter = _given_masks(source, config, findings)
    if segmenter is not None and hasattr(segmenter, "expect"):
        segmenter.expect([PhotoName(*names) for names in images.photos])
    yield _OpenDrive(images, segmenter, lambda: dict(images.skipped), len(images))


@contextmanager
def _recording(source: DriveSource, config: Config, findings: Findings) -> Iterator[_OpenDrive]:
    from seg2d3d_ros.keyframes.bag_keyframes import read_bag

    segmentation = config.segmentation
    with read_bag(source.path, config=config.keyframes, tolerance=segmentation.stamp_tolerance, findings=findings) as bag:
        if source.segments is not None or segmentation.segmenter not in ("label_images", "topic"):
            yield _OpenDrive((item.keyframe for item in bag), _given_masks(source, config, findings))
            return
        recorded = RecordedSegments(bag, len(segmentation.asked), segmentation.min_area, findings, bag.without_masks())
        yield _OpenDrive(recorded.keyframes(), recorded)


def _given_masks(source: DriveSource, config: Config, findings: Findings) -> Segmenter | None:
    """Who gives ready masks; None where a model finds them when the blocks are made, or nobody does."""
    chosen = config.segmentation.segmenter
    if chosen in MODELS or chosen == "none":
        return None
    if source.segments is None:
        raise UsageError(
            f"{source.path}: no segments: give --segments for each drive, --segmenter grounded_sam to find the label by text, "
            "or --segmenter none for 3D only"
        )
    kind = "coco" if source.segments.suffix.lower() == ".json" else "label_images"
    exact = make_config({"segmentation.segmenter": kind}, config).segmentation
    return create_segmenter(exact, directory=source.segments, findings=findings)
