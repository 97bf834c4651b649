"""The door to the models: what is fitted to which data, and how many partial derivatives count."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bayesopt.data import Dataset, Scaling
from bayesopt.models.derivatives.process import DerivativeGaussianProcess
from bayesopt.models.exact import ExactGaussianProcess
from bayesopt.models.gaussian_process import GaussianProcess
from bayesopt.models.surrogate import surrogate, with_affordable_slopes


def data_of(n, d, with_slopes=True):
    X = torch.from_numpy(np.random.default_rng(0).random((n, d)))
    Y = torch.cos(3.0 * X).sum(1, keepdim=True)
    slopes = -3.0 * torch.sin(3.0 * X) if with_slopes else None
    zero = torch.zeros_like(X)
    return Dataset(
        X, Y, zero[:, :1], (), Scaling(1.0, 1.0, 0.0, 1.0), slopes, zero if with_slopes else None
    )


@pytest.mark.parametrize(
    "hyperparameters", ["map", "mle", pytest.param("slice", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("with_slopes", [False, True])
def test_slopes_choose_the_process(hyperparameters, with_slopes):
    data, rng = data_of(6, 2, with_slopes), np.random.default_rng(0)
    model, theta = surrogate(data, GaussianProcess(), hyperparameters, rng)
    member = model.models[0] if hyperparameters == "slice" else model
    assert type(member) is (DerivativeGaussianProcess if with_slopes else ExactGaussianProcess)
    again, _ = surrogate(data, GaussianProcess(), "map", rng, start=theta)
    assert type(again) is type(member)


def test_a_fit_without_slopes_starts_where_one_with_slopes_ended_and_the_other_way_round():
    rng = np.random.default_rng(0)
    _, with_slopes = surrogate(data_of(6, 2), GaussianProcess(), "map", rng)
    _, without = surrogate(data_of(6, 2, False), GaussianProcess(), "map", rng, with_slopes)
    surrogate(data_of(6, 2), GaussianProcess(), "map", rng, without)


def test_all_slopes_count_where_they_are_few():
    data = data_of(10, 3)
    assert with_affordable_slopes(data) is data
    assert with_affordable_slopes(data_of(10, 3, False)).dY is None


def test_the_slopes_of_the_best_points_are_kept():
    data = data_of(10, 3)
    slopes = data.dY.clone()
    best = data.Y.squeeze(-1).argsort(descending=True)
    slopes[best[0], 1:] = torch.nan
    kept = with_affordable_slopes(replace(data, dY=slopes), most=10 + 1 + 3 + 3 + 2)
    there = (~kept.dY.isnan()).sum(1)
    assert there[best].tolist() == [1, 3, 3, 0, 0, 0, 0, 0, 0, 0]
    assert len(kept) == 10 and torch.equal(kept.Y, data.Y)


def test_no_slope_is_kept_where_the_values_are_many_already():
    assert with_affordable_slopes(data_of(10, 3), most=10).dY is None
