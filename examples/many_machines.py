"""Four machines, one search: on a Dask cluster, then as four processes that share one database.

Lynx eat hares; the yearly furs of the Hudson's Bay Company show how both came and went from 1900 to
1920. Which rates of birth, death and hunting make Lotka's and Volterra's equations follow them? One
run of such a model may take a night. Here it takes a moment and a pause that stands for the night.

First a Dask cluster does the runs, and one process chooses what to try. Then nobody leads: four
processes start the same search with the same `storage`, find each other there and never try a point
twice. On four machines you would start this line on each of them:

    bo.minimize(misfit, SPACE, 60, storage="postgresql+psycopg://you@host/database", name="lynx")

    python examples/many_machines.py              # the four processes share an SQLite file
    python examples/many_machines.py --storage postgresql+psycopg://you@host/database
    scripts/with_postgres python examples/many_machines.py   # with a server for the occasion
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.integrate import solve_ivp

import bayesopt as bo

HARES = [30, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22, 25.4, 27.1]
HARES += [40.3, 57, 76.6, 52.3, 19.5, 11.2, 7.6, 14.6, 16.2, 24.7]
LYNXES = [4, 6.1, 9.8, 35.2, 59.4, 41.7, 19, 13, 8.3, 9.1, 7.4]
LYNXES += [8, 12.3, 19.5, 45.7, 51.1, 29.7, 15.8, 9.7, 10.1, 8.6]
FURS = np.log([HARES, LYNXES])  # thousands, year by year
SPACE = bo.Space(
    birth=bo.Float(0.2, 1.5, log=True),  # of hares, a year
    hunting=bo.Float(0.005, 0.1, log=True),  # hares eaten, for each lynx
    death=bo.Float(0.3, 2.0, log=True),  # of lynxes
    growth=bo.Float(0.005, 0.1, log=True),  # of lynxes, for each thousand of hares
)
PAUSE = float(os.environ.get("PAUSE", "0.4"))  # seconds for a night


def populations(birth: float, hunting: float, death: float, growth: float) -> np.ndarray:
    """Logarithms of hares and lynxes (2, 21), from those of the first year on."""

    def change(_: float, log: np.ndarray) -> list[float]:
        return [birth - hunting * np.exp(log[1]), growth * np.exp(log[0]) - death]

    solved = solve_ivp(change, (0, 20), FURS[:, 0], t_eval=np.arange(21), method="LSODA")
    if not solved.success:
        raise RuntimeError(solved.message)
    return solved.y


def misfit(birth: float, hunting: float, death: float, growth: float) -> float:
    """Root mean square error of the logarithms: 0.3 is 30 % off."""
    time.sleep(PAUSE)
    error = populations(birth, hunting, death, growth) - FURS
    return float(np.sqrt(np.mean(error**2)))


def on_a_cluster(n_evals: int, n_workers: int) -> bo.Study:
    """One process asks, the workers of a cluster evaluate."""
    from dask.distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=n_workers, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        result = bo.minimize(
            misfit, SPACE, n_evals, noise=False, seed=0, executor=client, n_parallel=n_workers
        )
    return result.study


def as_equals(storage: str, name: str, n_evals: int, n_workers: int) -> bo.Study:
    """Processes that know of each other through the storage alone."""
    command = [sys.executable, __file__, "--join", name, "--storage", storage]
    command += ["--n-evals", str(n_evals)]
    processes = [subprocess.Popen(command) for _ in range(n_workers)]
    if any(process.wait() for process in processes):
        raise SystemExit("A process failed.")
    return bo.Study.load(storage=storage, name=name)


def join(storage: str, name: str, n_evals: int) -> None:
    """What runs on each machine: the first to come makes the study, all end at `n_evals`."""
    bo.minimize(misfit, SPACE, n_evals, noise=False, seed=0, storage=storage, name=name)


def picture(studies: dict[str, bo.Study], path: Path) -> None:
    """Left and middle: who was busy when. Right: the best fit of both."""
    _, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained", width_ratios=[1, 1, 1.2])
    for ax, (title, study) in zip(axes, studies.items(), strict=False):
        begin = min(trial.started for trial in study.trials)
        best, lane_ends = np.inf, []
        for trial in sorted(study.trials, key=lambda trial: trial.started):
            free = (i for i, end in enumerate(lane_ends) if end <= trial.started)
            lane = next(free, len(lane_ends))
            lane_ends[lane : lane + 1] = [trial.ended]
            better = trial.value is not None and trial.value < best
            best = trial.value if better else best
            ax.broken_barh(
                [(trial.started - begin, trial.ended - trial.started)],
                (lane + 0.6, 0.8),
                color="#0b6e99" if better else "#b8c4cc",
                edgecolor="white",
            )
        ax.set(title=title, xlabel="seconds", yticks=range(1, len(lane_ends) + 1))
        ax.set_ylabel("evaluations at once (blue: the best so far)")
    years = np.arange(1900, 1921)
    fitted = np.exp(populations(**studies["one database"].recommend().params))
    for row, name, color in ((0, "hares", "#7a9e35"), (1, "lynxes", "#d1495b")):
        axes[2].plot(years, np.exp(FURS[row]), "o", color=color, label=name)
        axes[2].plot(years, fitted[row], color=color)
    axes[2].set(title="furs and fit", ylabel="thousands", xticks=[1900, 1910, 1920])
    axes[2].legend(frameon=False)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=110)
    print(f"picture: {path}")


def tell(title: str, study: bo.Study) -> None:
    """What a study found, and how busy its workers were."""
    trials = study.trials
    best = study.recommend()
    seconds = max(t.ended for t in trials) - min(t.started for t in trials)
    busy = sum(t.ended - t.started for t in trials)
    points = {tuple(t.params.values()) for t in trials}
    print(f"{title}: {len(trials)} trials, {len(points)} different points in {seconds:.1f} s,")
    print(f"    {busy / seconds:.1f} at once; misfit {best.mean:.4f} at", end=" ")
    print(", ".join(f"{name} {value:.4g}" for name, value in best.params.items()))


def main() -> None:
    """Search twice, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-evals", type=int, default=60)
    parser.add_argument("--n-workers", type=int, default=4)
    parser.add_argument("--storage", default=os.environ.get("BAYESOPT_POSTGRES_URL"))
    parser.add_argument("--picture", type=Path, default=Path("examples/output/many_machines.png"))
    parser.add_argument("--join", metavar="NAME", help="work on a study that others work on too")
    arguments = parser.parse_args()
    if arguments.join:
        join(arguments.storage, arguments.join, arguments.n_evals)
        return
    studies = {"a Dask cluster": on_a_cluster(arguments.n_evals, arguments.n_workers)}
    with tempfile.TemporaryDirectory() as directory:
        storage = arguments.storage or str(Path(directory) / "lynx.db")
        name = f"lynx-{uuid.uuid4().hex[:6]}"
        studies["one database"] = as_equals(storage, name, arguments.n_evals, arguments.n_workers)
        for title, study in studies.items():
            tell(title, study)
        picture(studies, arguments.picture)


if __name__ == "__main__":
    main()
