"""``seg2d3d <command>``: finds the command's module and runs it.

A command is a module of this package with ``add_arguments(parser)``, ``run(args) -> exit code`` and ``EXAMPLES`` of its use.
One that takes long says in ``INTERRUPTED`` what an interruption leaves, and how to go on; ``{out}`` and the like are its
arguments.
Exit codes: 0 done, 1 no result, or none of the objects that were asked for (the message says why), 2 wrong use, 130 and 143
interrupted.
"""

from __future__ import annotations

import sys

try:
    from seg2d3d_ros.cli.output.choice import OutputChoice
    from seg2d3d_ros.cli.processes.supervisor import can_supervise, interruption_line, supervise, tell_if_interrupted
except KeyboardInterrupt:  # nobody looks after it yet
    sys.exit(130)

# What takes longer to import is imported below, when Ctrl-C is looked after.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from seg2d3d_ros.cli.arguments.parser import CommandParser
    from seg2d3d_ros.cli.output.telling import Telling

# The name of a command: its module in this package, and what it does.
COMMANDS = {
    "demo": ("making.demo", "the whole job on a synthetic street through the real nodes, or on your photographs"),
    "run": ("making.run", "a folder of images and a text label in, a labelled 3D map out"),
    "bag": ("making.bag", "the same from a rosbag, without a ROS installation"),
    "city": ("making.city", "many drives in, one map of blocks out: on this machine, or on a Ray cluster"),
    "regroup": ("objects.regroup", "choose another granularity for a map of overlapping masks, without segmenting again"),
    "prompt": ("objects.prompt", "ask for an object by a click in one image: its mask in all images, and its points"),
    "edit": ("objects.edit", "correct a finished map: merge, split, rename, delete, redraw, undo; kept for every new result"),
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
    "view": ("results.view", "look at a map in the viewer rerun: a time axis and an instance axis; or save it as .rrd"),
    "serve": ("results.serve", "look at a map in the browser, and correct it: merge, split, rename, delete, redraw, undo"),
    "report": ("results.report", "write a map's HTML report"),
    "recover": ("recover", "write a whole rosbag of what a damaged one still holds, and say what each topic lost"),
    "models": ("models", "list the models that find objects: size, licence, present or not, and download them"),
    "completion": ("completion", "print a script by which a shell completes commands and options"),
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
    choice = OutputChoice(arguments, COMMANDS)
    if not choice.command or not can_supervise() or {"-h", "--help", "--version"} & set(arguments):
        return run_command(arguments)
    try:
        return supervise(choice, lambda: run_command(arguments, told_by_parent=True))
    except KeyboardInterrupt:  # before the signals were looked after
        choice.last_words(interruption_line(choice.command), "interrupted", 130)
        return 130


def build_parser(command: str | None = None, *, every: bool = False) -> CommandParser:
    """The parser; only ``command``'s module is imported, so that ``--help`` stays fast.

    Args:
        every: import the modules of all commands.
    """
    import argparse
    import importlib

    import seg2d3d_ros
    from seg2d3d_ros.cli.arguments.parser import CommandParser, add_output_arguments

    parser = CommandParser(prog="seg2d3d", description=(seg2d3d_ros.__doc__ or "").split("\n\n")[0])
    parser.epilog = "seg2d3d COMMAND --help explains a command, with an example."
    parser.add_argument("--version", action="version", version=f"seg2d3d_ros {seg2d3d_ros.__version__}")
    add_output_arguments(parser)
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, (module, summary) in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if every or name == command:
            found = importlib.import_module(f"seg2d3d_ros.cli.{module}")
            found.add_arguments(sub)
            add_output_arguments(sub, name)
            sub.formatter_class = argparse.RawDescriptionHelpFormatter
            examples = "\n".join(("for example:", *(f"  {example}" for example in found.EXAMPLES)))
            sub.epilog = "\n\n".join(filter(None, (sub.epilog, examples)))
    return parser


def run_command(arguments: list[str], *, told_by_parent: bool = False) -> int:
    """Run one command in this process; whatever goes wrong ends in one line, with ``-v`` below its traceback.

    Args:
        told_by_parent: the process that looks after this one says that it was interrupted.
    """
    from seg2d3d_ros.cli.arguments.parser import WrongCommandLine, refuse
    from seg2d3d_ros.cli.output.telling import Telling
    from seg2d3d_ros.errors import UsageError

    choice = OutputChoice(arguments, COMMANDS)
    try:
        args = build_parser(choice.command).parse_whole(arguments)
        with Telling(choice, own_process=told_by_parent) as telling:
            return _run(args, choice, telling, told_by_parent=told_by_parent)
    except WrongCommandLine as error:
        return refuse(error, choice)
    except UsageError as error:  # of --log
        choice.log = ""
        choice.last_words(f"seg2d3d {choice.command}: {error}", "usage", error.exit_code)
        return error.exit_code


def _run(args: argparse.Namespace, choice: OutputChoice, telling: Telling, *, told_by_parent: bool) -> int:
    import importlib
    import os

    from seg2d3d_ros.cli.processes.messages import error_words, reason_of
    from seg2d3d_ros.errors import Seg2d3dError

    command = importlib.import_module(f"seg2d3d_ros.cli.{COMMANDS[args.command][0]}")
    tell_if_interrupted(getattr(command, "INTERRUPTED", "").format(**vars(args)))
    try:
        code: int = command.run(args)
        telling.finish(code)
        return code
    except BrokenPipeError:
        # Who reads has heard enough (``| head``); what is left must not be written when Python ends either.
        telling.give_up()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except KeyboardInterrupt:
        if not told_by_parent:
            telling.fail(interruption_line(args.command), "interrupted", 130)
        return 130
    except Exception as error:
        if not isinstance(error, Seg2d3dError):
            telling.trace(error)
        code = error.exit_code if isinstance(error, Seg2d3dError) else 1
        # Some errors say how to get a file, in several lines.
        telling.fail(f"seg2d3d {args.command}: {error_words(error)}", reason_of(error), code)
        return code
