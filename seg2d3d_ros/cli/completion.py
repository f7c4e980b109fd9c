"""``seg2d3d completion bash|zsh|fish|tcsh``: a script by which the shell completes commands, options and their values.

The scripts are made from the parsers, hold everything that they need, and call nothing: completing stays fast.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from seg2d3d_ros.cli.output.telling import tell_result

SHELLS = ("bash", "zsh", "fish", "tcsh")
EXAMPLES = (
    "seg2d3d completion bash > ~/.local/share/bash-completion/completions/seg2d3d",
    "seg2d3d completion zsh > ~/.seg2d3d.zsh",
    "seg2d3d completion fish > ~/.config/fish/completions/seg2d3d.fish",
    "seg2d3d completion tcsh > ~/.seg2d3d.tcsh",
)


@dataclass(frozen=True)
class Option:
    """An option as a shell completes it.

    Attributes:
        names: ``-q`` and ``--quiet``.
        help: in a few words.
        choices: what may follow; empty = anything.
        value: whether anything follows.
    """

    names: tuple[str, ...]
    help: str
    choices: tuple[str, ...]
    value: bool


@dataclass(frozen=True)
class CommandWords:
    """A command as a shell completes it; what is no option is a file or a folder."""

    name: str
    help: str
    options: tuple[Option, ...]
    choices: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "shell", choices=SHELLS, help="whose script to print; zsh and tcsh read it by `source FILE` in ~/.zshrc and ~/.tcshrc"
    )


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    tell_result(script(args.shell))
    return 0


def script(shell: str) -> str:
    """The script for a shell."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish, "tcsh": _tcsh}[shell](_commands())


def _commands() -> list[CommandWords]:
    """All commands; the first, without a name, has the options before a command."""
    from seg2d3d_ros.cli.arguments.parser import sub_parsers
    from seg2d3d_ros.cli.main import COMMANDS, build_parser

    parser = build_parser(every=True)
    subs = sub_parsers(parser)
    commands = [CommandWords("", "", _options(parser), tuple(subs))]
    return commands + [CommandWords(name, COMMANDS[name][1], _options(sub), _places(sub)) for name, sub in subs.items()]


def _options(parser: argparse.ArgumentParser) -> tuple[Option, ...]:
    found = []
    for action in parser._actions:
        if action.option_strings and action.help != argparse.SUPPRESS:
            words = " ".join((action.help or "").replace("%%", "%").split()).partition("; ")[0][:90]
            choices = tuple(map(str, action.choices or ()))
            found.append(Option(tuple(action.option_strings), words, choices, action.nargs != 0))
    return tuple(found)


def _places(parser: argparse.ArgumentParser) -> tuple[str, ...]:
    """Words that a positional argument may be."""
    return tuple(str(word) for a in parser._actions if not a.option_strings and a.choices for word in a.choices)


def _words(options: tuple[Option, ...]) -> str:
    return " ".join(name for option in options for name in option.names)


def _bash(commands: list[CommandWords]) -> str:
    cases, values = [], []
    for command in commands[1:]:
        cases.append(f"    {command.name}) words='{' '.join((_words(command.options), *command.choices))}' ;;")
        for option in command.options:
            if option.choices:
                pattern = "|".join(f"{command.name}:{name}" for name in option.names)
                values.append(f"    {pattern}) COMPREPLY=($(compgen -W '{' '.join(option.choices)}' -- \"$cur\")); return ;;")
            elif option.value:
                files = "|".join(f"{command.name}:{name}" for name in option.names)
                values.append(f'    {files}) COMPREPLY=($(compgen -f -- "$cur")); return ;;')
    names = "|".join(command.name for command in commands[1:])
    return "\n".join(
        [
            "# bash completion for seg2d3d",
            "_seg2d3d() {",
            '  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" command="" word words',
            '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
            f'    case "$word" in {names}) command="$word"; break ;; esac',
            "  done",
            '  case "$command" in',
            f"    '') words='{' '.join((_words(commands[0].options), *commands[0].choices))}' ;;",
            *cases,
            "  esac",
            '  case "$command:$prev" in',
            *values,
            '    :--log) COMPREPLY=($(compgen -f -- "$cur")); return ;;',
            "  esac",
            '  COMPREPLY=($(compgen -W "$words" -- "$cur"))',
            '  if [[ -n $command && $cur != -* ]]; then COMPREPLY+=($(compgen -f -- "$cur")); fi',
            "}",
            "complete -o filenames -F _seg2d3d seg2d3d",
        ]
    )


