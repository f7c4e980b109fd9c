"""NumPy's .npz files read with limits: one exception for whatever is wrong with them, no pickles, no bombs."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

MAX_BYTES = 4 << 30
"""Of all arrays together, unpacked."""


def read_arrays(path: Path, limit: int = MAX_BYTES) -> dict[str, np.ndarray]:
    """The arrays of a file by name.

    Args:
        limit: bytes that they may need.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, is damaged or too large, or holds anything but arrays.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > limit:
                raise ValueError(f"unpacked larger than {limit >> 20} MB")
        with np.load(path, allow_pickle=False) as file:
            values = {name: file[name] for name in file.files}
        if strange := [name for name, value in values.items() if not isinstance(value, np.ndarray)]:
            raise ValueError(f"{strange[0][:60]!r} is no array")
        return values
    except FileNotFoundError:
        raise
    except Exception as error:  # of archives, compressions, the text in front of each array, and memory: a dozen kinds
        raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from error
