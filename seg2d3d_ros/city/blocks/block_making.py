"""Makes one block: reads its keyframes, reconstructs and associates them; an ordinary map directory comes out."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator

from seg2d3d_ros.city.blocks.block_job import BlockJob
from seg2d3d_ros.city.blocks.block_state import ATTEMPTS, BlockState, is_made, read_state, write_state
from seg2d3d_ros.city.drives.stored_drive import DriveMasks
from seg2d3d_ros.errors import DataError, Seg2d3dError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.mapstore.new_map import NewMap
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.figures import add_findings
from seg2d3d_ros.pipeline.offline import build_map
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.segmentation.segmenter import Segmenter
from seg2d3d_ros.types import Keyframe

CITY_IMAGES_GONE = Kind(
    "city_images_gone",
    "keyframes whose image files are gone or changed since the drive was read",
    cause="{reason}",
    remedy="put the files back where they were, or run the city again, which reads the drive anew",
)
CRASHES = "whoever made it was ended {attempts} times before it was done: its images may crash a library, or memory ran out"


def make_block(job: BlockJob, progress: Progress | None = None) -> BlockState:
    """Make a block, or go on with what was begun of it; what is made already is not made again.

    Returns:
        how far it is: ``made``, or ``failed`` with the reason. Nothing is raised for what its images are.
    """
    if is_made(job):
        state = read_state(job)
        assert state is not None
        return state
    before = read_state(job)
    attempts = 1 + (before.attempts if before is not None and before.state == "begun" else 0)
    if attempts > ATTEMPTS:
        state = BlockState(job.fingerprint, "failed", attempts - 1, CRASHES.format(attempts=attempts - 1))
        write_state(job.city, job.name, state)
        return state
    write_state(job.city, job.name, BlockState(job.fingerprint, "begun", attempts))
    start, cpu = time.monotonic(), time.process_time()
    findings = Findings()
    try:
        counts = _make(job, findings, progress or (lambda stage, done, total: None))
        state = BlockState(job.fingerprint, "made", attempts, counts=counts, findings=_findings_of(job))
    except Seg2d3dError as error:
        state = BlockState(job.fingerprint, "failed", attempts, str(error), findings=_told(findings))
    except (RuntimeError, ValueError, ArithmeticError, LookupError, OSError, MemoryError) as error:
        # A library's, for input that nobody thought of: one block is lost, and the others go on.
        reason = f"{type(error).__name__}: {error}"
        state = BlockState(job.fingerprint, "failed", attempts, reason, findings=_told(findings))
    cost = {"seconds": time.monotonic() - start, "cpu_seconds": time.process_time() - cpu, "peak_mb": peak_mb()}
    state = BlockState(**{**state.__dict__, **{name: round(value, 2) for name, value in cost.items()}})
    write_state(job.city, job.name, state)
    return state


def peak_mb() -> float:
    """The most memory that this process had so far, in megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024.0 if sys.platform == "linux" else peak / 2.0**20


def _make(job: BlockJob, findings: Findings, progress: Progress) -> dict[str, int]:
    from seg2d3d_ros.report.overlays import write_overlays
    from seg2d3d_ros.report.page import write_report

    out = job.city.block(job.name)
    segmenter = _segmenter(job, findings)
    with NewMap(out, resume=True) as new:
        store = new.store
        images = {keyframe.name: job.image_in_map(keyframe) for keyframe in job.keyframes}
        left_out: dict[str, str] = {}
        try:
            build_map(
                _keyframes(job, left_out, findings),
                store,
                job.config,
                segmenter,
                images_in=images,
                progress=progress,
                total=len(job.keyframes),
                skipped=lambda: left_out,
                findings=findings,
            )
        except DataError:
            if not _registered(store):
                raise  # else nothing of what was asked for is here, which for a part of a city is no failure
        finally:
            if segmenter is not None:
                segmenter.close()
        write_overlays(store, job.config.association.overlay_width, findings, progress)
        if job.config.cloud.densify:
            from seg2d3d_ros.dense.densify import densify

            densify(store, job.config.cloud, job.config.superpoints, progress=progress)
        add_findings(store, findings.list())
        write_report(store.root)
        new.publish()
        return {name: int(value) for name, value in store.read_metrics()["counts"].items()}


def _told(findings: Findings) -> tuple[dict[str, object], ...]:
    return tuple(finding.to_json() for finding in findings.list())


def _registered(store: MapStore) -> int:
    return int(store.read_metrics().get("counts", {}).get("registered", 0))


def _findings_of(job: BlockJob) -> tuple[dict[str, object], ...]:
    return tuple(MapStore(job.city.block(job.name)).read_metrics().get("findings", ()))


def _keyframes(job: BlockJob, left_out: dict[str, str], findings: Findings) -> Iterator[Keyframe]:
    for item in job.keyframes:
        try:
            keyframe = item.keyframe(job.city)
        except DataError as error:  # noqa: PERF203  (each image by itself)
            left_out[item.name] = str(error)
            findings.add(CITY_IMAGES_GONE, item.name, of=len(job.keyframes), reason=str(error))
        else:
            yield keyframe


def _segmenter(job: BlockJob, findings: Findings) -> Segmenter | None:
    from seg2d3d_ros.segmentation.factory import create_segmenter

    if not job.ready_masks:
        return create_segmenter(job.config.segmentation, findings=findings)
    folders = {keyframe.name: job.city.drive(keyframe.drive) for keyframe in job.keyframes}
    return DriveMasks(folders, job.config.segmentation.asked)
