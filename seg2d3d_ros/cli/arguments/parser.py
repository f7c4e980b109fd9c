"""The parser of all commands: one line about what is wrong, with the nearest name, and options that every command has."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from seg2d3d_ros.cli.output.choice import ANSWERS, OutputChoice
from seg2d3d_ros.declaration import nearest
from seg2d3d_ros.errors import UsageError


class WrongCommandLine(UsageError):
    """Says in ``str`` what is wrong with the words of a command line."""


class CommandParser(argparse.ArgumentParser):
    """A parser that refuses what it does not know with the nearest name it does, and takes no abbreviated options."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        """Raises ``WrongCommandLine``."""
        joint = " " if message.endswith("?") else "; "
        raise WrongCommandLine(f"{message.removeprefix('argument ')}{joint}see {self.prog} --help")

    def parse_whole(self, words: Sequence[str]) -> argparse.Namespace:
        """The arguments of a whole command line.

        Raises:
            WrongCommandLine: something in it is unknown, missing or of the wrong form.
        """
        self._refuse_unknown(words)
        args, unknown = self.parse_known_args(words)
        if unknown:
            sub_parsers(self).get(args.command, self).error(f"{unknown[0]!r}: one word too many")
        return args

    def _refuse_unknown(self, words: Sequence[str]) -> None:
        """Before anything is missed: a mistyped option is why it is."""
        parser: argparse.ArgumentParser = self
        for word in words:
            name = word.partition("=")[0]
            if word == "--":
                return
            if word in (below := sub_parsers(parser)):  # a command, or an action of one
                parser = below[word]
            elif name.startswith("--") and " " not in word and name not in options_of(parser):
                parser.error(f"unknown option {name}{nearest(name, long_options(parser))}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """In the place of argparse's, which does not say the nearest choice."""
        if action.choices is not None and value not in action.choices:
            names = [str(choice) for choice in action.choices]
            text = f"{value!r} is none of {', '.join(names)}{nearest(str(value), names)}"
            raise argparse.ArgumentError(action, text)


def add_output_arguments(parser: argparse.ArgumentParser, command: str = "") -> None:
    """``--quiet``, ``--json``, ``--log`` and ``-v``, before the command or behind it.

    What they mean is read off the command line by ``OutputChoice``; here they are declared for help and completion.
    """
    group = parser.add_argument_group("output")
    hidden: dict[str, Any] = {"default": argparse.SUPPRESS}
    if "--json" not in options_of(parser):
        text = "print events, one JSON object per line, for programs (docs/events.md)"
        if command in ANSWERS:
            text = "print the answer as one line of JSON; before the command: all events, one per line"
        group.add_argument("--json", action="store_true", help=text, **hidden)
    group.add_argument("-q", "--quiet", action="store_true", help="only the result, what is doubted, and errors", **hidden)
    group.add_argument("--log", metavar="FILE", help="write all that is told into a file too, with times", **hidden)
    group.add_argument("-v", "--verbose", action="store_true", help="say more", **hidden)


def options_of(parser: argparse.ArgumentParser) -> Iterable[str]:
    """The names of a parser's options."""
    return [name for action in parser._actions for name in action.option_strings]


def long_options(parser: argparse.ArgumentParser) -> list[str]:
    """The names that begin with two dashes."""
    return [name for name in options_of(parser) if name.startswith("--")]


def sub_parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of a parser's commands, by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def refuse(error: WrongCommandLine, choice: OutputChoice) -> int:
    """Say what is wrong with the command line; returns the exit status."""
    name = f"seg2d3d {choice.command}".strip()
    choice.last_words(f"{name}: {error}", "usage", error.exit_code)
    sys.stdout.flush()
    return error.exit_code
