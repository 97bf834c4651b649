"""Two real tuning tasks with mixed spaces: small enough to evaluate in a fraction of a second.

The data come with scikit-learn, and the folds are fixed, so the value of a point is deterministic.
"""

from functools import cache
from typing import Any

from benchmarks.space import Parameter, Params, Space

SVM_SPACE: Space = (
    Parameter("C", "float", 1e-3, 1e3, log=True),
    Parameter("gamma", "float", 1e-5, 1e1, log=True),
    Parameter("degree", "int", 1, 6),
    Parameter("kernel", "categorical", choices=("rbf", "poly", "sigmoid", "linear")),
)
BOOSTING_SPACE: Space = (
    Parameter("learning_rate", "float", 1e-3, 1.0, log=True),
    Parameter("l2_regularization", "float", 1e-4, 1e3, log=True),
    Parameter("max_features", "float", 0.1, 1.0),
    Parameter("max_leaf_nodes", "int", 2, 64, log=True),
    Parameter("min_samples_leaf", "int", 1, 64, log=True),
    Parameter("loss", "categorical", choices=("squared_error", "absolute_error", "gamma")),
)


def svm_error(params: Params) -> float:
    """Three-fold error rate of a support vector classifier on 600 handwritten digits."""
    from sklearn.svm import SVC

    X, y, folds = _digits()
    return 1.0 - _cross_validate(SVC(**params, cache_size=50), X, y, folds, "accuracy")


def boosting_error(params: Params) -> float:
    """Three-fold relative squared error (1 - R2) of 60 boosted trees on the diabetes data."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    X, y, folds = _diabetes()
    model = HistGradientBoostingRegressor(
        **params, max_iter=60, early_stopping=False, random_state=0
    )
    return 1.0 - _cross_validate(model, X, y, folds, "r2")


def _cross_validate(model: Any, X: Any, y: Any, folds: Any, scoring: str) -> float:
    from sklearn.model_selection import cross_val_score

    return float(cross_val_score(model, X, y, cv=folds, scoring=scoring).mean())


@cache
def _digits() -> tuple[Any, Any, Any]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import StratifiedKFold

    X, y = load_digits(return_X_y=True)
    return X[:600] / 16.0, y[:600], StratifiedKFold(3, shuffle=True, random_state=0)


@cache
def _diabetes() -> tuple[Any, Any, Any]:
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import KFold

    X, y = load_diabetes(return_X_y=True)
    return X, y, KFold(3, shuffle=True, random_state=0)
