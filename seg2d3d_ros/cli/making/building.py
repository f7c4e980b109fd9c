"""What ``run`` and ``bag`` share: options, the build itself, the last words."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from seg2d3d_ros.cli.arguments.options import add_config_arguments
from seg2d3d_ros.cli.output.telling import tell_failure, tell_findings, tell_result
from seg2d3d_ros.cli.processes.messages import disk_words
from seg2d3d_ros.cli.processes.supervisor import tell_if_interrupted
from seg2d3d_ros.config import Config
from seg2d3d_ros.declaration import Value
from seg2d3d_ros.errors import DataError, Seg2d3dError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.mapstore.new_map import NewMap
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.progress import Progress, ProgressBars
from seg2d3d_ros.report.words import certainty
from seg2d3d_ros.segmentation.segmenter import Segmenter
from seg2d3d_ros.types import Keyframe

Step = Callable[[MapStore, Findings, Progress], str]
"""Makes something of a finished map and says what, in a line for the terminal; what it doubts goes to the findings."""


def add_map_arguments(parser: argparse.ArgumentParser, *, drives: bool = False) -> None:
    """Options about the objects, the masks and the result.

    Args:
        drives: of many drives: there are ready masks of each, and what is finished is always gone on with.
    """
    parser.add_argument(
        "--label", action="append", metavar="TEXT", help="what to look for, e.g. building; again for more classes"
    )
    out = "directory of the city" if drives else "map directory"
    parser.add_argument("--out", type=Path, required=True, metavar="DIR" if drives else "MAP", help=f"{out} to write")
    parser.add_argument(
        "--segments",
        type=Path,
        metavar="DIR|FILE",
        help="ready masks: a folder with a uint16 PNG per image, with the image's stem; or a COCO JSON file"
        + ("; once for all, or once for each drive" if drives else ""),
        action="append" if drives else "store",
        default=[] if drives else None,
    )
    parser.add_argument(
        "--segments-pattern",
        metavar="TEXT",
        help="where a photo's mask is in that folder, e.g. '{stem}_mask.png', '{name}.png', '{folder}/{stem}.png'",
    )
    parser.add_argument(
        "--segmenter",
        metavar="NAME",
        help="who finds the objects: grounded_sam (by text), panoptic (by class), everything (any object), "
        "sam3 (by text, in one model), none = reconstruction only; docs/segmenters.md says which to choose",
    )
    parser.add_argument(
        "--granularity",
        metavar="LEVEL",
        help="of overlapping masks (everything, or ready ones): which objects, in all images: coarse, fine, auto, 0, 1, …",
    )
    parser.add_argument("--download", action="store_true", help="download the models' weights if they are missing")
    parser.add_argument(
        "--movable", metavar="LIST", help="classes of things that move, e.g. car,person: looked for too, kept out of the model"
    )
    parser.add_argument(
        "--masks",
        metavar="FILE|DIR",
        help="what cameras see of their own vehicle: a mask for all, or a folder of <camera>.png; black = ignored",
    )
    parser.add_argument(
        "--rig", metavar="FILE|none", help="where the cameras are on the vehicle (YAML); default: by TF where a bag has it"
    )
    parser.add_argument(
        "--features",
        metavar="NAME",
        help="keypoints of the images: sift (default), or superpoint (with LightGlue), for images that are far apart",
    )
    parser.add_argument(
        "--panorama",
        action="store_true",
        help="all images of 2:1 are equirectangular panoramas; else those of a folder that say so or look so",
    )
    parser.add_argument("--method", metavar="NAME", help="association method")
    parser.add_argument(
        "--recover",
        action=argparse.BooleanOptionalAction,
        help="draw objects where the detector missed them, from their 3D points (the default)",
    )
    parser.add_argument(
        "--edits",
        action=argparse.BooleanOptionalAction,
        help="make people's corrections (MAP/edits.jsonl) again (the default); --no-edits: the raw result, the log stays",
    )
    parser.add_argument("--densify", action="store_true", help="also a denser labelled cloud from the images: MAP/dense.ply")
    if not drives:
        parser.add_argument("--resume", action="store_true", help="continue what an interrupted run left, or the map in --out")
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would be done, how long it takes and how much disk; write nothing"
        )
    add_config_arguments(parser)


def add_trust_argument(parser: argparse.ArgumentParser) -> None:
    """``--trust``, beside the option that gives poses."""
    parser.add_argument(
        "--trust",
        choices=("prior", "fixed"),
        help="poses are evidence beside the images (prior, the default), or right (fixed): then only points are found",
    )


def overrides_from_args(args: argparse.Namespace) -> dict[str, Value]:
    """Parameters that have an option of their own."""
    options: dict[str, Value | None] = {
        "segmentation.prompts": _words(*args.label) if args.label else None,
        "segmentation.segmenter": args.segmenter,
        "segmentation.segments_pattern": args.segments_pattern,
        "segmentation.movable": _words(args.movable) if args.movable else None,
        "segmentation.allow_download": args.download,
        "reconstruction.rig": args.rig,
        "reconstruction.model": getattr(args, "model", None),
        "reconstruction.trust": getattr(args, "trust", None),
        "reconstruction.masks": args.masks,
        "reconstruction.features": args.features,
        "association.method": args.method,
        "association.granularity": args.granularity,
        "segmentation.overlapping": args.granularity is not None and args.segments is not None,
        "cloud.densify": args.densify,
        "keyframes.panorama": "always" if args.panorama else None,
    }
    values = {name: value for name, value in options.items() if value not in (None, False, "")}
    if args.segments is not None and not args.segmenter:
        values["segmentation.segmenter"] = "coco" if args.segments.suffix.lower() == ".json" else "label_images"
    if args.recover is not None:
        values["association.recover"] = args.recover
    if args.edits is not None:
        values["association.edits"] = args.edits
    if (args.segmenter == "everything" or args.granularity) and not args.label:
        values["segmentation.prompts"] = ("object",)
    return values


def _words(*texts: str) -> tuple[str, ...]:
    """What stands between the commas."""
    return tuple(word.strip() for text in texts for word in text.split(",") if word.strip())


def build(
    out: Path,
    config: Config,
    keyframes: Iterable[Keyframe],
    segmenter: Segmenter | None,
    *,
    resume: bool,
    images_in: Path | None,
    skipped: Callable[[], dict[str, str]] = dict,
    findings: Findings,
    total: int = 0,
    reading: ProgressBars | None = None,
    then: Sequence[Step] = (),
) -> int:
    """Build the map and its report, and print what came of it. A map that is in ``out`` stays until the new one is whole.

    Args:
        skipped: images that the source left out so far, with reasons.
        findings: of the source and the segmenter.
        reading: shows how far the source is read, where that does not go by the number of images.
        then: what is made of the map before its report is written; each returns what to print, from the name of its file on.
    """
    from seg2d3d_ros.pipeline.figures import add_findings
    from seg2d3d_ros.pipeline.offline import build_map
    from seg2d3d_ros.report.page import write_report

    progress = ProgressBars() if reading is None else reading
    with NewMap(out, resume=resume) as new, _telling_what_remains(new):
        store = new.store
        before = store.read_metrics()
        tell_if_interrupted(f"what there is so far is in {store.root}, and --resume goes on with it")
        try:
            build_map(
                keyframes,
                store,
                config,
                segmenter,
                images_in=images_in,
                progress=progress if reading is None else _without_images(progress),
                total=total,
                skipped=skipped,
                findings=findings,
            )
        except DataError:
            progress.close()
            if "counts" in store.read_metrics() and store.read_metrics() != before:  # not those of an earlier run
                tell_failure(summary(store, config), f"report: {write_report(store.root)}")
            raise
        finally:
            progress.close()
            if segmenter is not None:
                segmenter.close()
        made: list[str] = []
        failure: Seg2d3dError | None = None
        try:
            steps = (_overlays(config), *([_dense(config)] if config.cloud.densify else []), *then)
            made.extend(step(store, findings, progress) for step in steps)
        except Seg2d3dError as error:  # the map is there all the same, and gets its report
            failure = error
        finally:
            progress.close()
        add_findings(store, findings.list())
        write_report(store.root)
        tell_findings(findings.list(), told=True)
        counts = store.read_metrics()["counts"]
        tell_result(summary(store, config), *(f"{out}/{words}" for words in made if words), counts=counts)
        if failure is not None:
            raise failure
        new.publish()
        tell_if_interrupted("the map is whole")
    tell_result(f"open {out / 'report.html'}", map=out, report=out / "report.html")
    return 0


@contextmanager
def _telling_what_remains(new: NewMap) -> Iterator[None]:
    """Whatever ends the work, its message says where what there is so far lies, and that the former map is unchanged."""
    try:
        yield
    except KeyboardInterrupt:
        tell_if_interrupted(new.remains())
        raise
    except Seg2d3dError as error:
        raise type(error)("; ".join(filter(None, (str(error), new.remains())))) from error
    except Exception as error:
        if words := disk_words(error, new.store.root):
            raise DataError("; ".join(filter(None, (words, new.remains())))) from error
        raise


def _without_images(progress: Progress) -> Progress:
    """Leaves out the stage whose end nobody knows, because what the images are read from shows it."""

    def tell(stage: str, done: int, total: int) -> None:
        if stage != "images":
            progress(stage, done, total)

    return tell


def _overlays(config: Config) -> Step:
    def draw(store: MapStore, findings: Findings, progress: Progress) -> str:
        from seg2d3d_ros.report.overlays import write_overlays

        write_overlays(store, config.association.overlay_width, findings, progress)
        return ""

    return draw


def _dense(config: Config) -> Step:
    def densify_map(store: MapStore, findings: Findings, progress: Progress) -> str:
        from seg2d3d_ros.dense.densify import FILE, densify

        dense = densify(store, config.cloud, config.superpoints, progress=progress)
        return f"{FILE}: {dense['points']} points, {dense['points_labelled']} labelled"

    return densify_map


def summary(store: MapStore, config: Config) -> str:
    """The result in a few lines."""
    metrics = store.read_metrics()
    counts = metrics["counts"]
    lines = [
        f"{counts['registered_largest']} of {counts['images']} images registered in one model"
        + (f", {counts['registered']} in {counts['components']} models" if counts["components"] > 1 else "")
        + f", {counts['model_points']} points",
    ]
    if models := metrics.get("models"):
        lines.append(f"scale: {certainty(models[0]['scale_sigma'])}")
    if config.segmentation.segmenter != "none":
        lines.append(
            f"{counts['instances']} instances of {', '.join(config.segmentation.prompts)}: {counts['segments_with_instance']} "
            f"of {counts['segments']} segments, {counts['labelled_points']} of the {counts['points']} points in points.ply"
        )
    if missed := counts.get("missed_views"):
        drawn = counts.get("recovered_views")
        lines.append(
            f"missed by the detector in {missed} views"
            + (f", {drawn} of them recovered from their 3D points" if drawn is not None else "; --recover draws them")
        )
    lines += [f"not registered: {item['image']}: {item['reason']}" for item in metrics["unregistered"][:10]]
    if len(metrics["unregistered"]) > 10:
        lines.append(f"… and {len(metrics['unregistered']) - 10} more, see metrics.json")
    return "\n".join(lines + [f"note: {warning}" for warning in metrics["warnings"]])
