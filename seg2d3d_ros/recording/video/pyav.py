"""PyAV, the binding of FFmpeg's decoders, which only those need who have video."""

from __future__ import annotations

import sys
from typing import Any

from seg2d3d_ros.errors import DataError


def require_pyav(what: str) -> Any:
    """The module ``av``.

    Raises:
        DataError: it is not installed; ``what`` begins the message.
    """
    try:
        import av
    except ImportError as error:
        raise DataError(f"{what} needs PyAV: {sys.executable} -m pip install av (extra 'video')") from error
    av.logging.set_level(av.logging.PANIC)  # what FFmpeg would print is counted and told
    return av
