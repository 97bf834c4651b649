"""Play many runs, on several processes, and keep each as a line of a file as soon as it ends."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

Task, Run = TypeVar("Task"), TypeVar("Run")


def play_all(
    play: Callable[[Task], Run], tasks: Sequence[Task], jobs: int, output: Path, name: str
) -> list[Run]:
    """All runs in the order of the tasks; a file `name`-date.jsonl in `output` holds them too."""
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"{name}-{datetime.now():%Y%m%d-%H%M%S-%f}.jsonl"
    with path.open("w") as file:

        def kept(run: Run) -> Run:
            file.write(json.dumps(asdict(run)) + "\n")  # type: ignore[call-overload]
            file.flush()
            return run

        if jobs == 1:
            return [kept(play(task)) for task in tasks]
        with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
            return [kept(run) for run in pool.map(play, tasks, chunksize=4)]


def read_all(kind: Callable[..., Run], paths: Sequence[Path]) -> list[Run]:
    """Runs of earlier files."""
    return [kind(**json.loads(line)) for path in paths for line in path.read_text().splitlines()]
