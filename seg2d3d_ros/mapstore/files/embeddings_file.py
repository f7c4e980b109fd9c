"""``MAP/embeddings.npz``: a vector per instance, and of what it was made."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seg2d3d_ros.disk.arrays_file import read_arrays
from seg2d3d_ros.disk.atomic import write_bytes
from seg2d3d_ros.errors import DataError

FILE = "embeddings.npz"
VERSION = 1
"""Grows when the same model and pictures give another vector."""
MAX_BYTES = 1 << 30
MAX_VALUES = 1 << 28


@dataclass(frozen=True)
class Embeddings:
    """N instances as a text-image model sees them.

    Attributes:
        model: its name, with the revision.
        fingerprint: of its weights.
        ids: (N,) int32 instance ids, ascending.
        vectors: (N, D) float32 of length 1.
        digests: (N,) text, of the observations and masks that each vector was made of.
        views: (N,) int32, how many pictures that were.
    """

    model: str
    fingerprint: str
    ids: np.ndarray
    vectors: np.ndarray
    digests: np.ndarray
    views: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


def write_embeddings(root: Path, embeddings: Embeddings) -> None:
    """Write the file whole or not at all. Raises ``DataError`` where it cannot be written."""
    stream = io.BytesIO()
    np.savez(
        stream,
        version=np.int64(VERSION),
        model=np.array(embeddings.model),
        fingerprint=np.array(embeddings.fingerprint),
        ids=embeddings.ids.astype(np.int32),
        vectors=embeddings.vectors.astype(np.float32),
        digests=embeddings.digests,
        views=embeddings.views.astype(np.int32),
    )
    write_bytes(root / FILE, stream.getvalue())


def read_embeddings(root: Path) -> Embeddings | None:
    """The embeddings of a map; None where there are none, or those of another version of this software.

    Raises:
        DataError: a damaged file.
    """
    path = root / FILE
    try:
        if path.is_symlink() or path.stat().st_size > MAX_BYTES:
            raise ValueError("a link, or larger than 1 GB")
        file = read_arrays(path, MAX_BYTES)
        if int(file["version"]) != VERSION:
            return None
        ids, vectors, views, digests = file["ids"], file["vectors"], file["views"], file["digests"]
        model, fingerprint = str(file["model"]), str(file["fingerprint"])
        count = len(ids)
        fits = vectors.ndim == 2 and len(vectors) == count and ids.shape == views.shape == digests.shape == (count,)
        kinds = (ids.dtype.kind, vectors.dtype.kind, views.dtype.kind, digests.dtype.kind)
        if not fits or kinds != ("i", "f", "i", "U") or vectors.size > MAX_VALUES or not np.isfinite(vectors).all():
            raise ValueError("its arrays do not fit together")
        return Embeddings(model, fingerprint, ids, vectors, digests, views)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise DataError(f"{path}: damaged ({' '.join(str(error).split())}); delete it, and it is made again") from error
