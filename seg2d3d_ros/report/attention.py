"""What needs attention: what was dropped, doubted or not done, with its likely cause and the way out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from seg2d3d_ros.findings import ERROR, LEVELS, NOTE, WARNING
from seg2d3d_ros.report.content import Content, Instance
from seg2d3d_ros.report.words import count

MAX_NAMES = 200
SURE = 0.9
"""Score from which on nine in ten instances are right (docs/association.md)."""
MAX_DOUBTFUL = 60


@dataclass(frozen=True)
class Notice:
    """One thing that a person should know or do; ``cause`` and ``remedy`` may be empty where ``words`` have them."""

    level: str
    words: str
    cause: str = ""
    remedy: str = ""


def notices(content: Content) -> list[Notice]:
    """The gravest first (``findings.LEVELS``)."""
    listed = [entry for entry in content.metrics.get("findings") or [] if isinstance(entry, dict)]
    known = {str(entry.get("text", "")) for entry in listed}
    found = [_of_finding(entry) for entry in listed]
    found += [Notice(WARNING, str(words)) for words in content.metrics.get("warnings") or [] if str(words) not in known]
    found += [Notice(WARNING, words) for words in content.damage]
    found += _of_the_whole(content)
    if len(content.models) > 1 and "separate_models" not in {entry.get("code") for entry in listed}:
        # A map that was made before this was a finding.
        sizes = ", ".join(str(len(model.names)) for model in content.models[:8]) + (", …" if len(content.models) > 8 else "")
        words = f"The images fall into {len(content.models)} components that share no points ({sizes} images)."
        found.append(Notice(WARNING, words))
    found = [Notice(item.level, *map(content.readable, (item.words, item.cause, item.remedy))) for item in found]
    order = {level: -k for k, level in enumerate(LEVELS)}
    return sorted(dict.fromkeys(found), key=lambda notice: order.get(notice.level, 0))


def in_short(notices: list[Notice], doubted: int) -> tuple[str, str]:
    """The gravest level and how many there are of each, in words; empty where there is nothing to tell."""
    by_level = Counter(notice.level for notice in notices)
    parts = [count(by_level[level], level) for level in reversed(LEVELS) if by_level[level]]
    if doubted:
        parts.append(count(doubted, "instance") + " to look at")
    level = next((level for level in reversed(LEVELS) if by_level[level]), NOTE)
    return level, ", ".join(parts)


def _of_finding(entry: Mapping[str, Any]) -> Notice:
    level, text = str(entry.get("level", WARNING)), str(entry.get("text", ""))
    cause, remedy = str(entry.get("cause") or ""), str(entry.get("remedy") or "")
    ending = "; ".join(part for part in (cause, remedy) if part)
    if not ending or not text.endswith(ending):  # of a map that was made before they were told apart
        return Notice(level, text)
    return Notice(level, text.removesuffix(ending).removesuffix("; "), cause, remedy)


def _of_the_whole(content: Content) -> Iterator[Notice]:
    images, placed = content.image_count, len(content.registered)
    if not images:
        words = "Give 'seg2d3d run' a folder with JPEG or PNG files, or 'seg2d3d bag' a bag with cameras."
        yield Notice(ERROR, "No image went in.", remedy=words)
    elif not content.models:
        words = "They must overlap by more than half, be sharp, and be taken from different places."
        yield Notice(ERROR, "No two images could be brought together in 3D.", remedy=words)
    elif not content.instances and content.segmented:
        words = (
            "Check that segments/ holds masks for the registered images, and that association.min_points and "
            "association.min_images are not too strict for so few images."
        )
        yield Notice(ERROR, "The 3D model is there, but no instance was found.", remedy=words)
    elif placed < 0.8 * images:
        words = f"{images - placed:,} of {images:,} images are not in the map; the reasons are listed below."
        yield Notice(WARNING, words)


def doubtful(content: Content) -> list[Instance]:
    """The instances to look at, the least sure first: those that are not ``SURE``."""
    doubted = [item for item in content.instances if item.score < SURE]
    return sorted(doubted, key=lambda item: (item.score, item.id))[:MAX_DOUBTFUL]


def unregistered(content: Content) -> list[tuple[str, list[str], int]]:
    """The images without a pose by reason, the most frequent first: reason, what to call them, how many more there are."""
    reasons: dict[str, list[str]] = {}
    for name, reason in sorted(content.unregistered.items()):
        reasons.setdefault(reason, []).append(content.caption(name))
    ordered = sorted(reasons.items(), key=lambda item: -len(item[1]))
    return [(reason, names[:MAX_NAMES], max(len(names) - MAX_NAMES, 0)) for reason, names in ordered]
