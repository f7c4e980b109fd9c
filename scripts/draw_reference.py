#!/usr/bin/env python3
"""Write docs/commands.md, docs/parameters.md and docs/events.md from what the program itself declares."""

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MADE = "<!-- made by scripts/draw_reference.py; do not edit -->\n"

HOW_TO_SET = """\
`--set section.name=value`, a YAML file (`--params`, `params_file`), or ROS parameters. `config/parameters.yaml` has those that
only the nodes need, too. An option of the command line wins over a file, a file over a preset, a preset over the default."""
ABOUT_PRESETS = """\
`--preset NAME`; the map's `config.yaml` has the values that held. They are stated by the reasons given, not measured on a data
set."""
ABOUT_EVENTS = """\
`--json` makes every command print events on standard output, one JSON object per line and nothing else, also where it fails, is
interrupted or a library crashes. The last line is always `result` or `error`; errors stand on standard error for a person, too.
Names of events and fields are stable; fields may be added. This is version {version} (`schema`). Every event has `event` and
`time` (UTC, ISO 8601). After {answers}, `--json` prints the last event alone; before the command (`seg2d3d --json find …`) all.
`evaluate --json FILE` names a file."""
EVENTS_EXAMPLE = "seg2d3d run photos/ --segmenter none --out map --json | jq -r 'select(.event == \"progress\") | .eta'"


def cell(text: object) -> str:
    """A text as it may stand in a cell of a table."""
    return re.sub(r"\s+", " ", str(text)).replace("|", "\\|").replace("<", "&lt;").strip()


def commands() -> str:
    """Every command with its arguments, options and examples."""
    from seg2d3d_ros.cli.arguments.parser import sub_parsers
    from seg2d3d_ros.cli.main import COMMANDS, build_parser

    parser = build_parser(every=True)
    subs = sub_parsers(parser)
    lines = [MADE, "# Commands", "", "`seg2d3d COMMAND --help` says the same. Before every command, or behind it:", ""]
    lines += _options([action for action in parser._actions if action.option_strings])
    everywhere = {name for action in parser._actions for name in action.option_strings}
    lines += ["", "| command | does |", "|---|---|"]
    lines += [f"| [`{name}`](#{name}) | {cell(summary)} |" for name, (_, summary) in COMMANDS.items()]
    for name, sub in subs.items():
        own = [a for a in sub._actions if a.nargs != 0 or not set(a.option_strings) & everywhere]
        own = [a for a in own if "--log" not in a.option_strings]
        lines += ["", f"## {name}", "", f"{COMMANDS[name][1][0].upper()}{COMMANDS[name][1][1:]}.", ""]
        lines += ["```bash", *sub.epilog.partition("for example:\n")[2].replace("\n  ", "\n").strip().splitlines(), "```"]
        lines += ["", *_options(own)] if own else []
    return "\n".join(lines) + "\n"


def _options(actions: list[argparse.Action]) -> list[str]:
    lines = ["| argument | meaning |", "|---|---|"]
    for action in actions:
        metavar = action.metavar if action.metavar else "|".join(map(str, action.choices or ())) or action.dest.upper()
        if not action.option_strings:
            names = [f"`{metavar}`"]
        else:
            names = [f"`{name}`" if action.nargs == 0 else f"`{name} {metavar}`" for name in action.option_strings]
        words = cell((action.help or "").replace("%%", "%"))
        required = " **(required)**" if action.option_strings and action.required else ""
        lines.append(f"| {cell(', '.join(names))} | {words}{required} |")
    return lines


def parameters() -> str:
    """Every parameter of the core, and the presets."""
    from seg2d3d_ros.config import SECTIONS, declarations
    from seg2d3d_ros.sections.presets import PRESETS

    lines = [MADE, "# Parameters", "", HOW_TO_SET, "", "## Presets", "", ABOUT_PRESETS]
    for name, preset in PRESETS.items():
        lines += ["", f"### {name}", "", f"For {preset.what}."]
        if preset.values:
            lines += ["", "| parameter | value | why |", "|---|---|---|"]
            lines += [f"| `{key}` | {cell(value)} | {cell(why)} |" for key, (value, why) in preset.values.items()]
    for section, cls in SECTIONS.items():
        lines += ["", f"## {section}", "", f"{(cls.__doc__ or '').splitlines()[0]}", ""]
        lines += ["| parameter | default | range | meaning |", "|---|---|---|---|"]
        for key, item in declarations().items():
            if key.partition(".")[0] == section:
                within = " … ".join(f"{bound:g}" for bound in (item.low, item.high) if bound is not None)
                within = ", ".join(f"`{choice}`" for choice in item.choices) or f"{within} {item.unit}".strip()
                default = ", ".join(item.default) if isinstance(item.default, tuple) else item.default
                shown = f"`{default}`" if default != "" else ""
                lines.append(f"| `{key}` | {cell(shown)} | {cell(within)} | {cell(item.description)} |")
    return "\n".join(lines) + "\n"


def events() -> str:
    """Every event of ``--json``."""
    from seg2d3d_ros.cli.output.choice import ANSWERS
    from seg2d3d_ros.cli.output.events import EVENTS, VERSION

    words = ABOUT_EVENTS.format(version=VERSION, answers=_listed(ANSWERS))
    lines = [MADE, "# Events for programs", "", words, "", "```bash", EVENTS_EXAMPLE, "```"]
    for name, (what, fields) in EVENTS.items():
        lines += ["", f"## {name}", "", f"{what[0].upper()}{what[1:]}.", "", "| field | meaning |", "|---|---|"]
        lines += [f"| `{field}` | {cell(meaning)} |" for field, meaning in fields.items()]
    return "\n".join(lines) + "\n"


def _listed(names: tuple[str, ...]) -> str:
    words = [f"`{name}`" for name in names]
    return f"{', '.join(words[:-1])} and {words[-1]}"


def drawn() -> dict[Path, str]:
    """The documents by their paths."""
    sys.path.insert(0, str(ROOT))
    try:
        return {ROOT / "docs" / f"{name}.md": make() for name, make in PAGES.items()}
    finally:
        sys.path.remove(str(ROOT))


PAGES = {"commands": commands, "parameters": parameters, "events": events}

if __name__ == "__main__":
    for path, text in drawn().items():
        path.write_text(text)
