"""Tune by cross-validation without fitting all the folds at every point.

How well a kernel ridge classifier reads handwritten digits is its mean error over ten folds: ten
fits for each setting that is tried. But a setting that is far off on one fold is seldom good on
the others, and a digit that is hard to read is so under every setting. So the fold is a parameter
that nobody will choose, ``role="environment"``, with a tenth of the weight for each of them
(`environment=`). Every evaluation is then one fit, and the search chooses the setting and the fold;
what it seeks is the mean over all ten. Beside it a search that fits all ten at every setting, and
may go on for four times as many fits.

    python examples/cross_validation_folds.py            # half a minute
    python examples/cross_validation_folds.py --help
"""

import argparse
from functools import cache
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm
from sklearn.datasets import load_digits
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import StratifiedKFold

import bayesopt as bo

N_FOLDS = 10
SETTING = {"alpha": bo.Float(1e-4, 1e1, log=True), "gamma": bo.Float(1e-3, 1e1, log=True)}
SETTING_SPACE = bo.Space(**SETTING)
SPACE = bo.Space(**SETTING, fold=bo.Categorical(list(range(N_FOLDS)), role="environment"))
X, DIGITS = load_digits(return_X_y=True)
X, DIGITS = X[:400] / 16.0, DIGITS[:400]
IS_DIGIT = np.eye(10)[DIGITS]
FOLDS = list(StratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(X, DIGITS))


@cache
def error(alpha: float, gamma: float, fold: int) -> float:
    """One fit: the Brier score on one fold in percent."""
    seen, unseen = FOLDS[fold]
    model = KernelRidge(alpha=alpha, gamma=gamma, kernel="rbf").fit(X[seen], IS_DIGIT[seen])
    wrong = model.predict(X[unseen]) - IS_DIGIT[unseen]
    return 100.0 * float((wrong**2).sum(axis=1).mean())


def mean_error(alpha: float, gamma: float) -> float:
    """Ten fits: what counts."""
    return float(np.mean([error(alpha, gamma, fold) for fold in range(N_FOLDS)]))


def by_fold(n_fits: int, seed: int) -> tuple[bo.Study, dict[int, float]]:
    """A search that fits one fold at a time, and its true mean error by the number of fits."""
    true_errors = {}

    def judge(study: bo.Study, trial: bo.Trial) -> None:
        if len(study.trials) % 5 == 0:
            true_errors[len(study.trials)] = mean_error(**study.recommend().params)

    result = bo.minimize(
        error,
        SPACE,
        n_fits,
        environment={"fold": dict.fromkeys(range(N_FOLDS), 1)},
        noise=False,
        seed=seed,
        callback=judge,
        progress=False,
    )
    return result.study, true_errors


def by_all_folds(n_fits: int, seed: int) -> dict[int, float]:
    """A search that fits all folds each time."""
    n = n_fits // N_FOLDS
    result = bo.minimize(mean_error, SETTING_SPACE, n, noise=False, seed=seed, progress=False)
    best = np.minimum.accumulate(result.func_vals)
    return {N_FOLDS * (i + 1): float(error) for i, error in enumerate(best)}


def picture(study: bo.Study, found: dict[str, list[dict[int, float]]], path: Path) -> None:
    """Left: true errors by fits. Right: which settings were tried, and on how many folds."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    for (name, searches), color in zip(found.items(), ("#0b6e99", "#9a9a9a"), strict=True):
        for position, errors in enumerate(searches):
            label = None if position else name
            fits, reached = list(errors), list(errors.values())
            left.step(fits, reached, "o-", ms=4, where="post", color=color, label=label)
    left.set(xlabel="fits", ylabel="true mean error of the recommended setting (%)", yscale="log")
    left.set_yticks([6, 8, 10, 20, 40], ["6", "8", "10", "20", "40"])
    left.minorticks_off()
    left.set_title("each line is one search")
    left.legend(frameon=False)
    left.spines[["top", "right"]].set_visible(False)
    alpha, gamma = np.geomspace(1e-4, 1e1, 25), np.geomspace(1e-3, 1e1, 33)
    settings = [{"alpha": a, "gamma": g} for g in gamma for a in alpha]
    everywhere = [{**one, "fold": fold} for fold in range(N_FOLDS) for one in settings]
    mean, _ = study.predict(everywhere)
    expected = mean.reshape(N_FOLDS, len(gamma), len(alpha)).mean(axis=0)
    style = {"levels": np.geomspace(5.0, 100.0, 14), "norm": LogNorm(), "cmap": "GnBu_r"}
    filled = right.contourf(alpha, gamma, expected, extend="both", **style)
    figure.colorbar(filled, ax=right, label="expected mean error over all folds (%)", format="%.0f")
    tried = [trial.params for trial in study.trials]
    for one in tried:
        right.text(one["alpha"], one["gamma"], one["fold"], ha="center", va="center", fontsize=8)
    best = study.recommend().params
    right.plot(
        best["alpha"], best["gamma"], "*", color="#d1495b", mec="white", ms=16, clip_on=False
    )
    right.set(xscale="log", yscale="log", xlabel="alpha", ylabel="gamma")
    right.set_title(f"{len(tried)} fits, each on the fold of its number; star: recommended")
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=110)
    print(f"picture: {path}")


def main() -> None:
    """Search by single folds and by all, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-fits", type=int, default=30)
    parser.add_argument("--n-searches", type=int, default=2)
    parser.add_argument(
        "--picture", type=Path, default=Path("examples/output/cross_validation_folds.png")
    )
    arguments = parser.parse_args()
    seeds, n_all = range(arguments.n_searches), 4 * arguments.n_fits
    one_by_one = [by_fold(arguments.n_fits, seed) for seed in seeds]
    found = {
        "one fold at a time": [errors for _, errors in one_by_one],
        "all folds each time": [by_all_folds(n_all, seed) for seed in seeds],
    }
    print(f"{'':21}{'fits':>6}{'true mean error (%) of ' + str(len(seeds)) + ' searches':>36}")
    for name, searches in found.items():
        for fits in (arguments.n_fits, n_all):
            reached = [errors[fits] for errors in searches if fits in errors]
            if reached:
                print(f"{name:21}{fits:6d}      {', '.join(f'{one:.2f}' for one in reached)}")
    picture(one_by_one[0][0], found, arguments.picture)


if __name__ == "__main__":
    main()
