"""The commented parameter file: every parameter with its default, meaning, unit, range and choices.

``python -m seg2d3d_ros.ros.node.parameter_file > config/parameters.yaml`` writes it anew; a test holds the two equal.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

import yaml

from seg2d3d_ros.config import ALIASES, SECTIONS
from seg2d3d_ros.declaration import Declaration, Value, declarations_of
from seg2d3d_ros.ros.node.parameters import NODE_PARAMETERS

_HEAD = """\
# Every parameter of seg2d3d_ros with its default. Copy it, keep the lines that you change, and hand it to
#   ros2 launch seg2d3d_ros pipeline.launch.py params_file:=FILE
#   ros2 run seg2d3d_ros NODE --ros-args --params-file FILE
#   seg2d3d run|bag … --params FILE        (reads the sections; what stands under the nodes' names is for the nodes)
# The command line beats the file, the file beats the defaults. Unknown names are refused.
# /** stands for every node; a node's full name in its place (/seg2d3d/keyframe_node) is for that node alone.
"""
_WIDTH = 112


def value_text(value: Value) -> str:
    """A value as one line of YAML; a list in brackets."""
    text = yaml.safe_dump(
        list(value) if isinstance(value, tuple) else value, default_flow_style=True, allow_unicode=True, width=10**6
    )
    return text.removesuffix("\n").removesuffix("\n...")


def describe(declaration: Declaration) -> str:
    """Meaning, unit, choices or range in one sentence."""
    facts = []
    if declaration.choices:
        facts.append(f"one of {', '.join(declaration.choices)}")
    elif declaration.low is not None or declaration.high is not None:
        low = "" if declaration.low is None else f"{declaration.low:.10g}"
        high = "" if declaration.high is None else f"{declaration.high:.10g}"
        facts.append(f"{low} … {high} {declaration.unit}".strip())
    elif declaration.unit:
        facts.append(declaration.unit)
    return declaration.description + "".join(f" [{fact}]" for fact in facts)


def ros_declarations() -> dict[str, Declaration]:
    """What only ROS needs, of all nodes, by name."""
    return {name: d for cls in NODE_PARAMETERS for name, d in declarations_of(cls).items()}


def parameter_file() -> str:
    """The text of config/parameters.yaml."""
    lines = [_HEAD.rstrip(), "", "/**:", "  ros__parameters:"]
    groups: dict[tuple[str, ...], list[Declaration]] = {}
    for name, declaration in ros_declarations().items():
        owners = tuple(_node(cls) for cls in NODE_PARAMETERS if name in declarations_of(cls))
        groups.setdefault(owners, []).append(declaration)
    for owners, found in groups.items():
        title = "all nodes" if len(owners) == len(NODE_PARAMETERS) else ", ".join(owners)
        lines += ["", f"    # --- {title}", *_entries(found, 4)]
    short = {name: alias for alias, name in ALIASES.items()}
    for section, cls in SECTIONS.items():
        lines += ["", f"    # --- {(cls.__doc__ or '').strip().splitlines()[0].rstrip('.').lower()}", f"    {section}:"]
        for name, declaration in declarations_of(cls).items():
            alias = short.get(f"{section}.{name}")
            lines += _entries([declaration], 6, f" (short: {alias})" if alias else "")
    return "\n".join(lines) + "\n"


def _node(cls: type) -> str:
    """The node's name: the first word of its parameters' docstring."""
    return re.split(r"\W", (cls.__doc__ or "").strip(), maxsplit=1)[0]


def _entries(found: Iterable[Declaration], indent: int, note: str = "") -> list[str]:
    """A comment and ``name: default`` for each declaration."""
    lines = []
    for declaration in found:
        comment = textwrap.wrap(describe(declaration) + note, _WIDTH - indent, break_long_words=False)
        lines += [f"{' ' * indent}# {line}" for line in comment]
        lines.append(f"{' ' * indent}{declaration.key}: {value_text(declaration.default)}")
    return lines


if __name__ == "__main__":
    print(parameter_file(), end="")
