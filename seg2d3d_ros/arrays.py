"""Checks of arrays' shapes, with the shape in the message."""

from __future__ import annotations

import numpy as np

from seg2d3d_ros.errors import UsageError


def check_array(name: str, array: np.ndarray, shape: tuple[int | None, ...], kind: str) -> None:
    """Raise ``UsageError`` unless ``array`` has ``shape`` (None = any length) and a dtype of one of the kinds."""
    fits = array.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape, strict=True))
    if not fits or array.dtype.kind not in kind:
        wanted = "×".join("N" if n is None else str(n) for n in shape)
        raise UsageError(f"{name}: expected shape {wanted} and dtype kind {kind!r}, got {array.shape} {array.dtype}")
