"""Figures of a training by step: lines of JSON, and TensorBoard's files where it is installed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seg2d3d_ros.disk.atomic import write_text

FIGURES = "figures.jsonl"


class FiguresLog:
    """Appends figures; those that a killed training wrote beyond its last checkpoint are removed first.

    Args:
        folder: gets ``figures.jsonl`` and ``tensorboard/``.
        step: the first that will be written.
    """

    def __init__(self, folder: Path, step: int):
        self._path = folder / FIGURES
        kept = [line for line in _lines(self._path) if _step(line) < step] if step else []
        write_text(self._path, "".join(f"{line}\n" for line in kept))
        self._file = self._path.open("a", encoding="utf-8")
        self._board: Any = None
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """Write the figures of a step."""
        self._file.write(json.dumps({"step": step, **{name: float(f"{value:.6g}") for name, value in figures.items()}}) + "\n")
        if self._board is not None:
            for name, value in figures.items():
                self._board.add_scalar(name, value, step)

    def flush(self) -> None:
        """Hand all figures to the operating system: a kill does not lose them then."""
        self._file.flush()
        if self._board is not None:
            self._board.flush()

    def close(self) -> None:
        """Flush and close the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_figures(folder: Path) -> list[dict[str, float]]:
    """The figures by step, ``step`` among them; a line that a kill cut off is left out."""
    return [json.loads(line) for line in _lines(folder / FIGURES)]


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    return [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if _step(line) >= 0]


def _step(line: str) -> int:
    try:
        value = json.loads(line)
    except ValueError:
        return -1
    step = value.get("step") if isinstance(value, dict) else None
    return step if isinstance(step, int) else -1
