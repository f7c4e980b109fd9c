"""``MAP/sparse/<k>/covariance.npz``: how well the poses of a model are known."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from seg2d3d_ros.disk.atomic import write_bytes
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.mapstore.pose_covariance import PoseCovariance, PoseWindow

FILE = "covariance.npz"
VERSION = 1
MAX_BYTES = 4 << 30


def write_covariance(folder: Path, covariance: PoseCovariance, revision: int) -> None:
    """Write the file beside the model of this revision, whole or not at all. Raises ``DataError`` where that fails."""
    arrays = {
        "version": np.int64(VERSION),
        "revision": np.int64(revision),
        "names": np.array(covariance.names, np.str_),
        "pixel_sigma": np.float64(covariance.pixel_sigma),
        "absolute": np.bool_(covariance.absolute),
        "windows": np.int64(len(covariance.windows)),
    }
    for k, window in enumerate(covariance.windows):
        arrays[f"rows_{k}"] = window.rows.astype(np.int32)
        arrays[f"lower_{k}"] = window.matrix[np.tril_indices(len(window.matrix))].astype(np.float32)
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    write_bytes(folder / FILE, stream.getvalue())


def read_covariance(folder: Path, revision: int) -> PoseCovariance | None:
    """The inverse; None where there is none, or one of another revision of the model or version of this software.

    Raises:
        DataError: a damaged file.
    """
    path = folder / FILE
    try:
        if path.is_symlink() or path.stat().st_size > MAX_BYTES:
            raise ValueError("a link, or larger than 4 GB")
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                raise ValueError("unpacked larger than 4 GB")
        with np.load(path, allow_pickle=False) as file:
            if int(file["version"]) != VERSION or int(file["revision"]) != revision:
                return None
            names, count = tuple(str(name) for name in file["names"]), int(file["windows"])
            windows = tuple(PoseWindow(file[f"rows_{k}"], _whole(file[f"rows_{k}"], file[f"lower_{k}"])) for k in range(count))
            sigma, absolute = float(file["pixel_sigma"]), bool(file["absolute"])
        held = np.unique(np.concatenate([np.empty(0, np.int32), *(window.rows for window in windows)]))
        fits = np.array_equal(held, np.arange(len(names))) and all((np.diff(w.rows) > 0).all() for w in windows)
        if not fits or not all(np.isfinite(window.matrix).all() for window in windows) or not 0 <= sigma < np.inf:
            raise ValueError("its arrays do not fit together")
        return PoseCovariance(names, windows, sigma, absolute)
    except FileNotFoundError:
        return None
    except (
        *(OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, OverflowError),
        *(zipfile.BadZipFile, NotImplementedError, UsageError),
    ) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path}: damaged ({reason}); delete it, and positions have no covariance until the map is made again"
        ) from error


def _whole(rows: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """The symmetric matrix of a window from its lower triangle, row by row."""
    side = 6 * len(rows)
    if lower.shape != (side * (side + 1) // 2,) or lower.dtype != np.float32:
        raise ValueError("a matrix of another size than its images")
    matrix = np.zeros((side, side), np.float32)
    matrix[np.tril_indices(side)] = lower
    return np.asarray(matrix + np.tril(matrix, -1).T)
