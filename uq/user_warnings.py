"""Warnings that point at the user's own line, however deep in `uq` they arise."""

import inspect
import warnings
from types import FrameType

_PACKAGE = __name__.partition(".")[0]


def warn(message: str) -> None:
    """Give a UserWarning at the line outside of this package that led here."""
    frame, level = inspect.currentframe(), 1
    # Python 3.11 lacks `skip_file_prefixes`.
    while frame is not None and _package_of(frame) == _PACKAGE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)


def _package_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]
