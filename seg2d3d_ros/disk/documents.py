"""JSON and YAML read with limits: what a file may cost to read does not depend on who wrote it.

Every refusal is one line that names the file and the place in it. Refused are, beside what is no JSON or YAML at all: files
that would need more memory than ``MAX_MEMORY``, deep nesting, aliases that blow a small YAML file up or contain themselves,
numbers that no 64-bit type holds, NaN, a name that is given twice, and text that no file name or page could hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

from seg2d3d_ros.errors import DataError, Seg2d3dError, UsageError

MAX_MEMORY = 4 << 30
"""Bytes that a JSON document may need, estimated from the commas and brackets in it; the largest are COCO files."""
MAX_YAML_BYTES = 1 << 20
MAX_YAML_NODES = 100_000
"""Counted with every alias written out."""
MAX_DEPTH = 64

_SUSPECT_NUMBER = re.compile(rb"\d{20}|\d[eE]\+?\d{3}")
_SUSPECT_TEXT = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", b"\1\1\xff\xff")  # as signed bytes: 1 and -1


def read_json(
    path: Path,
    *,
    remedy: str = "",
    error: type[Seg2d3dError] = DataError,
    unreadable: type[Seg2d3dError] = UsageError,
    lenient: bool = False,
) -> Any:
    """The value in a JSON file (UTF-8, with or without a byte order mark, or UTF-16).

    Args:
        path: the file.
        remedy: the way out, which ends the message.
        error: raised for what the file holds.
        unreadable: raised where there is no such file, or it may not be read.
        lenient: let numbers that are none, or too large, and names that are given twice come through, for readers that
            judge each value and leave out the bad ones.
    """
    data = _content(path, MAX_MEMORY // 4, unreadable, remedy)
    return parse_json(data, str(path), remedy=remedy, error=error, lenient=lenient)


def read_yaml(
    path: Path, *, remedy: str = "", error: type[Seg2d3dError] = DataError, unreadable: type[Seg2d3dError] = UsageError
) -> Any:
    """The value in a YAML file; arguments as for ``read_json``."""
    return parse_yaml(_content(path, MAX_YAML_BYTES, unreadable, remedy), str(path), remedy=remedy, error=error)


def parse_json(
    data: str | bytes, where: str, *, remedy: str = "", error: type[Seg2d3dError] = DataError, lenient: bool = False
) -> Any:
    """The value of a JSON text; ``where`` it comes from begins the message. Other arguments as for ``read_json``."""
    raw = data.encode(errors="surrogatepass") if isinstance(data, str) else data
    try:
        opened = raw.count(b"[") + raw.count(b"{")
        if 2 * len(raw) + 100 * opened + 40 * raw.count(b",") > MAX_MEMORY:
            raise ValueError(f"too large: {len(raw) >> 20} MB of JSON")
        text = raw.decode("utf-8-sig" if raw.startswith(b"\xef\xbb\xbf") else json.detect_encoding(raw))
        hooks: dict[str, Any] = {} if lenient else {"object_pairs_hook": _unique, "parse_constant": _no_number}
        if not lenient and _SUSPECT_NUMBER.search(raw):  # these two cost time
            hooks |= {"parse_int": _whole_number, "parse_float": _finite_number}
        value = json.loads(text, **hooks)
        if _depth(raw) > MAX_DEPTH or _SUSPECT_TEXT.search(raw):
            _check(value)
        return value
    except json.JSONDecodeError as problem:
        place = f"line {problem.lineno}, column {problem.colno}"
        raise error(_sentence(where, f"no valid JSON ({problem.msg}, {place})", remedy)) from problem
    except RecursionError as problem:
        raise error(_sentence(where, f"nested deeper than {MAX_DEPTH} levels", remedy)) from problem
    except ValueError as problem:
        raise error(_sentence(where, f"no usable JSON ({problem})", remedy)) from problem


def parse_yaml(data: str | bytes, where: str, *, remedy: str = "", error: type[Seg2d3dError] = DataError) -> Any:
    """The value of a YAML text; ``where`` it comes from begins the message. Only plain values: no objects, no code."""
    try:
        return yaml.load(data, _LimitedLoader)  # a safe loader
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise error(_sentence(where, f"no usable YAML ({problem.problem or problem.context}{place})", remedy)) from problem
    except yaml.YAMLError as problem:
        reason = " ".join(str(problem).split())
        raise error(_sentence(where, f"no usable YAML ({reason})", remedy)) from problem
    except RecursionError as problem:
        raise error(_sentence(where, f"nested deeper than {MAX_DEPTH} levels", remedy)) from problem
    except (ValueError, ArithmeticError, AttributeError, TypeError) as problem:  # what PyYAML's constructors let through
        raise error(_sentence(where, f"no usable YAML ({problem})", remedy)) from problem


def shown(value: object, length: int = 60) -> str:
    """``value`` for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]}…"


