"""``seg2d3d <command>``: finds the command's module and runs it.

A command is a module of this package with ``add_arguments(parser)`` and ``run(args) -> exit code``.
Exit codes: 0 done, 1 no result, or none of the objects that were asked for (the message says why), 2 wrong use, 130 and 143
interrupted.
"""

from __future__ import annotations

import sys

try:
    from seg2d3d_ros.cli.processes.supervisor import can_supervise, interruption_line, supervise, tell_if_interrupted
except KeyboardInterrupt:  # nobody looks after it yet
    sys.exit(130)

# What takes longer to import is imported below, when Ctrl-C is looked after.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

# The name of a command: its module in this package, and what it does.
COMMANDS = {
    "demo": ("making.demo", "the whole job on a synthetic street through the real nodes, or on your photographs"),
    "run": ("making.run", "a folder of images and a text label in, a labelled 3D map out"),
    "bag": ("making.bag", "the same from a rosbag, without a ROS installation"),
    "regroup": ("objects.regroup", "choose another granularity for a map of overlapping masks, without segmenting again"),
    "prompt": ("objects.prompt", "ask for an object by a click in one image: its mask in all images, and its points"),
    "dataset": ("learning.dataset", "maps as streets to learn from: clouds, superpoints, partial labels of each view"),
    "segment": ("learning.segment", "label a cloud with a trained network, without any image"),
    "train": ("learning.train", "learn to label clouds from a data set, or to carry prompts from maps (`train prompts`)"),
    "simulate": ("making.simulate", "make a synthetic street with ground truth: images, segments, truth, rosbag"),
    "find": ("objects.find", "instances of a map by words: ranked, with positions and a contact sheet"),
    "classify": ("objects.classify", "name a map's instances after the drive, without segmenting again"),
    "superpoints": ("learning.superpoints", "divide a map's cloud into pieces that keep the borders of objects"),
    "evaluate": ("results.evaluate", "measure a map against ground truth"),
    "export": ("results.export", "write a map in another format"),
    "compare": ("results.compare", "hold a map against a register or another drive: matched, moved, missing, new"),
    "report": ("results.report", "write a map's HTML report"),
    "models": ("models", "list the models that find objects: size, licence, present or not, and download them"),
    "doctor": ("doctor", "say what is installed, what is missing for which feature, and how to mend it"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: of the command, which then runs in this process; None = those of the command line, in a process of its own
            that this one looks after.
    """
    if arguments is not None:
        return run_command(list(arguments))
    arguments = sys.argv[1:]
    command = _command(arguments)
    if command is None or not can_supervise() or {"-h", "--help", "--version"} & set(arguments):
        return run_command(arguments)
    verbose = bool({"-v", "--verbose"} & set(arguments[: arguments.index(command)]))
    try:
        return supervise(command, lambda: run_command(arguments, told_by_parent=True), native_output=verbose)
    except KeyboardInterrupt:  # before the signals were looked after
        print(interruption_line(command), file=sys.stderr)
        return 130


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser; only ``command``'s module is imported, so that ``--help`` stays fast."""
    import argparse
    import importlib

    import seg2d3d_ros

    parser = argparse.ArgumentParser(prog="seg2d3d", description=(seg2d3d_ros.__doc__ or "").split("\n\n")[0])
    parser.add_argument("--version", action="version", version=f"seg2d3d_ros {seg2d3d_ros.__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, (module, summary) in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == command:
            importlib.import_module(f"seg2d3d_ros.cli.{module}").add_arguments(sub)
    return parser


def run_command(arguments: list[str], *, told_by_parent: bool = False) -> int:
    """Run one command in this process; whatever goes wrong ends in one line, with ``-v`` below its traceback.

    Args:
        told_by_parent: the process that looks after this one says that it was interrupted.
    """
    import importlib
    import os

    from seg2d3d_ros.cli.processes.messages import error_words, set_up_logging
    from seg2d3d_ros.errors import Seg2d3dError
    from seg2d3d_ros.findings import printable

    args = build_parser(_command(arguments)).parse_args(arguments)
    set_up_logging(verbose=args.verbose)
    tell_if_interrupted("")  # what a command before this one in the same process left to say
    try:
        code: int = importlib.import_module(f"seg2d3d_ros.cli.{COMMANDS[args.command][0]}").run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Who reads has heard enough (``| head``); what is left must not be written when Python ends either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        if not told_by_parent:
            print(printable(interruption_line(args.command)), file=sys.stderr)
        return 130
    except Exception as error:
        if args.verbose and not isinstance(error, Seg2d3dError):
            import traceback

            traceback.print_exc()
        lines = [printable(line) for line in error_words(error).split("\n")]  # some say how to get a file, in several lines
        print(f"seg2d3d {args.command}: " + "\n".join(lines), file=sys.stderr)
        return error.exit_code if isinstance(error, Seg2d3dError) else 1


def _command(arguments: Sequence[str]) -> str | None:
    return next((word for word in arguments if word in COMMANDS), None)
