"""What was dropped, not matched, not used or doubted: counted, with its likely cause and the way out.

Each part of the software declares the kinds of findings that it can make beside the code that makes them. A run or a node
collects its findings in one ``Findings``; from there they reach the terminal, metrics.json, the report, /diagnostics and the
answers of services. The table in docs/troubleshooting.md is drawn from the declarations (scripts/draw_troubles.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 3
"""Names that a finding shows; the others are only counted."""
NOTE, WARNING, ERROR = "note", "warning", "error"
LEVELS = (NOTE, WARNING, ERROR)


def printable(text: str) -> str:
    """``text`` with control characters escaped: names come from files and messages, and a terminal obeys what it is sent."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _Details(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "…"


@dataclass(frozen=True)
class Kind:
    """One way in which input, or a result, is not what was expected.

    Attributes:
        code: a stable name for programs, ``snake_case``.
        what: what is counted, a plural without article: "photos without a mask".
        cause: the likely cause; ``{name}`` stands for a detail that is given with each finding.
        remedy: what the person can do; the same.
        level: ``NOTE`` where nothing need be done, ``WARNING`` where the result may be poorer or wrong, ``ERROR`` where a part
            of what was asked for is missing.
    """

    code: str
    what: str
    cause: str
    remedy: str
    level: str = WARNING


@dataclass(frozen=True)
class Finding:
    """A kind, how often it was met, and the first cases. May be sent to another process.

    Attributes:
        of: out of how many; 0 = unknown.
        examples: names of the first cases.
        details: what the kind's texts have in braces.
    """

    kind: Kind
    count: int = 1
    of: int = 0
    examples: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The whole sentence: what, how often, where, why, and what to do."""
        number = f"{self.count} of {self.of}" if self.of else f"{self.count}"
        shown = ", ".join(self.examples) + (", …" if self.count > len(self.examples) else "")
        parts = [f"{self.kind.what}: {number}" + (f" ({shown})" if self.examples else ""), self.cause, self.remedy]
        return "; ".join(printable(part) for part in parts if part)

    @property
    def cause(self) -> str:
        """The likely cause in words."""
        return printable(self.kind.cause.format_map(_Details(self.details)))

    @property
    def remedy(self) -> str:
        """What the person can do, in words."""
        return printable(self.kind.remedy.format_map(_Details(self.details)))

    def to_json(self) -> dict[str, Any]:
        """For metrics.json."""
        facts = {"code": self.kind.code, "level": self.kind.level, "count": self.count, "of": self.of}
        words = {"what": self.kind.what, "cause": self.cause, "remedy": self.remedy, "text": self.text}
        return {**facts, "examples": list(self.examples), **words}


class Findings:
    """All findings of one run or node; those of one kind are counted together. Safe to use from any thread.

    Args:
        on_new: called with a kind's first finding, and whenever its count has doubled since, outside the lock.
    """

    def __init__(self, on_new: Callable[[Finding], None] | None = None) -> None:
        self._found: dict[str, Finding] = {}
        self._when: dict[str, float] = {}
        self._told: dict[str, int] = {}
        self._lock = threading.Lock()
        self._on_new = on_new

    def add(self, kind: Kind, *examples: str, count: int | None = None, of: int = 0, **details: Any) -> None:
        """Count cases of a kind: one for each example, or ``count``; the newest ``of`` and details hold."""
        more = count if count is not None else max(len(examples), 1)
        if more:
            with self._lock:
                old = self._found.get(kind.code, Finding(kind, 0))
                shown = tuple(dict.fromkeys((*old.examples, *examples)))[:EXAMPLES]
                self._keep(Finding(kind, old.count + more, of or old.of, shown, {**old.details, **details}))
            self._tell(kind.code)

    def put(self, finding: Finding) -> None:
        """Set a kind to this finding, whatever was counted before; a count of 0 removes it."""
        with self._lock:
            if finding.count:
                self._keep(finding)
            else:
                self._found.pop(finding.kind.code, None)
        self._tell(finding.kind.code)

    def update(self, findings: Iterable[Finding]) -> None:
        """Add findings that were made elsewhere."""
        for found in findings:
            self.add(found.kind, *found.examples, count=found.count, of=found.of, **found.details)

    def list(self, *, newer_than: float = float("inf")) -> list[Finding]:
        """What there is, the gravest first, then in the order of discovery.

        Args:
            newer_than: only kinds that were met within so many seconds.
        """
        now = time.monotonic()
        with self._lock:
            found = [f for code, f in self._found.items() if now - self._when[code] < newer_than]
        return sorted(found, key=lambda finding: -LEVELS.index(finding.kind.level))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._found.clear()
            self._told.clear()

    def _keep(self, finding: Finding) -> None:
        self._found[finding.kind.code] = finding
        self._when[finding.kind.code] = time.monotonic()

    def _tell(self, code: str) -> None:
        with self._lock:
            finding = self._found.get(code)
            new = finding is not None and finding.count >= 2 * self._told.get(code, 0)
            if finding is not None and new:
                self._told[code] = finding.count
        if finding is not None and new and self._on_new:
            self._on_new(finding)
