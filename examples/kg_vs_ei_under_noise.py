"""Expected improvement and the knowledge gradient where every measurement is off by a random error.

Expected improvement asks how much better the value at a candidate is than the best mean so far.
The knowledge gradient asks how much better the best mean *anywhere* will be once the candidate has
been measured: it counts what a noisy measurement says about all other points too. The picture shows
both on one line of measurements, and what they reach on a test function of three variables
(Hartmann's, minimum -3.863, error 0.1), where the point reported is that of the best mean.

    python examples/kg_vs_ei_under_noise.py            # half a minute
    python examples/kg_vs_ei_under_noise.py --help
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes

import bayesopt as bo
from bayesopt.acquisition import expected_improvement, knowledge_gradient
from bayesopt.data import dataset
from bayesopt.models.fit import fit

MINIMUM, NOISE_SD = -3.862780, 0.1
SCALE = np.array([[3.0, 10.0, 30.0], [0.1, 10.0, 35.0], [3.0, 10.0, 30.0], [0.1, 10.0, 35.0]])
CENTRE = np.array(
    [
        [0.3689, 0.117, 0.2673],
        [0.4699, 0.4387, 0.747],
        [0.1091, 0.8732, 0.5547],
        [0.0381, 0.5743, 0.8828],
    ]
)
COLORS = {"ei": "#d1495b", "kg": "#0b6e99"}
SPOKEN = {"ei": "expected improvement", "kg": "knowledge gradient"}


def hartmann3(x: np.ndarray) -> float:
    """The true value, on the unit cube."""
    return -float(np.exp(-(SCALE * (x - CENTRE) ** 2).sum(axis=1)) @ [1.0, 1.2, 3.0, 3.2])


def regret_by_evaluations(acquisition: str, n_evals: int, seed: int) -> list[float]:
    """How far the reported point is above the minimum, after every measurement by the model."""
    error = np.random.default_rng([seed, 1])
    policy = bo.Policy(acquisition=acquisition)
    study = bo.Study([(0.0, 1.0)] * 3, policy=policy, seed=seed)
    regret = []
    for index in range(n_evals):
        trial = study.ask()
        x = np.array(list(trial.params.values()))
        study.tell(trial, hartmann3(x) + NOISE_SD * error.normal())
        if index + 1 >= study.n_initial:
            reported = study.recommend("best_mean").params
            regret.append(hartmann3(np.array(list(reported.values()))) - MINIMUM)
    return regret


def draw_line(above: Axes, below: Axes) -> None:
    """Eight noisy measurements of a function of one variable, the model, both acquisitions."""
    space = bo.Space(x=bo.Float(0.0, 1.0))
    points = np.array([0.03, 0.2, 0.3, 0.36, 0.55, 0.62, 0.8, 0.95])
    grid = np.linspace(0.0, 1.0, 401)

    def truth(x: np.ndarray) -> np.ndarray:
        return np.sin(5.0 * x) + 0.6 * np.cos(13.0 * x)

    study = bo.Study(space, direction="maximize", noise=0.4)
    study.add(points[:, None], truth(points) + 0.4 * np.random.default_rng(4).normal(size=8))
    data = dataset(space, study.trials, "maximize", 0.4)
    model, _ = fit(data)
    mean, sd = study.predict(grid[:, None])
    above.plot(grid, truth(grid), color="grey", linestyle=":", label="truth")
    above.plot(grid, mean, color="black", label="mean of the model, 95 %")
    above.fill_between(grid, mean - 1.96 * sd, mean + 1.96 * sd, color="black", alpha=0.12)
    above.plot(points, [t.value for t in study.trials], "o", color="black", markersize=4)
    X = torch.from_numpy(grid).reshape(-1, 1, 1)
    for name, build in (("ei", expected_improvement.build), ("kg", knowledge_gradient.build)):
        with torch.no_grad():
            value = build(model, data)(X).exp().numpy()
        below.plot(grid, value / value.max(), color=COLORS[name], label=SPOKEN[name])
        for ax in (above, below):
            ax.axvline(grid[value.argmax()], color=COLORS[name], linewidth=1, linestyle="--")
    above.set(title="the next measurement of a noisy function", xticks=[])
    below.set(xlabel="x", yticks=[], ylabel="acquisition")


def picture(regret: dict[str, np.ndarray], n_initial: int, path: Path) -> None:
    """Left: one step on a line. Right: median and quartiles of what the searches reach."""
    figure = plt.figure(figsize=(11, 4.4), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(2, 1))
    above, below = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0])
    right = figure.add_subplot(grid[:, 1])
    draw_line(above, below)
    for name, of_searches in regret.items():
        low, median, high = np.quantile(of_searches, (0.25, 0.5, 0.75), axis=0)
        evaluations = n_initial + np.arange(len(median))
        right.plot(evaluations, median, color=COLORS[name], linewidth=2, label=SPOKEN[name])
        right.fill_between(evaluations, low, high, color=COLORS[name], alpha=0.15)
    right.set_yscale("log")
    right.set(
        xlabel="measurements",
        ylabel="true value above the minimum",
        title="reported point: median and quartiles of the searches",
    )
    for ax in (above, below, right):
        ax.legend(frameon=False, fontsize=9)
        ax.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=110)
    print(f"picture: {path}")


def main() -> None:
    """Search many times with both, compare the reports, draw."""
    default = Path("examples/output/kg_vs_ei_under_noise.png")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-evals", type=int, default=28)
    parser.add_argument("--n-searches", type=int, default=8)
    parser.add_argument("--picture", type=Path, default=default)
    arguments = parser.parse_args()
    seeds = range(arguments.n_searches)
    regret = {
        name: np.array([regret_by_evaluations(name, arguments.n_evals, seed) for seed in seeds])
        for name in COLORS
    }
    print(f"{len(seeds)} searches of {arguments.n_evals} measurements, error {NOISE_SD:g}")
    print(f"{'above the minimum':24}{'median':>10}{'quartiles':>20}")
    for name, of_searches in regret.items():
        low, median, high = np.quantile(of_searches[:, -1], (0.25, 0.5, 0.75))
        print(f"{SPOKEN[name]:24}{median:10.4f}{f'{low:.4f} to {high:.4f}':>20}")
    picture(regret, arguments.n_evals - len(regret["kg"][0]) + 1, arguments.picture)


if __name__ == "__main__":
    main()