def _zsh(commands: list[CommandWords]) -> str:
    lines = ["#compdef seg2d3d", "_seg2d3d() {", "  local context state line", "  typeset -A opt_args", "  local -a commands=("]
    lines += [f"    {_quoted(f'{command.name}:{command.help}')}" for command in commands[1:]]
    lines += ["  )", "  _arguments -C \\"]
    lines += [f"    {spec} \\" for spec in _zsh_specs(commands[0].options)]
    lines += ["    '1:command:->command' '*::argument:->argument'", '  case "$state" in']
    lines += ["  command) _describe command commands ;;", "  argument)", '    case "$line[1]" in']
    for command in commands[1:]:
        lines.append(f"    {command.name}) _arguments \\")
        lines += [f"      {spec} \\" for spec in _zsh_specs(command.options)]
        places = f"({' '.join(command.choices)})" if command.choices else "_files"
        lines.append(f"      '*:place:{places}' ;;")
    return "\n".join([*lines, "    esac ;;", "  esac", "}", "compdef _seg2d3d seg2d3d"])


def _zsh_specs(options: tuple[Option, ...]) -> list[str]:
    specs = []
    for option in options:
        words = option.help.replace("[", "(").replace("]", ")").replace(":", " ")
        what = f":value:({' '.join(option.choices)})" if option.choices else ":value:_files" if option.value else ""
        specs += [_quoted(f"*{name}[{words}]{what}") for name in option.names]
    return specs


def _fish(commands: list[CommandWords]) -> str:
    lines = ["# fish completion for seg2d3d", "complete -c seg2d3d -e"]
    for command in commands:
        when = f"__fish_seen_subcommand_from {command.name}" if command.name else "__fish_use_subcommand"
        head = f"complete -c seg2d3d -n {_quoted(when)}"
        for option in command.options:
            names = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in option.names)
            what = f" -x -a {_quoted(' '.join(option.choices))}" if option.choices else " -r -F" if option.value else ""
            lines.append(f"{head} {names}{what} -d {_quoted(option.help)}")
        if command.name:
            lines.append(f"complete -c seg2d3d -n __fish_use_subcommand -f -a {command.name} -d {_quoted(command.help)}")
            if command.choices:
                lines.append(f"{head} -f -a {_quoted(' '.join(command.choices))}")
    return "\n".join(lines)


def _tcsh(commands: list[CommandWords]) -> str:
    """tcsh knows the words of all commands together, and the values of options."""
    options = sorted({name for command in commands for option in command.options for name in option.names})
    values: dict[str, dict[str, None]] = {}
    for option in (option for command in commands for option in command.options if option.choices):
        for name in option.names:
            values.setdefault(name, {}).update(dict.fromkeys(option.choices))
    rules = [f"'n/{name}/({' '.join(choices)})/'" for name, choices in sorted(values.items())]
    rules += [f"'n/{c.name}/({' '.join(c.choices)})/'" for c in commands[1:] if c.choices]
    longs = " ".join(name[2:] for name in options if name.startswith("--"))
    rules += [f"'c/--/({longs})/'", f"'p/1/({' '.join(commands[0].choices)})/'", "'p/*/f/'"]
    return "# tcsh completion for seg2d3d\n" + " \\\n  ".join(["complete seg2d3d", *rules])


def _quoted(text: str) -> str:
    """In single quotes, as bash, zsh and fish read them; none stays inside."""
    return "'" + text.replace("\\", "").replace("'", "’") + "'"
