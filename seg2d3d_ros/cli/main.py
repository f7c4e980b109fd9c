"""``seg2d3d <command>``: finds the command's module and runs it.

A command is a module of this package with ``add_arguments(parser)`` and ``run(args) -> exit code``.
Exit codes: 0 done, 1 the data did not allow a result (the message says why), 2 wrong use.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

import seg2d3d_ros
from seg2d3d_ros.errors import Seg2d3dError

COMMANDS = {
    "demo": "the whole job on a synthetic street through the real nodes, or on your photographs",
    "run": "a folder of images and a text label in, a labelled 3D map out",
    "bag": "the same from a rosbag, without a ROS installation",
    "simulate": "make a synthetic street with ground truth: images, segments, truth, rosbag",
    "evaluate": "measure a map against ground truth",
    "export": "write a map in another format",
    "report": "write a map's HTML report",
    "models": "list the models that find objects: size, licence, present or not, and download them",
    "doctor": "say what is installed, what is missing for which feature, and how to mend it",
}


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser; only ``command``'s module is imported, so that ``--help`` stays fast."""
    parser = argparse.ArgumentParser(prog="seg2d3d", description=(seg2d3d_ros.__doc__ or "").split("\n\n")[0])
    parser.add_argument("--version", action="version", version=f"seg2d3d_ros {seg2d3d_ros.__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == command:
            importlib.import_module(f"seg2d3d_ros.cli.{name}").add_arguments(sub)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    command = next((word for word in arguments if word in COMMANDS), None)
    args = build_parser(command).parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if args.verbose else logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr
    )
    try:
        code = importlib.import_module(f"seg2d3d_ros.cli.{args.command}").run(args)
        sys.stdout.flush()
        return code
    except Seg2d3dError as error:
        print(f"seg2d3d {args.command}: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Who reads has heard enough (``| head``); what is left must not be written when Python ends either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt as error:
        print("; ".join(filter(None, (f"seg2d3d {args.command}: interrupted", str(error)))), file=sys.stderr)
        return 130