def _content(path: Path, limit: int, unreadable: type[Seg2d3dError], remedy: str) -> bytes:
    """The whole file; at most ``limit`` bytes of it are read."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as problem:  # ValueError: a name that no file system takes
        reason = getattr(problem, "strerror", None) or problem
        raise unreadable(_sentence(str(path), f"cannot be read ({reason})", remedy)) from problem
    if len(data) > limit:
        raise DataError(_sentence(str(path), f"larger than {limit >> 20} MB, which no such file is", remedy))
    return data


def _sentence(where: str, problem: str, remedy: str) -> str:
    return f"{where}: {problem}" + (f"; {remedy}" if remedy else "")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{shown(next(name for name in names if names.count(name) > 1))} is given twice in one object")
    return found


def _depth(raw: bytes) -> int:
    """How deep brackets are nested, those in texts counted too."""
    steps = raw.translate(_STEPS, _NO_BRACKETS)
    return max(accumulate(memoryview(steps).cast("b")), default=0)


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _whole_number(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**64:
        raise ValueError(f"the number {text[:24]}… is too large")
    return int(text)


def _finite_number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:24]} is too large")
    return value


def _check(value: Any) -> None:
    """Raises ``RecursionError`` for deep nesting, ``ValueError`` for a text that no file name or page could hold."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.keys()
                inner += item.values()
            elif isinstance(item, list):
                inner += item
            elif isinstance(item, str) and not _storable(item):
                raise ValueError("a text holds a character that no name can hold")
        if not inner:
            return
        level = inner
    raise RecursionError


def _storable(text: str) -> bool:
    """Whether a file name or a page could hold this text."""
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def _refused(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, mark)


class _LimitedLoader(yaml.SafeLoader):
    """PyYAML's safe loader, in Python: libyaml's recursion cannot be limited."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._sizes: dict[int, int] = {}
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        mark: Any = event.start_mark
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _refused(f"nested deeper than {MAX_DEPTH} levels", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(event, yaml.AliasEvent):
            if id(node) not in self._sizes:
                raise _refused("an alias for what it stands in", mark)
        elif node is not None:
            self._sizes[id(node)] = self._size(node)
            if self._sizes[id(node)] > MAX_YAML_NODES:
                raise _refused(f"more than {MAX_YAML_NODES} values, aliases counted", mark)
        return node

    def _size(self, node: yaml.Node) -> int:
        if isinstance(node, yaml.MappingNode):
            return 1 + sum(self._sizes[id(key)] + self._sizes[id(value)] for key, value in node.value)
        if isinstance(node, yaml.SequenceNode):
            return 1 + sum(self._sizes[id(item)] for item in node.value)
        return 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():  # else PyYAML says it
            name = (key.tag, str(key.value))
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if name in seen:
                    raise _refused(f"{shown(key.value)} is given twice", key.start_mark)
                seen.add(name)
        return super().construct_mapping(node, deep)

    def number(self, node: yaml.ScalarNode) -> int:
        """A whole number of 64 bits at most."""
        if len(node.value) > 66 or not -(2**63) <= (value := self.construct_yaml_int(node)) < 2**64:
            raise _refused(f"{shown(node.value)} is too large", node.start_mark)
        return value

    def text(self, node: yaml.ScalarNode) -> str:
        """A text without zero characters and halves of surrogate pairs, which no file name holds."""
        value = str(self.construct_yaml_str(node))
        if not _storable(value):
            raise _refused("a character that no name can hold", node.start_mark)
        return value


_LimitedLoader.add_constructor("tag:yaml.org,2002:int", _LimitedLoader.number)
_LimitedLoader.add_constructor("tag:yaml.org,2002:str", _LimitedLoader.text)
_LimitedLoader.add_implicit_resolver(  # as YAML 1.2 and ROS have it: PyYAML takes 1e-3 for a text
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)
