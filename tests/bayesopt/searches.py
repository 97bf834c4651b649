"""Searches as processes of their own, and the traces that they leave however they end."""

import ctypes
import json
import mmap
import os
import resource
import signal
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import wraps
from multiprocessing import get_context
from pathlib import Path

import bayesopt as bo

SQUARE = bo.Space(x=bo.Float(0, 1), y=bo.Float(0, 1))
GRID = bo.Space(x=bo.Int(0, 9), y=bo.Int(0, 9))


@dataclass(frozen=True)
class Bowl:
    """Minimum 0 at (0.3, 0.6); it notes each call in `folder` and takes some `seconds`."""

    folder: Path
    seconds: float = 0.0

    def __call__(self, x, y):
        note(self.folder / "evaluated", [os.getpid(), x, y])
        return self.value(x, y)

    def value(self, x, y):
        time.sleep(self.seconds)
        return (x - 0.3) ** 2 + (y - 0.6) ** 2


@dataclass(frozen=True)
class Hanging(Bowl):
    """Never returns from a process's third call on."""

    def value(self, x, y):
        mine = [pid for pid, *_ in read(self.folder / "evaluated") if pid == os.getpid()]
        if len(mine) == 3:
            note(self.folder / "hanging", [x, y])
            time.sleep(3600)
        return super().value(x, y)


@dataclass(frozen=True)
class Stuck(Bowl):
    """Never returns from the seventh call on, and notes it in `folder`."""

    def value(self, x, y):
        if len(read(self.folder / "evaluated")) >= 7:
            note(self.folder / "stuck", [x, y])
            time.sleep(3600)
        return super().value(x, y)


@dataclass(frozen=True)
class Crashing(Bowl):
    """Ends its process where x is large."""

    how: str = "exit"

    def value(self, x, y):
        if x > 0.6:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            ctypes.string_at(0) if self.how == "segfault" else os._exit(3)
        return super().value(x, y)


@dataclass(frozen=True)
class Search:
    """A call of `minimize` whose traces are in a folder.

    Lines of `told` are [process, number, value], and of `evaluated` [process, x, y].
    """

    folder: Path
    fun: Callable
    n_evals: int
    options: dict = field(default_factory=dict)
    url: str | None = None
    space: bo.Space = SQUARE

    @property
    def storage(self):
        return self.url or self.folder / "runs.db"

    def at(self, folder):
        """The same with nothing done yet."""
        return replace(self, folder=folder, fun=replace(self.fun, folder=folder))

    def quicker(self):
        return replace(self, fun=Bowl(self.folder))

    def minimize(self, **options):
        usual = {"noise": False, "seed": 0, "progress": False}
        return bo.minimize(
            self.fun,
            self.space,
            self.n_evals,
            storage=self.storage,
            callback=self.note_told,
            **{**usual, **self.options, **options},
        )

    def note_told(self, study, trial):
        note(self.folder / "told", [os.getpid(), trial.number, trial.value])

    def run(self, barrier=None):
        """What a process does: note how the search ended, as `outcome` reads it."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        note_phases(self.folder / f"phase-{os.getpid()}")
        if barrier is not None:
            barrier.wait(60)
        options = {}
        if self.options.get("executor") == "pool":
            options["executor"] = ProcessPoolExecutor(2, get_context("forkserver"))
        try:
            outcome = described(self.minimize(**options))
        except BaseException:
            outcome = {"error": traceback.format_exc()}
            raise
        finally:
            (self.folder / f"outcome-{os.getpid()}").write_text(json.dumps(outcome))

    def outcome(self, process):
        return json.loads((self.folder / f"outcome-{process.pid}").read_text())

    @property
    def told(self):
        return [(number, value) for _, number, value in read(self.folder / "told")]

    @property
    def evaluated(self):
        return [tuple(point) for _, *point in read(self.folder / "evaluated")]

    def phase(self, process):
        """What a process was doing when it ended."""
        path = self.folder / f"phase-{process.pid}"
        return PHASES[ord(path.read_bytes() or b"\0") if path.exists() else 0]

    @property
    def trials(self):
        """As they are stored; none where the storage has not been made yet."""
        if self.url is None and not self.storage.exists():
            return []
        study = bo.Study.load(storage=self.storage)
        found = study.trials
        study._ledger.store.close()
        return found


def described(result):
    names = ("params", "fun", "nfev", "message", "success", "failures")
    running = [t.number for t in result.study.trials if t.state is bo.TrialState.RUNNING]
    return {name: result[name] for name in names} | {"running": running}


PHASES = ["starting or ending", "between", "choosing", "evaluating", "writing"]


def note_phases(path):
    """Keep in the first byte of a file what this process is doing."""
    from bayesopt.storage.database import Database

    with path.open("x+b") as file:
        file.truncate(1)
        memory = mmap.mmap(file.fileno(), 1)

    def noted(cls, name, phase):
        fun = getattr(cls, name)

        @wraps(fun)
        def during(*args, **kwargs):
            before, memory[0] = memory[0], PHASES.index(phase)
            try:
                return fun(*args, **kwargs)
            finally:
                memory[0] = before

        setattr(cls, name, during)

    noted(bo.Study, "run", "between")
    noted(bo.Study, "_choose", "choosing")
    noted(Bowl, "value", "evaluating")
    noted(Database, "write", "writing")


def note(path, line):
    """Append a line of JSON that is on the disk when this returns."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, json.dumps(line).encode() + b"\n")
    os.fsync(file)
    os.close(file)


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
