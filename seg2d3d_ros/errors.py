"""Errors that a person reads: what is wrong, with which file or topic, and the way out."""

from __future__ import annotations


class Seg2d3dError(Exception):
    """Base of all errors raised on purpose; ``str(error)`` is the whole message for the user."""

    exit_code = 1


class DataError(Seg2d3dError):
    """The data did not allow a result (exit code 1)."""


class UsageError(Seg2d3dError, ValueError):
    """A wrong option, parameter or path (exit code 2)."""

    exit_code = 2
