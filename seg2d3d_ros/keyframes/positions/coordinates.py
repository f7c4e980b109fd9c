"""Numbers, angles and heights as people and programs write them into tables."""

from __future__ import annotations

import math
import re

_GAPS = {"", "-", "--", "na", "n/a", "nan", "null", "none", "nil", "?"}
_NUMBER = r"[-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?"
_ANGLE_SIGNS = re.compile(r"(?:°|º|deg|d|′|’|'|″|”|\"|min|sec|m|s|:|\s)*")
LETTERS = {"latitude": "NS", "longitude": "EW"}


def number(text: str) -> float:
    """A decimal number with point or comma; NaN where the field says that there is none.

    Raises:
        ValueError: something else.
    """
    text = text.strip()
    if text.casefold() in _GAPS:
        return math.nan
    if not re.fullmatch(_NUMBER, text):
        raise ValueError(f"{text[:40]!r} is no number")
    value = float(text.replace(",", "."))
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]!r} is too large")
    return value


def angle(text: str, axis: str) -> float:
    """Degrees from ``-33.8``, ``33,8 S``, ``S 33.8``, ``33°48'30.5"S`` or ``33 deg 48' 30.50" S``; NaN where there is none.

    Args:
        text: the field.
        axis: ``latitude`` or ``longitude``.

    Raises:
        ValueError: no angle, or one of the other axis.
    """
    text = text.strip()
    if text.casefold() in _GAPS:
        return math.nan
    bare, letter = _without_letter(text)
    if letter and letter not in LETTERS[axis]:
        raise ValueError(f"{text[:40]!r} is no {axis}: are latitude and longitude swapped?")
    parts = re.findall(_NUMBER, bare)
    if not 1 <= len(parts) <= 3 or not _ANGLE_SIGNS.fullmatch(re.sub(_NUMBER, " ", bare)):
        raise ValueError(f"{text[:40]!r} is no {axis}")
    values = [float(part.replace(",", ".")) for part in parts]
    if not all(map(math.isfinite, values)) or any(not 0 <= value < 60 for value in values[1:]):
        raise ValueError(f"{text[:40]!r} is no {axis}")
    size = sum(abs(value) / 60**place for place, value in enumerate(values))
    return -size if parts[0].startswith("-") or letter in ("S", "W") else size


def _without_letter(text: str) -> tuple[str, str]:
    """The text without the letter of the hemisphere, and the letter; empty without one."""
    for pattern in (r"(?P<letter>[NSEW])\s*(?P<rest>[-+\d].*)", r"(?P<rest>.*[\d°'\"′″”\s])(?P<letter>[NSEW])"):
        if found := re.fullmatch(pattern, text.upper(), re.DOTALL):
            return found["rest"].lower(), found["letter"]
    return text.lower(), ""


def height(text: str) -> float:
    """Metres from ``12,5``, ``12.5 m`` or ``3 m Below Sea Level``; NaN where there is no height, or none that can be read."""
    found = re.fullmatch(
        rf"\s*({_NUMBER})\s*(?:m|meters?|metres?)?\s*(above sea level|below sea level)?\s*", text, re.IGNORECASE
    )
    if not found:
        return math.nan
    value = float(found[1].replace(",", "."))
    below = (found[2] or "").casefold().startswith("below")
    return (-value if below else value) if math.isfinite(value) else math.nan
