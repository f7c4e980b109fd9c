"""COCO's run lengths: how many pixels lie outside and inside a mask in turn, counted down the columns; plain or as text."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import numpy as np

from seg2d3d_ros.errors import UsageError

_TEXT = re.compile(rb"(?:[P-o]{0,6}[0-O])*")


def load_pycocotools() -> ModuleType:
    """``pycocotools.mask``, imported when it is needed.

    Raises:
        UsageError: it is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError as error:
        raise UsageError(f"run lengths of masks need pycocotools ({error}): pip install pycocotools") from error
    return mask


def run_lengths(text: str | bytes) -> np.ndarray:
    """(R,) int64 the run lengths in COCO's text form: groups of 5 bits, the lowest first, each a character from 48 on whose bit
    32 says that more follow; signed; from the fourth run on the difference to the run before the last (``rleFrString``).

    Raises:
        ValueError: other characters, more bits than a run has, or a text that is cut off.
    """
    raw = text.encode("utf-8", "replace") if isinstance(text, str) else text  # what is no ASCII matches nothing
    if not _TEXT.fullmatch(raw):
        raise ValueError("a text of run lengths that is damaged or cut off")
    codes = np.frombuffer(raw, np.uint8).astype(np.int64) - 48
    if len(codes) == 0:
        return np.empty(0, np.int64)
    last = codes & 32 == 0
    starts = np.flatnonzero(np.concatenate([[True], last[:-1]]))
    place = np.arange(len(codes)) - np.repeat(starts, np.diff(starts, append=len(codes)))
    runs = np.add.reduceat((codes & 31) << 5 * place, starts)
    runs -= np.where(codes[last] & 16, np.int64(1) << 5 * (place[last] + 1), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def checked_runs(counts: Any, pixels: int) -> np.ndarray:
    """(R,) int64 the run lengths of a mask in an image of so many pixels, given as a list of numbers or as text.

    Raises:
        ValueError: they are none, or do not fit the image; the message is a reason to be counted.
    """
    if isinstance(counts, str | bytes):
        runs = run_lengths(counts)
    elif isinstance(counts, list):
        if not all(type(count) is int or (type(count) is float and count.is_integer()) for count in counts):
            raise ValueError("run lengths that are no whole numbers")
        if any(abs(count) > pixels for count in counts):
            raise ValueError("run lengths that do not add up to the image's pixels")
        runs = np.array([int(count) for count in counts], np.int64)
    else:
        raise ValueError("run lengths that are neither a list nor a text")
    if runs.min(initial=0) < 0 or runs.max(initial=0) > pixels or int(runs.sum()) != pixels:
        raise ValueError("run lengths that do not add up to the image's pixels")
    return runs


def compressed(runs: np.ndarray, height: int, width: int) -> bytes:
    """COCO's text form of run lengths that were checked."""
    plain = {"size": [height, width], "counts": runs.astype(np.uint32).tolist()}
    return bytes(load_pycocotools().frPyObjects(plain, height, width)["counts"])
