"""``seg2d3d view MAP``: look at a map in the viewer rerun, or save what it would show."""

from __future__ import annotations

import argparse
from pathlib import Path

from seg2d3d_ros.cli.output.telling import tell, tell_findings, tell_result
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.progress import one_stage

DEFAULT_WIDTH = 640

INTERRUPTED = "{map} is as it was; call the same command again"
EXAMPLES = ("seg2d3d view map", "seg2d3d view map --save street.rrd", "seg2d3d view city --block 3")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``MAP [--save FILE.rrd] [--width PIXELS]``."""
    parser.add_argument("map", type=Path, metavar="MAP", help="the map directory, or a city")
    parser.add_argument("--block", metavar="NUMBER", help="of a city: which block, by number or name")
    parser.add_argument("--save", type=Path, metavar="FILE.rrd", help="write a recording instead of opening the viewer")
    parser.add_argument(
        "--width", type=int, default=DEFAULT_WIDTH, metavar="PIXELS", help="of the images that are shown (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Open the viewer, or write the file."""
    from seg2d3d_ros.city.city_folder import CityFolder, is_city
    from seg2d3d_ros.disk.atomic import replacing
    from seg2d3d_ros.findings import Findings, printable
    from seg2d3d_ros.mapstore.held_map import look_into, real
    from seg2d3d_ros.reconstruction.model_io import read_models
    from seg2d3d_ros.viewer.rerun_recording import open_stream, record_map
    from seg2d3d_ros.viewer.scene import frames
    from seg2d3d_ros.viewer.scene_reading import read_photographed

    if args.width < 16:
        raise UsageError(f"--width {args.width}: at least 16 pixels")
    if args.save is not None and args.save.suffix.lower() != ".rrd":
        raise UsageError(
            f"{args.save}: the viewer knows its recordings by their suffix; name it {args.save.with_suffix('.rrd').name}"
        )
    if args.block is not None:
        if not is_city(args.map):
            raise UsageError(f"--block {args.block}: {args.map} is no city; leave --block out")
        args.map = CityFolder(args.map).find_block(args.block)
    elif is_city(args.map):
        raise UsageError(f"{args.map}: is a city; say which block to look at, e.g. --block 1")
    store = look_into(args.map)
    if args.save is not None and real(args.save).is_relative_to(real(args.map)):
        raise UsageError(
            f"{args.save}: lies in the map directory, which holds the map's own files alone; choose another --save"
        )
    if args.save is not None and args.save.is_dir():
        raise UsageError(f"{args.save}: is a folder; --save writes a file")
    groups = frames(read_models(args.map) if (args.map / "sparse").is_dir() else [])
    if not groups:
        raise DataError(f"{args.map}: has no 3D model to look at; its report says why")
    findings, stream = Findings(), open_stream(real(args.map).name)
    with one_stage("view"):
        if args.save is None:
            stream.spawn()
            record_map(stream, store, groups[0], read_photographed(store), args.width, findings)
            stream.flush()
            said = "the viewer shows it"
        else:
            with replacing(args.save) as temporary:
                stream.save(str(temporary))
                record_map(stream, store, groups[0], read_photographed(store), args.width, findings)
                stream.disconnect()
            said = f"open it with: rerun {args.save}"
    tell_findings(findings.list(), aside=True)
    if len(groups) > 1:
        tell(f"note: {len(groups) - 1} smaller components have frames of their own and are not shown")
    tell_result(printable(f"{args.save or args.map}: {said}"), file=args.save)
    return 0
