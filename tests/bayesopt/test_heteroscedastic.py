"""The process whose noise varies: its law, its fit, and intervals that hold what they promise."""

import numpy as np
import pytest
import torch
from processes import MIXED, points
from uneven_noise import forrester, forrester_sd, law, repeated, uneven_process

from bayesopt.data import Dataset, Scaling
from bayesopt.models.fit import fit
from bayesopt.models.heteroscedastic import HeteroscedasticGaussianProcess, fit_heteroscedastic
from bayesopt.models.noise_law import SPREAD, LatentNoise

# -- the law of the noise --------------------------------------------------------------------------


@pytest.mark.parametrize("categories", [(), MIXED], ids=["real", "mixed"])
def test_the_gradient_of_the_noise_is_its_slope(categories):
    d = 4 if categories else 2
    noise_law = law(points(9, d, categories=categories, seed=1), categories)
    X = points(12, d, categories=categories, seed=2).requires_grad_()
    value = noise_law.at(X)
    (gradient,) = torch.autograd.grad(value.sum(), X)
    closed, to_gradient = noise_law.with_pull_back(X.detach())
    torch.testing.assert_close(closed, value.detach(), rtol=1e-14, atol=0)
    plain, weight = noise_law.features.plain, torch.linspace(-1, 2, 12, dtype=torch.float64)
    pulled = to_gradient(weight)
    expected = weight.unsqueeze(-1) * gradient
    torch.testing.assert_close(pulled[:, plain], expected[:, plain], rtol=1e-10, atol=1e-14)
    for column in plain:
        step = torch.zeros(d, dtype=torch.float64)
        step[column] = 1e-6
        X0 = X.detach()
        slope = (noise_law.at(X0 + step) - noise_law.at(X0 - step)) / 2e-6
        torch.testing.assert_close(gradient[:, column], slope, rtol=1e-6, atol=1e-9)


def test_known_noise_is_found_again_and_far_away_it_is_what_was_thought_before():
    X = 0.05 * points(6, 1, seed=1)
    g = torch.linspace(-4.0, -3.0, 6).double()
    noise_law = LatentNoise(X, ()).known(g)
    wide = LatentNoise(points(12, 2, seed=1), ()).known(torch.linspace(-5.0, -1.0, 12).double())
    at = wide.at(points(12, 2, seed=1)).log()
    torch.testing.assert_close(at, torch.linspace(-5.0, -1.0, 12).double(), rtol=0, atol=0.05)
    far = float(noise_law.at(torch.full((1, 1), 50.0).double()).log())
    assert far == pytest.approx(-3.5 + 0.5 * SPREAD**2, abs=1e-9)


# -- the process -----------------------------------------------------------------------------------


def test_a_new_observation_has_the_noise_of_its_place():
    model, X = uneven_process(), points(6, 2, 2, seed=3)
    f, y = model.posterior(X), model.posterior(X, observation_noise=True)
    torch.testing.assert_close(y.mean, f.mean, rtol=0, atol=0)
    added = y.covariance - f.covariance
    torch.testing.assert_close(added, torch.diag_embed(model.noise_at(X)), rtol=0, atol=1e-14)
    given = model.posterior(X, observation_noise=torch.full((6, 2, 1), 0.5).double())
    assert float((given.variance - f.variance).mean()) == pytest.approx(0.5)


@pytest.mark.parametrize("batch", [(), (3,)])
def test_more_observations_have_the_noise_of_their_places(batch):
    model, new, X = uneven_process(), points(*batch, 2, 2, seed=4), points(5, 2, seed=5)
    more = model.condition_on_observations(new, new[..., :1])
    assert isinstance(more, HeteroscedasticGaussianProcess)
    torch.testing.assert_close(more.Yvar[..., -2:, 0], model.noise_at(new), rtol=0, atol=0)
    torch.testing.assert_close(more.noise_at(X), model.noise_at(X), rtol=0, atol=0)
    for i in np.ndindex(*batch):
        XX, Y = torch.cat((model.X, new[i])), torch.cat((model.Y, new[i][:, :1]))
        Yvar = torch.cat((model.Yvar, model.noise_at(new[i]).unsqueeze(-1)))
        fresh = HeteroscedasticGaussianProcess(XX, Y, Yvar, model.hyperparameters, model.noise_law)
        at = more.posterior(X.expand(*batch, 5, 2)).mean[i]
        torch.testing.assert_close(at, fresh.posterior(X).mean, rtol=1e-9, atol=1e-10)


