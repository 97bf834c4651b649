"""How durable studies are, and what it costs: ours beside Optuna's, in one run on one machine.

python -m benchmarks.durability                # ten minutes
python -m benchmarks.durability --trials 1000 --starts 1 --evals 40
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.durability_studies import STUDIES, random_points
from benchmarks.report import header, markdown

_N_TIMED = 40


@contextmanager
def fresh_path() -> Iterator[str]:
    """A path in a folder that is empty, and gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield str(Path(folder) / "study.db")


def overhead(name: str, sizes: Sequence[int]) -> list[list[str]]:
    """Milliseconds of ask + tell beside n stored trials."""
    rows = []
    for n in sizes:
        with fresh_path() as path:
            study = STUDIES[name](path)
            study.add(*random_points(n))
            study.ask_and_tell()
            seconds = []
            for _ in range(_N_TIMED):
                begin = time.perf_counter()
                study.ask_and_tell()
                seconds.append(time.perf_counter() - begin)
            opened = _process("memory", name, path)
            megabytes, opening, found = json.loads(opened.stdout)
            if found != n + _N_TIMED + 1:
                raise RuntimeError(f"{name} holds {found} trials of {n + _N_TIMED + 1}.")
            cells = [f"{1e3 * median(seconds):.1f}", f"{opening:.2f}", f"{megabytes:.0f}"]
            rows.append([name, f"{n:,}", *cells])
    return rows


def _within_minutes(name: str, sizes: Sequence[int]) -> Sequence[int]:
    """Optuna's SQLite takes 15 ms for each trial that is added: a tenth of them."""
    return [max(n // 10, 1) for n in sizes[:2]] if name == "Optuna, SQLite" else sizes


def sync_milliseconds() -> float:
    """What one fsync of 4 kB costs here."""
    with fresh_path() as path, open(path, "wb") as file:
        seconds = []
        for _ in range(100):
            file.write(b"x" * 4096)
            begin = time.perf_counter()
            file.flush()
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - begin)
    return 1e3 * median(seconds)


def starts(name: str, n_processes: int, n: int, times: int) -> list[str]:
    """Processes that start together on a file that is not there yet."""
    crashed, counts, repeats, seconds = [], [], [], []
    for _ in range(times):
        with fresh_path() as path:
            processes = [_popen("join", name, path, str(n)) for _ in range(n_processes)]
            for process in processes:
                _line(process)
            begin = time.perf_counter()
            for process in processes:
                _say(process, "go\n")
            crashed.append(sum(process.wait() != 0 for process in processes))
            seconds.append(time.perf_counter() - begin)
            points = _read(name, path)
            counts.append(len(points))
            repeats.append(len(points) - len(set(points)))
    return [
        name,
        " ".join(f"{bad}/{n_processes}" for bad in crashed),
        " ".join(map(str, counts)),
        " ".join(map(str, repeats)),
        f"{median(seconds):.1f}",
    ]


def kills(name: str, n: int, n_kills: int) -> list[str]:
    """A serial search that is killed again and again, beside one that is left in peace."""
    with fresh_path() as path:
        whole = _said(_process("serial", name, path, str(n)).stdout)
    printed = []
    with fresh_path() as path:
        for _kill in range(n_kills):
            process = _popen("serial", name, path, str(n))
            for _ in range(n // (n_kills + 1)):
                printed.append(json.loads(_line(process)))
            process.send_signal(signal.SIGKILL)
            process.wait()
        printed += _said(_process("serial", name, path, str(n)).stdout)
        kept = [list(point) for point in _read(name, path)]
    lost = sum(point not in kept for point in printed)
    equal = sum(a == b for a, b in zip(kept, whole, strict=False))
    repeats = len(kept) - len({tuple(point) for point in kept})
    return [name, str(lost), str(repeats), f"{equal}/{n}"]


def torn(name: str, n: int, cuts: int) -> list[str]:
    """A file that lost its end: what opening it says, and whether it can be gone on with."""
    whole, refused, wrong = 0, 0, 0
    with fresh_path() as path:
        study = STUDIES[name](path)
        study.add(*random_points(n))
        study.ask_and_tell()
        del study
        content = Path(path).read_bytes()
    for k in range(cuts):
        with fresh_path() as path:
            Path(path).write_bytes(content[: int(len(content) * (k + 0.5) / cuts)])
            try:
                study = STUDIES[name](path)
                n_before = len(study.points())
                study.ask_and_tell()
                n_after = len(STUDIES[name](path).points())
            except Exception:
                refused += 1
                continue
            whole += n_after == n_before + 1 == n + 2
            wrong += not n_after == n_before + 1 == n + 2
    return [name, str(cuts), str(refused), str(whole), str(wrong)]


def tables(arguments: argparse.Namespace) -> str:
    """The whole report."""
    sizes = [arguments.trials // 100, arguments.trials, 2 * arguments.trials]
    parts = [header("Durable studies"), f"An fsync of 4 kB takes {sync_milliseconds():.2f} ms."]
    rows = [row for name in STUDIES for row in overhead(name, _within_minutes(name, sizes))]
    parts.append(
        "## Cost of a stored trial\n\nMedian milliseconds of one ask and tell with everything on "
        "the disk when tell returns, random points; seconds to open the study and read all of its "
        "points, and peak memory of that process, in MB, in a fresh one.\n\n"
        + markdown(["study", "trials", "ask + tell, ms", "open, s", "memory, MB"], rows)
    )
    rows = [starts(name, 8, arguments.evals, arguments.starts) for name in STUDIES]
    parts.append(
        f"## Eight processes start together\n\nOn a file that is not there yet, until it holds "
        f"{arguments.evals} trials; {arguments.starts} times.\n\n"
        + markdown(["study", "crashed", "trials", "repeated points", "seconds"], rows)
    )
    rows = [_safely(kills, name, 24, 3) for name in STUDIES]
    parts.append(
        "## Killed and started again\n\nkill -9 three times in a serial search of 24 evaluations "
        "with the model of each library and seed 0: results that were lost, points tried twice, "
        "and trials equal to those of a search that was left in peace.\n\n"
        + markdown(["study", "lost", "tried twice", "equal trials"], rows)
    )
    rows = [_safely(torn, name, 200, 20) for name in STUDIES]
    parts.append(
        "## A file that lost its end\n\n200 trials, cut at 20 lengths: refused or crashed, whole "
        "and gone on with, or opened with fewer trials than it held.\n\n"
        + markdown(["study", "cuts", "refused or crashed", "whole", "opened with less"], rows)
    )
    return "\n\n".join(parts) + "\n"


def _safely(measure: Callable[..., list[str]], name: str, *sizes: int) -> list[str]:
    """A row, or what went wrong in place of one: a peer may not survive its test."""
    try:
        return measure(name, *sizes)
    except Exception as error:
        if name == "bayesopt":
            raise
        width = len(measure("bayesopt", *sizes))
        return [name, type(error).__name__] + [""] * (width - 2)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.durability_studies", *arguments]


def _process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(*arguments), capture_output=True, text=True, check=True)


def _popen(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        _command(*arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _say(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.flush()


def _said(text: str) -> list[list[float]]:
    """Points that a serial search has printed."""
    return [json.loads(line) for line in text.splitlines()]


def _read(name: str, path: str) -> list[tuple[float, float]]:
    return STUDIES[name](path).points()


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--evals", type=int, default=200)
    parser.add_argument("--starts", type=int, default=3)
    print(tables(parser.parse_args(argv)))


if __name__ == "__main__":
    main()
