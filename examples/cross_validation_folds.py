"""Tune by cross-validation without fitting all the folds at every point.

How far a kernel ridge regression errs is the mean of its errors on ten folds: ten fits for each
setting that is tried. But a setting that is far off on one fold is seldom good on the others, and
a patient who is hard to foresee is so under every setting. So the fold is a parameter that nobody
will choose, ``role="environment"``, with a tenth of the weight for each of them (`environment=`).
Every evaluation is then one fit, and the search chooses the setting and the fold; what it seeks is
the mean over all ten. Beside it a search that fits all ten at every setting.

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
from sklearn.datasets import load_digits
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import StratifiedKFold

import bayesopt as bo

N_FOLDS = 10
SETTING = {"alpha": bo.Float(1e-4, 1e1, log=True), "gamma": bo.Float(1e-3, 1e1, log=True)}
FOLD = bo.Categorical(range(N_FOLDS), role="environment")
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
