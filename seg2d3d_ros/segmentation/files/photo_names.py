"""Which mask file, or which entry of an annotation file, belongs to which photo: by name, as long as it is unambiguous.

Exact names come first. Then Unicode forms, upper and lower case, what tools append (``x_mask``, ``x.jpg.png``), and folders
that only one side has do not matter, in this order, and only where one thing belongs to one photo.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import PurePosixPath
from typing import NamedTuple

WHOLE = 0
"""Not only the last parts of a path count."""


class PhotoName(NamedTuple):
    """A photo's key, and its file below the folder of photos (``front/0001.jpg``; may be empty)."""

    name: str
    file_name: str = ""

    @property
    def below(self) -> str:
        """The file without its ending, folders included."""
        return PurePosixPath(self.file_name).with_suffix("").as_posix() if self.file_name else self.name

    @property
    def stem(self) -> str:
        """The file's name without folders and ending."""
        return PurePosixPath(self.file_name).stem if self.file_name else self.name

    @property
    def folder(self) -> str:
        """The folders that the file is in; empty where there are none."""
        parent = PurePosixPath(self.file_name).parent.as_posix() if self.file_name else "."
        return "" if parent == "." else parent


@dataclass(frozen=True)
class Named:
    """Something that may belong to a photo.

    Attributes:
        label: what messages call it.
        forms: the names without ending that it may stand for, from the plainest reading to the most liberal one.
    """

    label: str
    forms: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Matches:
    """Who belongs to whom.

    Attributes:
        found: by the photo's key, the index of what belongs to it.
        ambiguous: by the photo's key, the indices between which nobody can choose.
        unused: indices of what belongs to no photo.
    """

    found: dict[str, int]
    ambiguous: dict[str, tuple[int, ...]]
    unused: tuple[int, ...]


def match_names(photos: Sequence[PhotoName], things: Sequence[Named], wanted: Mapping[str, str] | None = None) -> Matches:
    """Give each photo what belongs to it. A thing has one photo at most.

    Args:
        wanted: by the photo's key, the one form that is looked for; None = the photo's key, its path, and in the end its name
            without folders.
    """
    found: dict[str, int] = {}
    ambiguous: dict[str, tuple[int, ...]] = {}
    taken: set[int] = set()
    tiers = max((len(thing.forms) for thing in things), default=0)
    scopes = (WHOLE, 3, 2, 1) if wanted is None else (WHOLE,)
    for parts, tier, fold in product(scopes, range(tiers), (False, True)):
        table = defaultdict(set)
        for index, thing in enumerate(things):
            for form in thing.forms[tier] if tier < len(thing.forms) and index not in taken else ():
                if key := _key(form, parts, fold):
                    table[key].add(index)
        claims: dict[str, set[int]] = {}
        for photo in photos:
            if photo.name not in found and photo.name not in ambiguous:
                names = (photo.name, photo.below) if wanted is None else (wanted[photo.name],)
                if claim := set().union(*(table.get(_key(name, parts, fold), ()) for name in names)):
                    claims[photo.name] = claim
        claimants: dict[int, int] = defaultdict(int)
        for claim in claims.values():
            for index in claim:
                claimants[index] += 1
        for name, claim in claims.items():
            if len(claim) == 1 and claimants[min(claim)] == 1:
                found[name] = min(claim)
                taken.add(min(claim))
            else:
                ambiguous[name] = tuple(sorted(claim))
    doubtful = {index for claim in ambiguous.values() for index in claim}
    return Matches(found, ambiguous, tuple(index for index in range(len(things)) if index not in taken | doubtful))


def _key(name: str, parts: int, fold: bool) -> str:
    """What is compared of a name: all of it, or so many parts of its path; empty where it has fewer."""
    split = name.split("/")
    text = unicodedata.normalize("NFC", "/".join(split[-parts:])) if len(split) >= parts else ""
    return text.casefold() if fold else text


def some(names: Iterable[str], most: int = 3) -> str:
    """The first names for a message: ``a, b, c, …``."""
    shown = list(names)
    return ", ".join(shown[:most]) + (", …" if len(shown) > most else "")