# -- the fit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["map", "mle"])
def test_noise_that_grows_is_found(method):
    model, theta = fit_heteroscedastic(repeated(n=30, repeats=4, seed=2), method=method)
    assert len(model.X) == 30 and len(theta) == 4
    ends = torch.tensor([[0.1, 0.5], [0.9, 0.5]], dtype=torch.float64)
    true = (1.5 * ends[:, 0] - 2.5).mul(2).exp()
    assert 0.4 < float(model.noise_at(ends)[0] / true[0]) < 2.5
    assert 0.4 < float(model.noise_at(ends)[1] / true[1]) < 2.5
    again, _ = fit_heteroscedastic(repeated(n=30, repeats=4, seed=2), method=method, start=theta)
    torch.testing.assert_close(again.noise_at(ends), model.noise_at(ends), rtol=0.1, atol=0)


@pytest.mark.parametrize("n", [1, 3, 6])
def test_with_few_observations_the_noise_is_nearly_the_same_everywhere(n):
    data = repeated(n=n + 1, repeats=1).at(torch.arange(n))
    model, _ = fit_heteroscedastic(data)
    plain = fit(data)[0]
    at = model.noise_at(data.X)
    assert float(at.max() / at.min()) < 3.0
    torch.testing.assert_close(
        model.marginals(data.X)[0], plain.marginals(data.X)[0], rtol=0, atol=0.35
    )


def test_known_variances_are_kept():
    data = repeated("mixed", n=8, repeats=3)
    model, _ = fit_heteroscedastic(data)
    known = ~data.Yvar.isnan().squeeze(-1)
    for x, variance in zip(data.X[known], data.Yvar[known, 0], strict=True):
        row, count = (model.X == x).all(1), int((data.X == x).all(1).sum())
        assert float(model.Yvar[row][0]) == pytest.approx(float(variance) / count)


def test_where_all_variances_are_known_the_law_is_learnt_from_them():
    data = repeated("known", n=8, repeats=3)
    model, _ = fit_heteroscedastic(data)
    torch.testing.assert_close(model.noise_at(data.X), data.Yvar.squeeze(-1), rtol=0.1, atol=0)


def observed(n, seed):
    rng = np.random.default_rng(seed)
    x = (np.arange(n) + rng.random(n)) / n
    y = forrester(x) + forrester_sd(x) * rng.standard_normal(n)
    scaling = Scaling(1.0, 1.0, float(y.mean()), float(y.std()))
    X, Y = torch.from_numpy(x).unsqueeze(-1), torch.from_numpy(scaling.score(y)).unsqueeze(-1)
    return Dataset(X, Y, torch.full_like(Y, torch.nan), (), scaling)


def coverage(model, data):
    """Shares of new observations in their 95 % intervals: where there is little noise, and much."""
    x = np.linspace(0.0, 1.0, 1001)
    new = forrester(x) + forrester_sd(x) * np.random.default_rng(0).standard_normal(len(x))
    posterior = model.posterior(torch.from_numpy(x).reshape(-1, 1, 1), observation_noise=True)
    mean, sd = posterior.mean.flatten().numpy(), posterior.variance.flatten().sqrt().numpy()
    inside = np.abs(data.scaling.score(new) - mean) < 1.96 * sd
    much = forrester_sd(x) > np.median(forrester_sd(x))
    return inside[~much].mean(), inside[much].mean()


def test_intervals_of_new_observations_hold_where_those_of_even_noise_do_not():
    everything = [observed(80, seed) for seed in range(6)]
    uneven = np.mean([coverage(fit_heteroscedastic(d)[0], d) for d in everything], axis=0)
    even = np.mean([coverage(fit(d)[0], d) for d in everything], axis=0)
    assert bool(((uneven > 0.90) & (uneven < 0.98)).all())
    assert even[0] > 0.99 and even[1] < 0.90
