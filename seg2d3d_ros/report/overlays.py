"""``MAP/overlays/<image>.jpg``: each label image on its photograph, for the eyes."""

from __future__ import annotations

from seg2d3d_ros.disk.atomic import write_bytes
from seg2d3d_ros.errors import Seg2d3dError
from seg2d3d_ros.findings import NOTE, Findings, Kind
from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.mapstore.panoramas import panorama_records
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.report.pictures import QUALITY, decode_smaller, overlay

NO_OVERLAY = Kind(
    "no_overlay",
    "label images without an overlay",
    cause="the photograph cannot be read ({reason})",
    remedy="put the photographs back where they were, and write the report again",
    level=NOTE,
)


def write_overlays(store: MapStore, width: int, findings: Findings, progress: Progress | None = None) -> int:
    """Draw the labels of every keyframe and panorama that has some on its photograph; returns how many were drawn.

    Those that are newer than their label image and their photograph stay, so that a map that is continued costs what is new.

    Args:
        width: of the pictures in pixels, or the photograph's where that is smaller; 0 = none are drawn.
        findings: gets the photographs that cannot be read.

    Raises:
        DataError: the disk is full.
    """
    kept = store.read_keyframes() if width else []
    records = [record for record in (*kept, *panorama_records(kept)) if store.label_path(record.name).exists()]
    drawn, failed = 0, Findings()
    for done, record in enumerate(records):
        if progress is not None:
            progress("overlays", done, len(records))
        path, labels_at, photo = store.overlay_path(record.name), store.label_path(record.name), store.image_path(record)
        try:
            changed = max(labels_at.stat().st_mtime_ns, photo.stat().st_mtime_ns)
            if path.exists() and path.stat().st_mtime_ns > changed:
                continue
            labels = store.read_labels(record.name)
            smaller = max(factor for factor in (1, 2, 4, 8) if factor <= max(1.0, labels.shape[1] / width))
            picture = overlay(decode_smaller(store, record, smaller), labels, min(width, labels.shape[1]))
        except (Seg2d3dError, OSError) as error:
            failed.add(NO_OVERLAY, record.name, of=len(records), reason=str(error))
            continue
        write_bytes(path, encode_jpeg(picture, QUALITY))
        drawn += 1
    for finding in failed.list():
        findings.put(finding)  # the same photographs are missing when it is done again
    if progress is not None and records:
        progress("overlays", len(records), len(records))
    return drawn
