"""The one place that imports pycolmap, when it is first used, with its traps taken care of."""

from __future__ import annotations

import os
import signal
import threading
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np  # noqa: F401  (NumPy must be loaded before pycolmap, or OpenCV's PNG encoder aborts the process)

from seg2d3d_ros.errors import UsageError

if TYPE_CHECKING:
    import pycolmap
else:

    class _Pycolmap:
        """The module, imported when something of it is asked for: not every command needs it, and it takes its time."""

        def __getattr__(self, name: str) -> Any:
            return getattr(_load(), name)

    pycolmap = _Pycolmap()


@cache
def _load() -> ModuleType:
    """pycolmap with its log quiet: what it calls an error (no model found) is an answer, which callers put in words.

    Raises:
        UsageError: it is not installed.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        import pycolmap as module
    except ImportError as error:
        raise UsageError(
            f"reconstruction needs pycolmap, which cannot be loaded ({error}): pip install 'pycolmap>=4.2'"
        ) from error
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():  # its own prints a stack and ends the process
            signal.signal(number, handler)
    module.logging.minloglevel = int(module.logging.FATAL.value)
    return module


def thread_count(threads: int) -> int:
    """Threads to use; 0 asks for every core that this process may run on."""
    if threads > 0:
        return threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
