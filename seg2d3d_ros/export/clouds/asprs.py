"""Classes of points by the ASPRS LAS specification 1.4 R15, table 17."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.findings import NOTE, Kind

UNCLASSIFIED = 1
CODES = {
    "ground": 2, "sidewalk": 2, "terrain": 2,
    "grass": 3, "bush": 4, "hedge": 4, "tree": 5, "vegetation": 5,
    "building": 6, "house": 6, "facade": 6, "roof": 6, "church": 6, "garage": 6, "shed": 6, "skyscraper": 6,
    "water": 9, "river": 9, "rail": 10, "railway": 10, "road": 11, "street": 11,
    "wire": 14, "cable": 14, "pylon": 15, "tower": 15, "bridge": 17,
}  # fmt: skip
"""Words of class names, and their codes."""

CLASS_WITHOUT_CODE = Kind(
    "class_without_code",
    "classes without an ASPRS code, whose points are written as unclassified (1)",
    cause="the LAS specification has no code for them, or the name is not among the usual ones",
    remedy="give a code with --class-codes NAME=CODE (64 to 255 are free for users)",
    level=NOTE,
)


def parse_codes(text: str) -> dict[str, int]:
    """``"shop front=64,pole=65"`` as a table.

    Raises:
        UsageError: it is none, or a code is no byte.
    """
    codes = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, code = item.rpartition("=")
        if not name or not code.strip().isdigit() or int(code) > 255:
            raise UsageError(f"--class-codes {item}: NAME=CODE with a code from 0 to 255, e.g. 'pole=64'")
        codes[name.strip().lower()] = int(code)
    return codes


def code_of(name: str, codes: Mapping[str, int]) -> int | None:
    """The code of a class name: the user's own, else that of its last known word ("brick building"); None if it has none."""
    name = name.lower()
    if name in codes:
        return codes[name]
    words = [CODES.get(word, CODES.get(word.removesuffix("s"))) for word in re.findall(r"[a-z]+", name)]
    return next((code for code in reversed(words) if code is not None), None)


def point_codes(contents: Contents, instance: np.ndarray) -> np.ndarray:
    """(P,) uint8 class of each point by its instance (P,); classes without a code are told of."""
    table = np.full(max([0, *contents.ids.tolist()]) + 1, UNCLASSIFIED, np.uint8)
    for item in contents.instances:
        code = code_of(item["class"], contents.class_codes)
        if code is not None:
            table[item["id"]] = code
    lacking = sorted({item["class"] for item in contents.instances if code_of(item["class"], contents.class_codes) is None})
    _tell(contents, lacking)
    return table[instance]


def _tell(contents: Contents, lacking: Iterable[str]) -> None:
    names = list(lacking)
    if names:
        contents.findings.add(CLASS_WITHOUT_CODE, *names)
