"""A Gaussian process after more observations: the same as one fitted to all of them at once."""

import pytest
import torch
from botorch.sampling import SobolQMCNormalSampler
from processes import KERNELS, MEANS, MIXED, NOISES, points, process

from bayesopt.models.exact import ExactGaussianProcess


def same(a, b, atol=1e-8):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def refitted(model, X, Y, noise):
    """The same hyperparameters on all data at once."""
    batch = Y.shape[:-2]
    old = (t.expand(*batch, *t.shape[-2:]) for t in (model.X, model.Y, model.Yvar))
    data = [torch.cat(pair, dim=-2) for pair in zip(old, (X, Y, noise), strict=True)]
    return ExactGaussianProcess(*data, model.hyperparameters, model.features.categories)


@pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("categories", [(), MIXED], ids=["real", "mixed"])
def test_conditioning_agrees_with_a_fit_from_scratch(categories, noise, batch):
    model = process(noise=noise, signal=1.3, categories=categories)
    d = model.X.shape[-1]
    X = points(*batch, 3, d, categories=categories, seed=7)
    Y = points(*batch, 3, 1, seed=8)
    new = torch.full_like(Y, torch.nan if model.Yvar.isnan().any() else float(model.Yvar.mean()))
    at = points(*batch, 4, d, categories=categories, seed=9)
    for given in (None, points(*batch, 3, 1, seed=10)):
        ours = model.condition_on_observations(X, Y, noise=given)
        theirs = refitted(model, X, Y, new if given is None else given)
        assert ours.batch_shape == torch.Size(batch)
        same(ours.L, theirs.L)
        a, b = ours.posterior(at), theirs.posterior(at)
        same(a.mean, b.mean)
        same(a.distribution.covariance_matrix, b.distribution.covariance_matrix)


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("correlation", KERNELS)
def test_conditioning_works_for_every_kernel_and_mean(correlation, mean):
    model = process(correlation, "known", categories=MIXED, mean=mean)
    X = points(5, 3, 4, categories=MIXED, seed=7)
    Y, noise = points(5, 3, 1, seed=8), points(5, 3, 1, seed=10)
    at = points(5, 4, 4, categories=MIXED, seed=9)
    ours = model.condition_on_observations(X, Y, noise=noise).posterior(at)
    theirs = refitted(model, X, Y, noise).posterior(at)
    same(ours.mean, theirs.mean)
    same(ours.distribution.covariance_matrix, theirs.distribution.covariance_matrix)


def test_conditioning_broadcasts_one_set_of_points_over_many_scores():
    model = process()
    X, Y, at = points(2, 2, seed=11), points(6, 2, 1, seed=12), points(4, 2, seed=13)
    together = model.condition_on_observations(X, Y).posterior(at)
    for i in range(6):
        alone = model.condition_on_observations(X, Y[i]).posterior(at)
        same(together.mean[i], alone.mean, 1e-12)
        same(together.variance[i], alone.variance, 1e-12)


def test_conditioning_twice_is_conditioning_once():
    model = process(noise="known")
    X, Y, noise = points(4, 2, seed=14), points(4, 1, seed=15), points(4, 1, seed=16)
    once = model.condition_on_observations(X, Y, noise=noise)
    first = model.condition_on_observations(X[:1], Y[:1], noise=noise[:1])
    twice = first.condition_on_observations(X[1:], Y[1:], noise=noise[1:])
    at = points(5, 2, seed=17)
    same(once.posterior(at).mean, twice.posterior(at).mean, 1e-12)
    same(once.posterior(at).variance, twice.posterior(at).variance, 1e-12)


@pytest.mark.parametrize("noise", ["inferred", "known", "exact"])
def test_fantasies_keep_the_mean_on_average_and_lower_the_variance(noise):
    model = process(noise=noise)
    X, at = points(3, 2, 2, seed=18), points(5, 2, seed=19)
    sampler = SobolQMCNormalSampler(torch.Size([256]), seed=0)
    fantasies = model.fantasize(X, sampler).posterior(at)
    before = model.posterior(at)
    assert fantasies.mean.shape == (256, 3, 5, 1)
    same(fantasies.mean.mean(0), before.mean.expand(3, 5, 1), 5e-3)
    total = fantasies.variance.mean(0) + fantasies.mean.var(0)
    torch.testing.assert_close(total, before.variance.expand(3, 5, 1), rtol=0.03, atol=1e-3)
    assert bool((fantasies.variance <= before.variance + 1e-9).all())


@pytest.mark.parametrize("signal", [1e-3, 1.0, 50.0])
@pytest.mark.parametrize("correlation", KERNELS)
def test_what_exact_observations_tell_already_changes_nothing(correlation, signal):
    """The data once more, several times, and points next to them, with the values expected."""
    model = process(correlation, "exact", signal)
    at = points(5, 2, seed=20)
    known = torch.cat((model.X, model.X, model.X + 1e-9))
    again = model.condition_on_observations(known, model.posterior(known).mean)
    same(again.posterior(at).mean, model.posterior(at).mean, 1e-5)
    same(again.posterior(at).variance, model.posterior(at).variance, 1e-5 * signal)
