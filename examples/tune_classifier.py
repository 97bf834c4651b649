"""Tune a support vector machine on handwritten digits: four parameters, one call.

Every evaluation is a real 5-fold cross-validation with its own random folds, so that the error is
noisy and the luckiest one seen promises too much. The search is set beside a random search of the
same budget, and both winners are then judged on the same fresh folds.

    python examples/tune_classifier.py            # about a minute
    python examples/tune_classifier.py --help
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import OptimizeResult
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import bayesopt as bo
from bayesopt import plots

SPACE = bo.Space(
    C=bo.Float(1e-3, 1e3, log=True),
    gamma=bo.Float(1e-5, 1e1, log=True),
    kernel=bo.Categorical(["rbf", "poly", "sigmoid"]),
    degree=bo.Int(1, 6),
)
X, LABELS = load_digits(return_X_y=True)


def cross_validation(seed: int) -> Callable[..., float]:
    """The function to minimise: error in percent; new folds at every call."""
    folds = np.random.default_rng(seed)

    def error(C: float, gamma: float, kernel: str, degree: int) -> float:
        model = make_pipeline(StandardScaler(), SVC(C=C, gamma=gamma, kernel=kernel, degree=degree))
        split = StratifiedKFold(5, shuffle=True, random_state=int(folds.integers(2**31)))
        return 100.0 * (1.0 - float(cross_val_score(model, X, LABELS, cv=split).mean()))

    return error


def picture(found: OptimizeResult, random: OptimizeResult, path: Path) -> None:
    """Best so far of both searches, and the model's view of C and gamma at the best kernel."""
    _, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    plots.best_so_far(
        {"bayesopt": found.func_vals, "random search": random.func_vals},
        ylabel="cross-validation error (%)",
        ax=left,
    )
    left.set_yscale("log")
    C, gamma = np.geomspace(1e-3, 1e3, 60), np.geomspace(1e-5, 1e1, 60)
    grid = [dict(found.params, C=c, gamma=g) for g in gamma for c in C]
    mean, _ = found.study.predict(grid)
    kernel = found.params["kernel"]
    tried = [t.params for t in found.study.trials if t.params["kernel"] == kernel]
    plots.landscape(
        C,
        gamma,
        np.minimum(mean.reshape(60, 60), 20.0),
        points=[(p["C"], p["gamma"]) for p in tried],
        best=[found.params["C"], found.params["gamma"]],
        labels=("C", "gamma"),
        title=f"expected error (%, at most 20), kernel {kernel}, degree {found.params['degree']}",
        log=(True, True),
        ax=right,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=110)
    print(f"picture: {path}")


def main() -> None:
    """Run both searches, judge their winners, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-evals", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, default=Path("examples/output/tune_classifier.png"))
    arguments = parser.parse_args()
    n_evals, seed = arguments.n_evals, arguments.seed

    results = {}
    for name, policy in (("bayesopt", bo.Policy()), ("random search", bo.Policy("auto", "random"))):
        print(f"\n{name}, {n_evals} evaluations")
        results[name] = bo.minimize(
            cross_validation(seed), SPACE, n_evals, seed=seed, policy=policy, progress=True
        )

    print(f"\n{'':15}{'predicted error':>18}{'on fresh folds':>16}   setting")
    for name, result in results.items():
        judge = cross_validation(seed=12345)
        fresh = np.mean([judge(**result.params) for _ in range(5)])
        setting = ", ".join(
            f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}"
            for key, value in result.params.items()
        )
        predicted = f"{result.fun:.2f} +- {result.sd:.2f} %"
        print(f"{name:15}{predicted:>18}{fresh:>14.2f} %   {setting}")
    print(f"\n{results['bayesopt'].message}")
    picture(results["bayesopt"], results["random search"], arguments.picture)


if __name__ == "__main__":
    main()
