"""One interface to stored studies, ours and Optuna's, for the benchmark of durability.

    python -m benchmarks.durability_studies join NAME PATH N     # works on a study until it has N
    python -m benchmarks.durability_studies serial NAME PATH N   # prints every point that it tries
    python -m benchmarks.durability_studies memory NAME PATH     # opens it, prints MB, s, points

All search a bowl over two floats. Points are chosen at random where storages are compared, so that
nothing but the storage takes time.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

BOUNDS = {"x": (0.0, 1.0), "y": (0.0, 1.0)}


def bowl(x: float, y: float) -> float:
    """What all minimise."""
    return (x - 0.3) ** 2 + (y - 0.6) ** 2


class Stored(Protocol):
    """A study in a storage."""

    def add(self, points: list[dict[str, float]], values: list[float]) -> None: ...

    def ask_and_tell(self) -> None: ...

    def work(self, n: int) -> None: ...

    def points(self) -> list[tuple[float, float]]: ...


class Ours:
    """`bayesopt` on an SQLite file."""

    def __init__(self, path: str, model: bool = False, seed: int | None = 0) -> None:
        import bayesopt as bo

        policy = bo.Policy() if model else bo.Policy(acquisition="random")
        space = bo.Space(**{name: bo.Float(*bounds) for name, bounds in BOUNDS.items()})
        self.study = bo.Study(space, noise=False, policy=policy, seed=seed, storage=path)

    def add(self, points: list[dict[str, float]], values: list[float]) -> None:
        self.study.add(points, values)

    def ask_and_tell(self) -> None:
        trial = self.study.ask()
        self.study.tell(trial, bowl(**trial.params))

    def work(self, n: int) -> None:
        self.study.run(bowl, n, progress=False)

    def points(self) -> list[tuple[float, float]]:
        done = [trial for trial in self.study.trials if trial.value is not None]
        return [(trial.params["x"], trial.params["y"]) for trial in done]


class Optuna:
    """Optuna on an SQLite file, or on its journal."""

    def __init__(
        self, path: str, model: bool = False, seed: int | None = 0, journal: bool = False
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore")
        self.optuna = optuna
        storage: Any = f"sqlite:///{path}"
        if journal:
            backend = optuna.storages.journal.JournalFileBackend(path)
            storage = optuna.storages.JournalStorage(backend)
        sampler: Any = optuna.samplers.RandomSampler(seed=None)
        if model:
            sampler = optuna.samplers.GPSampler(seed=seed, deterministic_objective=True)
        self.study = optuna.create_study(
            study_name="study", storage=storage, sampler=sampler, load_if_exists=True
        )

    def add(self, points: list[dict[str, float]], values: list[float]) -> None:
        distributions = {
            name: self.optuna.distributions.FloatDistribution(*bounds)
            for name, bounds in BOUNDS.items()
        }
        for point, value in zip(points, values, strict=True):
            self.study.add_trial(
                self.optuna.trial.create_trial(
                    params=point, distributions=distributions, value=value
                )
            )

    def ask_and_tell(self) -> None:
        trial = self.study.ask()
        value = self._value(trial)
        self.study.tell(trial, value)

    def _value(self, trial: Any) -> float:
        return bowl(**{name: trial.suggest_float(name, *b) for name, b in BOUNDS.items()})

    def work(self, n: int) -> None:
        stop = self.optuna.study.MaxTrialsCallback(n, states=None)
        self.study.optimize(self._value, callbacks=[stop])

    def points(self) -> list[tuple[float, float]]:
        complete = self.optuna.trial.TrialState.COMPLETE
        done = self.study.get_trials(deepcopy=False, states=(complete,))
        return [(trial.params["x"], trial.params["y"]) for trial in done]


def journal(path: str, model: bool = False, seed: int | None = 0) -> Optuna:
    """Optuna on its journal."""
    return Optuna(path, model, seed, journal=True)


STUDIES: dict[str, Callable[..., Stored]] = {
    "bayesopt": Ours,
    "Optuna, SQLite": Optuna,
    "Optuna, journal": journal,
}


def random_points(n: int) -> tuple[list[dict[str, float]], list[float]]:
    """Points and their values, the same for all."""
    draws = np.random.default_rng(0).random((n, 2)).tolist()
    points = [{"x": x, "y": y} for x, y in draws]
    return points, [bowl(**point) for point in points]


def main() -> None:
    """What one process does."""
    role, name, path, *rest = sys.argv[1:]
    start = STUDIES[name]
    if role == "join":
        import bayesopt.study  # noqa: F401  (both pay for torch before the start)

        print("ready", flush=True)
        sys.stdin.readline()
        start(path, seed=0).work(int(rest[0]))
    elif role == "serial":
        study = start(path, model=True)
        for _ in range(int(rest[0]) - len(study.points())):
            study.ask_and_tell()
            print(json.dumps(study.points()[-1]), flush=True)
    else:
        start(path, seed=None)
        begin = time.perf_counter()
        study = start(path, seed=None)
        n = len(study.points())
        seconds = time.perf_counter() - begin
        print(json.dumps([_peak_megabytes(), seconds, n]))


def _peak_megabytes() -> float:
    """Of this process alone: what `resource` says counts the process that started it, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
