"""What a parameter is: how it is declared in a dataclass, checked, and read from a text."""

from __future__ import annotations

import dataclasses
import difflib
import math
import typing
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from seg2d3d_ros.disk.documents import parse_yaml, shown
from seg2d3d_ros.errors import UsageError

Value = bool | int | float | str | tuple[str, ...]


def param(
    default: Any,
    description: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """Declare a parameter as a dataclass field; ``low`` and ``high`` are inclusive."""
    facts = {"description": description, "unit": unit, "low": low, "high": high, "choices": choices}
    return field(default=default, metadata=facts)


@dataclass(frozen=True)
class Declaration:
    """One parameter as its users see it."""

    key: str
    kind: type
    default: Value
    description: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]

    def check(self, value: Any, source: str = "") -> Value:
        """Return ``value`` in the declared type, or raise ``UsageError`` that says what would be right.

        Args:
            value: as a file, a message or a command line gave it.
            source: where it comes from, the beginning of the message: ``"drive.yaml: "``.
        """
        try:
            return self._checked(value)
        except UsageError as error:
            raise UsageError(f"{source}{error}") from error

    def _checked(self, value: Any) -> Value:
        if self.kind is tuple:
            items = [value] if isinstance(value, str) else value
            if not isinstance(items, list | tuple) or not all(isinstance(i, str) for i in items):
                raise UsageError(f"{self.key}: expected a list of texts, got {shown(value)}")
            return tuple(items)
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        fits = type(value) is self.kind
        if not fits:
            raise UsageError(f"{self.key}: expected {self.kind.__name__}, got {shown(value)}; the default is {self.default!r}")
        if self.choices and value not in self.choices:
            raise UsageError(f"{self.key}: {shown(value)} is none of {', '.join(self.choices)}{nearest(value, self.choices)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{self.key}: {value} is no number")
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            raise UsageError(f"{self.key}: {value} is outside {self.low} … {self.high} {self.unit}".rstrip())
        return value

    def parse(self, text: str) -> Value:
        """Read a value typed on a command line."""
        if self.kind is str:
            return self.check(text)
        if self.kind is tuple:
            return self.check(self._list(text))
        return self.check(parse_yaml(text, self.key, error=UsageError))

    def _list(self, text: str) -> list[str]:
        """The items of ``a, b`` or ``[a, b]``."""
        if not text.strip().startswith("["):
            return [part.strip() for part in text.split(",") if part.strip()]
        items = parse_yaml(text, self.key, remedy="a list is written [a, b]", error=UsageError)
        return [str(item) for item in items]


def declarations_of(cls: type, prefix: str = "") -> dict[str, Declaration]:
    """The parameters of one dataclass by ``prefix + name``, in their order of declaration."""
    hints = typing.get_type_hints(cls)
    found = {}
    for f in dataclasses.fields(cls):
        kind = typing.get_origin(hints[f.name]) or hints[f.name]
        default: Any = f.default
        found[prefix + f.name] = Declaration(prefix + f.name, kind, default, **f.metadata)
    return found


def nearest(word: str, candidates: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the most similar candidate, or nothing."""
    close = difflib.get_close_matches(str(word)[:100], list(candidates), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
