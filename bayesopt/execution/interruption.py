"""Ctrl-C and SIGTERM: they interrupt where nothing can be lost, and wait elsewhere."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any


class Interruption:
    """While inside, SIGINT and SIGTERM raise KeyboardInterrupt only where it is allowed.

    Elsewhere the first signal waits for the next allowed stretch, or for the end at the latest; a
    second one raises wherever it comes. A signal that somebody else handles is left alone, and so
    are both in any thread but the main one.

    Attributes
    ----------
    reason
        What stopped the search, in words.
    """

    def __init__(self) -> None:
        self.reason = "Interrupted by the user."
        self._pid = os.getpid()
        self._came = False
        self._raised = False
        self._allowed = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
            for number, handler in usual.items():
                if signal.getsignal(number) is handler:
                    self._handlers[number] = handler
                    signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
        if self._came and not self._raised and error is None:
            self._interrupt()

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Here KeyboardInterrupt may be raised, also for a signal that came before."""
        self._allowed = True
        try:
            if self._came:
                self._interrupt()
            yield
        finally:
            self._allowed = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a process that the user's code has forked: not ours to hold
            signal.signal(number, self._handlers[number])
            os.kill(os.getpid(), number)
            return
        if not self._came and number == signal.SIGTERM:
            self.reason = "Stopped by SIGTERM."
        again, self._came = self._came, True
        if again or self._allowed:
            self._interrupt()

    def _interrupt(self) -> None:
        self._raised = True
        self._allowed = False  # what cleans up afterwards is not interrupted by the same signal
        raise KeyboardInterrupt(self.reason)
