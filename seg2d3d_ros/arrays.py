"""Checks of arrays' shapes, and what is done alike with every array of a dataclass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise
from typing import TypeVar

import numpy as np

from seg2d3d_ros.errors import UsageError

T = TypeVar("T")


def check_array(name: str, array: np.ndarray, shape: tuple[int | None, ...], kind: str) -> None:
    """Raise ``UsageError`` unless ``array`` has ``shape`` (None = any length) and a dtype of one of the kinds."""
    fits = array.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape, strict=True))
    if not fits or array.dtype.kind not in kind:
        wanted = "×".join("N" if n is None else str(n) for n in shape)
        raise UsageError(f"{name}: expected shape {wanted} and dtype kind {kind!r}, got {array.shape} {array.dtype}")


def concatenated(items: Sequence[T]) -> T:
    """Several dataclasses of arrays, at least one, as one: the arrays of each field one after the other."""
    return type(items[0])(*(np.concatenate([getattr(item, f.name) for item in items]) for f in fields(items[0])))  # type: ignore[arg-type]


def take(item: T, rows: np.ndarray) -> T:
    """Some rows (indices or a mask) of every array of a dataclass."""
    return type(item)(*(getattr(item, f.name)[rows] for f in fields(item)))  # type: ignore[arg-type]


def places(labels: np.ndarray, count: int) -> list[np.ndarray]:
    """The places of 0, 1, … ``count`` - 1 in ``labels`` (N,), each (n,) int64 ascending; other values have none."""
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(count + 1))
    return [order[first:last] for first, last in pairwise(bounds)]
