"""Four fermenters at once: the same number of batches, a third of the weeks.

Yeast turns sugar into alcohol. How much sugar, how much yeast and how warm? Too much sugar or
alcohol slows the yeast, warmth speeds it up until it dies. What counts is the alcohol that a
fermenter yields in an hour, with eight hours of cleaning after every batch. A batch takes half a
day, or four days if it goes badly; a distillery with four fermenters runs four at once. Whenever
one is free the next batch is chosen, beside those whose yield nobody knows yet: `study.ask()`
while others run. Where the function does the work itself, that is ``bo.maximize(...,
n_parallel=4)``.

Four at once are not four times as clever: each batch is chosen knowing less than if one had waited
for the others. The pictures count both, batches and days. The clock is that of the fermenters.

    python examples/fermenters.py            # a quarter of a minute
    python examples/fermenters.py --help
"""

import argparse
import heapq
from dataclasses import dataclass
from math import exp
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import bayesopt as bo

SPACE = bo.Space(
    sugar=bo.Float(40.0, 300.0),  # g/l at the start
    yeast=bo.Float(0.2, 8.0, log=True),  # g/l at the start
    warmth=bo.Float(15.0, 40.0),  # °C
)
CLEANING, LONGEST, STEP = 8.0, 96.0, 0.25  # hours


def batch(sugar: float, yeast: float, warmth: float) -> tuple[float, float]:
    """Alcohol at the end in g/l, and the hours that it took."""
    left, alive, alcohol, hours = sugar, yeast, 0.0, 0.0
    growth = 0.4 * exp(-(((warmth - 32.0) / 9.0) ** 2))
    death = 0.01 * exp((warmth - 32.0) / 3.0)
    while hours < LONGEST and left > 0.03 * sugar:
        pace = left / (left + 2.0 + left**2 / 200.0) * max(0.0, 1.0 - alcohol / 95.0)
        eaten = min(STEP * growth * pace * alive / 0.12, left)
        alive += 0.12 * eaten - STEP * death * (1.0 + alcohol / 20.0) * alive
        alcohol += 0.46 * eaten
        left -= eaten
        hours += STEP
    return alcohol, hours


@dataclass(frozen=True)
class Batch:
    """What a fermenter did: from when to when, in days, and what it gave."""

    begun: float
    ended: float
    value: float


def searched(n_batches: int, n_fermenters: int, seed: int) -> tuple[bo.Study, list[Batch]]:
    """One search, and its batches in the order in which they ended."""
    study = bo.Study(SPACE, direction="maximize", noise=False, seed=seed)
    now, running, done = 0.0, [], []
    while len(done) < n_batches:
        while len(running) < n_fermenters and len(running) + len(done) < n_batches:
            trial = study.ask()  # knows what has ended, and which batches run
            alcohol, hours = batch(**trial.params)
            # Yeast is not for free: a gram costs as much as three grams of alcohol bring.
            value = (alcohol - 3.0 * trial.params["yeast"]) / (hours + CLEANING)
            ends = now + (hours + CLEANING) / 24.0
            heapq.heappush(running, (ends, trial.number, Batch(now, ends, value)))
        now, number, ended = heapq.heappop(running)
        study.tell(number, ended.value)
        done.append(ended)
    return study, done


def lanes(done: list[Batch], ax: plt.Axes) -> None:
    """Which fermenter was busy when; blue where a batch was the best so far."""
    best = {one for i, one in enumerate(done) if one.value == max(b.value for b in done[: i + 1])}
    free_from: list[float] = []
    for one in sorted(done, key=lambda one: one.begun):
        lane = next((k for k, end in enumerate(free_from) if end <= one.begun), len(free_from))
        free_from[lane : lane + 1] = [one.ended]
        ax.broken_barh(
            [(one.begun, one.ended - one.begun)],
            (lane + 0.6, 0.8),
            color="#0b6e99" if one in best else "#b8c4cc",
            edgecolor="white",
        )
    ax.set(yticks=range(1, len(free_from) + 1), xlabel="days", ylabel="fermenter")
    ax.set_title("four at once (blue: the best so far)")


def picture(found: dict[str, list[list[Batch]]], path: Path) -> None:
    """Left: lanes. Middle and right: the best so far by batches and by days."""
    _, axes = plt.subplots(1, 3, figsize=(13, 3.9), layout="constrained")
    lanes(found["four fermenters"][0], axes[0])
    for (name, searches), color in zip(found.items(), ("#9a9a9a", "#0b6e99"), strict=True):
        for position, done in enumerate(searches):
            best = np.maximum.accumulate([one.value for one in done])
            line = {"color": color, "alpha": 0.8, "label": None if position else name}
            axes[1].step(np.arange(1, len(done) + 1), best, where="post", **line)
            axes[2].step([one.ended for one in done], best, where="post", **line)
    axes[1].set(xlabel="batches", title="by batches")
    axes[2].set(xlabel="days", title="by days")
    for ax in axes[1:]:
        ax.set_ylim(bottom=1.0)  # one search begins with a batch that fails
        ax.set_ylabel("g of alcohol a litre and hour, best so far")
        ax.legend(frameon=False, loc="lower right")
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=110)
    print(f"picture: {path}")


def main() -> None:
    """Search with one fermenter and with four, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-evals", type=int, default=32)
    parser.add_argument("--n-searches", type=int, default=3)
    parser.add_argument("--picture", type=Path, default=Path("examples/output/fermenters.png"))
    arguments = parser.parse_args()
    found, best = {}, {}
    for name, n_fermenters in (("one fermenter", 1), ("four fermenters", 4)):
        searches = [
            searched(arguments.n_evals, n_fermenters, seed) for seed in range(arguments.n_searches)
        ]
        found[name] = [done for _, done in searches]
        best[name] = searches[0][0].recommend()
    print(f"{arguments.n_searches} searches of {arguments.n_evals} batches each; means of them")
    for name, searches in found.items():
        days = np.mean([done[-1].ended for done in searches])
        value = np.mean([max(one.value for one in done) for done in searches])
        print(f"{name:16}{days:6.0f} days, {value:.3f} g of alcohol a litre and hour")
    recipe = best["four fermenters"].params
    alcohol, hours = batch(**recipe)
    print(
        f"the first search with four: {recipe['sugar']:.0f} g/l of sugar, "
        f"{recipe['yeast']:.1f} g/l of yeast, {recipe['warmth']:.1f} °C; "
        f"{alcohol:.0f} g/l of alcohol after {hours:.0f} hours"
    )
    picture(found, arguments.picture)


if __name__ == "__main__":
    main()
