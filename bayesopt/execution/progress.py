"""A line of progress: evaluations, best so far, seconds in the function and in the optimiser."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import localtime, monotonic, strftime
from typing import Any, Literal, Protocol, TextIO

from tqdm import tqdm

_BAR = "{desc}{n_fmt}/{total_fmt} |{bar:20}| {postfix}"


class _Display(Protocol):
    def show(self, done: int, text: str) -> None: ...

    def close(self) -> None: ...


class Progress:
    """What the user sees of a search while it runs.

    A line that moves in a terminal, a widget in a notebook, plain lines with the time elsewhere.

    Parameters
    ----------
    total
        Number of evaluations that are planned; None: nobody knows.
    done
        Number of those that are behind us.
    show
        True, False, or "auto": where nobody watches, a line every 30 s, so that a search shorter
        than that is silent. With True there is one every second.
    has_best
        Whether the best value is shown; several objectives have none.
    """

    def __init__(
        self, total: int | None, done: int, show: bool | Literal["auto"], has_best: bool = True
    ) -> None:
        self._done, self._has_best = done, has_best
        self._display = _display(total, done, show)
        self.seconds_in_function = 0.0
        self.seconds_asking = 0.0

    @contextmanager
    def asking(self) -> Iterator[None]:
        """The time inside is on the optimiser's account."""
        start = monotonic()
        try:
            yield
        finally:
            self.seconds_asking += monotonic() - start

    def advance(self, best: float | None, seconds: float) -> None:
        """Count one evaluation.

        Parameters
        ----------
        best
            The best value so far, None while there is none.
        seconds
            Time that it took in the function; in parallel these add up over the workers.
        """
        self._done += 1
        self.seconds_in_function += seconds
        if self._display is not None:
            shown = f"best {'none yet' if best is None else f'{best:.6g}'}, "
            self._display.show(
                self._done,
                f"{shown if self._has_best else ''}"
                f"function {self.seconds_in_function:.1f} s, "
                f"optimiser {self.seconds_asking:.1f} s",
            )

    def close(self) -> None:
        """Leave the last line as it is."""
        if self._display is not None:
            self._display.close()


def _display(total: int | None, done: int, show: bool | Literal["auto"]) -> _Display | None:
    if not show:
        return None
    if _in_notebook() and importlib.util.find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm as notebook_bar

        return _Bar(notebook_bar(total=total, initial=done, unit="eval"))
    if sys.stderr is None:
        return None
    if sys.stderr.isatty():
        return _Bar(tqdm(total=total, initial=done, unit="eval", bar_format=_BAR, file=sys.stderr))
    if show == "auto":
        return _Lines(total, sys.stderr, every=30.0, unasked=True)
    return _Lines(total, sys.stderr, every=1.0, unasked=False)


def _in_notebook() -> bool:
    """Whether IPython runs behind a notebook; nothing is imported to find out."""
    shell = getattr(sys.modules.get("ipykernel.zmqshell"), "ZMQInteractiveShell", None)
    return shell is not None and shell.initialized()


class _Bar:
    """A bar of tqdm's."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def show(self, done: int, text: str) -> None:
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        self._bar.close()


class _Lines:
    """Plain lines, not more often than every so many seconds, and the last one.

    Where nobody asked for them, what ends before the first is due stays silent.
    """

    def __init__(self, total: int | None, file: TextIO, every: float, unasked: bool) -> None:
        self._of = "" if total is None else f"/{total}"
        self._file, self._every = file, every
        self._next = monotonic() + (every if unasked else 0.0)
        self._silent = unasked
        self._held: str | None = None

    def show(self, done: int, text: str) -> None:
        self._held = f"{strftime('%Y-%m-%d %H:%M:%S', localtime())} {done}{self._of} {text}"
        if monotonic() >= self._next:
            self._write()

    def close(self) -> None:
        if self._held is not None and not self._silent:
            self._write()

    def _write(self) -> None:
        print(self._held, file=self._file, flush=True)
        self._held, self._silent = None, False
        self._next = monotonic() + self._every
