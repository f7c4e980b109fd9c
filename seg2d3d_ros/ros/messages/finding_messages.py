"""Findings in /diagnostics: of each kind a value in words, for people, and one in JSON, from which all of it comes back.

The keys are ``finding: <code>`` and ``finding data: <code>``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import LEVELS, Finding, Kind

WORDS, DATA = "finding: ", "finding data: "
LONGEST = 20_000
"""Characters of one finding's JSON; longer ones are not from this package."""


def finding_values(findings: Iterable[Finding]) -> list[KeyValue]:
    """The two values of each finding."""
    values = []
    for finding in findings:
        values.append(KeyValue(key=f"{WORDS}{finding.kind.code}", value=finding.text))
        values.append(KeyValue(key=f"{DATA}{finding.kind.code}", value=finding_to_text(finding)))
    return values


def findings_of(status: DiagnosticStatus) -> list[Finding]:
    """The inverse of ``finding_values``; values that are no findings of this package are left out."""
    found = []
    for pair in status.values:
        if pair.key.startswith(DATA):
            try:
                found.append(finding_from_text(pair.value))
            except DataError:
                continue  # another package may use such a key
    return found


def finding_to_text(finding: Finding) -> str:
    """A finding as JSON; details that are no numbers become texts."""
    kind = finding.kind
    entry = {
        **{name: getattr(kind, name) for name in ("code", "what", "cause", "remedy", "level")},
        **{"count": finding.count, "of": finding.of, "examples": list(finding.examples)},
        "details": {
            name: value if isinstance(value, bool | int | float) else str(value) for name, value in finding.details.items()
        },
    }
    return json.dumps(entry, ensure_ascii=False)


def finding_from_text(text: str) -> Finding:
    """The inverse of ``finding_to_text``.

    Raises:
        DataError: no such JSON.
    """
    if len(text) > LONGEST:
        raise DataError(f"a finding of {len(text)} characters")
    try:
        entry: Any = json.loads(text)
        kind = Kind(*(entry[name] for name in ("code", "what", "cause", "remedy", "level")))
        finding = Finding(kind, entry["count"], entry["of"], tuple(entry["examples"]), entry["details"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f"no finding: {type(error).__name__}: {error}") from error
    if not _is_whole(finding):
        raise DataError(f"no finding: {text[:80]}")
    return finding


def _is_whole(finding: Finding) -> bool:
    """Whether all parts have their types, and the texts can be filled in."""
    kind, details = finding.kind, finding.details
    texts = (kind.code, kind.what, kind.cause, kind.remedy, *finding.examples)
    numbers = (finding.count, finding.of)
    if not all(isinstance(text, str) for text in texts) or not all(type(number) is int and number >= 0 for number in numbers):
        return False
    if kind.level not in LEVELS or not isinstance(details, dict):
        return False
    try:
        return all(isinstance(value, str | int | float) for value in details.values()) and finding.text != ""
    except (ValueError, AttributeError, LookupError, TypeError):
        return False  # braces of somebody else's text
