"""Where models run: device, precision, batches, and what to do when memory runs out."""

from __future__ import annotations

import gc
import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol, TypeVar

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import NOTE, Findings, Kind

REDUCED = Kind(
    "model_reduced",
    "times that models ran with less than was asked for",
    cause="the memory, or half precision, did not suffice",
    remedy="choose a smaller model, a smaller segmentation.batch_size, or smaller images",
    level=NOTE,
)
log = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")


class NotANumber(Exception):
    """A model's answer is no number: half precision was not enough for it."""


class Runtime:
    """Runs models in batches.

    When a GPU's memory is full, batches are halved; when one item alone does not fit, all models move to the CPU for good;
    what half precision cannot compute is computed in full. All of it is said through ``report`` and kept in ``notes``.

    Attributes:
        device: name of the torch device, known after the first use.
        batch: how many items go through a model at once, known after the first use.
        notes: what had to be given up, in words.
    """

    def __init__(self, device: str = "auto", precision: str = "auto", batch: int = 0, findings: Findings | None = None):
        """Nothing is touched before the first model is placed; ``batch`` 0 = 4 on a GPU, 1 on a CPU."""
        self.device = ""
        self.batch = 0
        self.notes: list[str] = []
        self._findings = Findings() if findings is None else findings
        self.report: Callable[[str], None] = log.warning
        self._wanted, self._precision, self._wanted_batch = device, precision, batch
        self._models: list[Any] = []

    def place(self, model: Any) -> Any:
        """Move a model to the device and remember it; returns it.

        Raises:
            UsageError: no such device.
        """
        if not self.device:
            self.device = choose_device(self._wanted)
            self.batch = self._wanted_batch or (1 if self.device == "cpu" else 4)
        self._models.append(model)
        try:
            return model.to(self.device)
        except Exception as error:
            if not out_of_memory(error) or self.device == "cpu":
                raise
            self._give_up_gpu()
            return model

    def release(self) -> None:
        """Forget the models and hand their memory back; the next one that is placed tries the wanted device again."""
        self._models.clear()
        self.device = ""
        self._empty()

    def arithmetic(self) -> AbstractContextManager[Any]:
        """Half precision where it is wanted: automatic mixed precision, float16 on GPUs and bfloat16 on CPUs."""
        import torch

        kind = self.device.partition(":")[0] or "cpu"
        gpu = kind in ("cuda", "xpu")
        if self._precision == "full" or (self._precision == "auto" and not gpu):
            return nullcontext()
        return torch.autocast(kind, torch.bfloat16 if kind == "cpu" else torch.float16)

    @staticmethod
    def check(answer: Any) -> None:
        """Refuse a tensor that holds NaN; ``map`` then tries again in full precision."""
        if bool(answer.isnan().any()):
            raise NotANumber

    def map(self, call: Callable[[Sequence[Item]], Sequence[Result]], items: Sequence[Item], batch: int = 0) -> list[Result]:
        """``call`` on the items in batches; the results one after the other.

        Args:
            call: takes its inputs to ``self.device`` itself, which may change between calls.
            batch: at most so many at once; 0 = ``self.batch``.

        Raises:
            DataError: the CPU's memory does not suffice either.
        """
        import torch

        results: list[Result] = []
        size = batch or self.batch
        while len(results) < len(items):
            part = items[len(results) : len(results) + size]
            fits = True
            try:
                with torch.inference_mode(), self.arithmetic():
                    results += call(part)
            except NotANumber:
                if self._precision == "full":
                    raise DataError("a model's answer is no number: its weights are damaged or of another kind") from None
                self._precision = "full"
                self._note("half precision gives no numbers with this model, going on in full precision")
            except Exception as error:
                if not out_of_memory(error):
                    raise
                fits = False  # and on outside this block: the traceback holds the tensors that fill the memory
            if not fits:
                size = self._shrink(len(part))
                self.batch = size if batch == 0 else self.batch
        return results

    def _shrink(self, tried: int) -> int:
        self._empty()
        if tried > 1:
            self._note(f"{self.device}: out of memory with {tried} at once, going on with {tried // 2}")
            return tried // 2
        if self.device == "cpu":
            raise DataError(
                "the memory does not suffice for one image; take a smaller model (`seg2d3d models`) or smaller images"
            )
        self._give_up_gpu()
        return 1

    def _give_up_gpu(self) -> None:
        self._note(f"{self.device}: out of memory with one image, going on with the CPU, which is much slower")
        self.device = "cpu"
        for model in self._models:
            model.to("cpu")
        self._empty()

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self._findings.add(REDUCED, text)
        self.report(text)

    @staticmethod
    def _empty() -> None:
        gc.collect()
        if (torch := sys.modules.get("torch")) is None:
            return
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class Loadable(Protocol):
    """What holds the weights of a model."""

    def load(self) -> None:
        """Read the weights; may be called again."""
        ...

    def free(self) -> None:
        """Let go of the weights; ``load`` reads them again."""
        ...


class LazyModel(ABC):
    """A model whose weights are read when they are needed.

    Args:
        path: its file or folder.
    """

    def __init__(self, path: Path, runtime: Runtime):
        self._path, self._runtime = path, runtime
        self._model: Any = None

    def load(self) -> None:
        """Read the weights, unless they are there. Raises ``DataError`` for unsuitable or damaged files."""
        if self._model is None:
            self._model = self._runtime.place(self._read())

    def free(self) -> None:
        """Let go of the weights; ``load`` reads them again."""
        self._model = None

    @abstractmethod
    def _read(self) -> Any:
        """The model, from its files."""


def choose_device(wanted: str) -> str:
    """The torch device for ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``mps`` or ``xpu``.

    Raises:
        UsageError: it is not there.
    """
    import torch

    cuda = torch.cuda.is_available()
    mps = getattr(torch.backends, "mps", None) is not None and torch.backends.mps.is_available()
    if wanted == "auto":
        return "cuda" if cuda else "mps" if mps else "cpu"
    kind, _, number = wanted.partition(":")
    there = {"cpu": True, "cuda": cuda, "mps": mps, "xpu": hasattr(torch, "xpu") and torch.xpu.is_available()}
    if kind not in there or (number and not number.isdigit()):
        raise UsageError(f"segmentation.device {wanted!r}: write auto, cpu, cuda, cuda:1, mps or xpu")
    if not there[kind] or (kind == "cuda" and number and int(number) >= torch.cuda.device_count()):
        raise UsageError(f"segmentation.device {wanted}: torch {torch.__version__} sees no such device; take auto or cpu")
    return wanted


def out_of_memory(error: Exception) -> bool:
    """Whether memory ran out: CUDA has a class for it; others, and CPUs, only words."""
    import torch

    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, torch.cuda.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
    )
