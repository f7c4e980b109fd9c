"""The libraries that write the formats and show maps: extras, imported where they are used."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from seg2d3d_ros.errors import DataError


def needed(module: str, purpose: str, package: str = "", extra: str = "export") -> ModuleType:
    """Import a library of an extra.

    Args:
        module: what is imported.
        purpose: what it is for, in words.
        package: what pip installs; "" = named like the module.
        extra: which one of this package's brings it.

    Raises:
        DataError: it is not installed, or cannot be loaded; with the command that mends it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = package or module.partition(".")[0]
        raise DataError(
            f"{purpose} needs {package} ({error}): {sys.executable} -m pip install {package}, or 'seg2d3d_ros[{extra}]'"
        ) from error
