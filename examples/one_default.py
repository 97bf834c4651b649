"""One default for several data sets: a task without a target.

What should a library take where its users say nothing? A setting that is good on the average over
many data sets, of which no one is typical. Here a kernel ridge classifier gets its two defaults
from irises, wines, tumours and handwritten digits, each judged by a cross-validation.

The data set is a parameter with ``role="task"`` and no target: every evaluation is a
cross-validation on one of them, which the search chooses, and what it seeks is the mean over all.
Beside it a search that judges every setting on all four, and may go on for three times as long.

    python examples/one_default.py            # half a minute
    python examples/one_default.py --help
"""

import argparse
from functools import cache
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import scale

import bayesopt as bo

MOST = 150  # rows of a data set
SETTING = {"alpha": bo.Float(1e-4, 1e1, log=True), "width": bo.Float(0.1, 30.0, log=True)}
SETTING_SPACE = bo.Space(**SETTING)
LOADERS = {
    "iris": load_iris,
    "wine": load_wine,
    "tumours": load_breast_cancer,
    "digits": load_digits,
}
COLORS = dict(zip(LOADERS, ("#6b5b95", "#d1495b", "#7fb069", "#c98b2b"), strict=True))
SPACE = bo.Space(**SETTING, data=bo.Categorical(list(LOADERS), role="task"))


@cache
def read(data: str) -> tuple[np.ndarray, np.ndarray]:
    """Scaled columns, and which class every row has, as zeros and ones."""
    X, y = LOADERS[data](return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(y))[:MOST]
    X = scale(X[rows])
    return X, np.eye(y.max() + 1)[y[rows]]


@cache
def error(data: str, alpha: float, width: float) -> float:
    """One cross-validation: the Brier score in percent of that of knowing nothing."""
    X, is_class = read(data)
    folds = StratifiedKFold(5, shuffle=True, random_state=0).split(X, is_class.argmax(axis=1))
    wrong = 0.0
    for seen, unseen in folds:
        # A width is measured in distances that are usual where there are so many columns.
        gamma = 1.0 / (2.0 * width**2 * X.shape[1])
        model = KernelRidge(alpha=alpha, gamma=gamma, kernel="rbf").fit(X[seen], is_class[seen])
        wrong += ((model.predict(X[unseen]) - is_class[unseen]) ** 2).sum()
    share = is_class.mean(axis=0)
    return 100.0 * float(wrong / len(X) / (share * (1 - share)).sum())


def mean_error(alpha: float, width: float) -> float:
    """A cross-validation on each: what counts."""
    return float(np.mean([error(data, alpha, width) for data in LOADERS]))


def by_data_set(n: int, seed: int) -> tuple[bo.Study, dict[int, float]]:
    """A search that asks one data set at a time, and its true mean error by cross-validations."""
    true_errors = {}

    def judge(study: bo.Study, trial: bo.Trial) -> None:
        if len(study.trials) % len(LOADERS) == 0:
            true_errors[len(study.trials)] = mean_error(**study.recommend().params)

    result = bo.minimize(error, SPACE, n, noise=False, seed=seed, callback=judge, progress=False)
    return result.study, true_errors


def by_all(n: int, seed: int) -> dict[int, float]:
    """A search that asks all data sets each time."""
    k = n // len(LOADERS)
    result = bo.minimize(mean_error, SETTING_SPACE, k, noise=False, seed=seed, progress=False)
    best = np.minimum.accumulate(result.func_vals)
    return {len(LOADERS) * (i + 1): float(one) for i, one in enumerate(best)}


def picture(study: bo.Study, found: dict[str, list[dict[int, float]]], path: Path) -> None:
    """Left: true mean errors by cross-validations. Right: which settings were tried on what."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    for (name, searches), color in zip(found.items(), ("#0b6e99", "#9a9a9a"), strict=True):
        for position, errors in enumerate(searches):
            label = None if position else name
            n, reached = list(errors), list(errors.values())
            left.step(n, reached, "o-", ms=4, where="post", color=color, label=label)
    left.set(xlabel="cross-validations", ylabel="true mean error of the recommended default (%)")
    left.set(yscale="log", ylim=(16.0, 45.0))
    left.set_yticks([16, 18, 20, 25, 30, 40], ["16", "18", "20", "25", "30", "40"])
    left.minorticks_off()
    left.set_title("each line is one search")
    left.legend(frameon=False)
    left.spines[["top", "right"]].set_visible(False)
    alpha, width = np.geomspace(1e-4, 1e1, 25), np.geomspace(0.1, 30.0, 29)
    settings = [{"alpha": a, "width": w} for w in width for a in alpha]
    everywhere = [{**one, "data": data} for data in LOADERS for one in settings]
    mean, _ = study.predict(everywhere)
    expected = mean.reshape(len(LOADERS), len(width), len(alpha)).mean(axis=0)
    style = {"levels": np.linspace(15.0, 60.0, 16), "cmap": "GnBu_r", "extend": "both"}
    filled = right.contourf(alpha, width, expected, **style)
    figure.colorbar(filled, ax=right, label="expected mean error over all data sets (%)")
    for data, color in COLORS.items():
        tried = [trial.params for trial in study.trials if trial.params["data"] == data]
        right.scatter(
            [one["alpha"] for one in tried],
            [one["width"] for one in tried],
            s=45,
            color=color,
            edgecolor="white",
            label=f"{data}: {len(tried)}",
            zorder=3,
        )
    best = study.recommend().params
    right.plot(best["alpha"], best["width"], "*", color="black", mec="white", ms=18, zorder=4)
    right.set(xscale="log", yscale="log", xlabel="alpha", ylabel="width of the kernel")
    right.set_title(f"{len(study.trials)} cross-validations of one search; star: recommended")
    right.legend(loc="lower right", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=110)
    print(f"picture: {path}")


def main() -> None:
    """Search by single data sets and by all, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-evals", type=int, default=32)
    parser.add_argument("--n-searches", type=int, default=2)
    parser.add_argument("--picture", type=Path, default=Path("examples/output/one_default.png"))
    arguments = parser.parse_args()
    seeds, n_all = range(arguments.n_searches), 3 * arguments.n_evals
    one_by_one = [by_data_set(arguments.n_evals, seed) for seed in seeds]
    found = {
        "one data set at a time": [errors for _, errors in one_by_one],
        "all data sets each time": [by_all(n_all, seed) for seed in seeds],
    }
    print(f"{'':24}{'cross-validations':>18}{f'true mean error (%) of {len(seeds)} searches':>40}")
    for name, searches in found.items():
        for n in (arguments.n_evals, n_all):
            reached = [errors[n] for errors in searches if n in errors]
            if reached:
                shown = ", ".join(f"{one:.1f}" for one in reached)
                print(f"{name:24}{n:18d}{shown:>40}")
    best = one_by_one[0][0].recommend().params
    print(f"\nThe first default: alpha {best['alpha']:.2g}, width {best['width']:.2g}; errors (%):")
    print(", ".join(f"{data} {error(data, **best):.1f}" for data in LOADERS))
    picture(one_by_one[0][0], found, arguments.picture)


if __name__ == "__main__":
    main()
