"""Hyperparameters drawn from their posterior, and the mixture of processes that they make."""

import math
import time

import botorch.acquisition as ba
import numpy as np
import pytest
import torch
from botorch.sampling import SobolQMCNormalSampler
from botorch.utils.transforms import is_ensemble
from processes import KERNELS, MEANS, MIXED, noise_variances, points, process
from scipy.integrate import cumulative_trapezoid, trapezoid
from scipy.stats import kstest, multivariate_normal, norm

import bayesopt as bo
from bayesopt.data import Dataset, Scaling
from bayesopt.models import fully_bayesian
from bayesopt.models.fit import NegativeLogPosterior, fit, mode
from bayesopt.models.fully_bayesian import FullyBayesianGaussianProcess, draw, sample
from bayesopt.models.gaussian_process import GaussianProcess, Priors
from bayesopt.models.prior import LogNormal, Normal, TruncatedNormal, Uniform
from bayesopt.models.slice_sampling import slice_sample

FOUR_SE = 6e-5


def same(a, b, atol=1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def data_of(n, d, noise="inferred", categories=(), seed=1):
    X = points(n, d, categories=categories, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    noise_of = torch.randn(n, 1, dtype=torch.float64, generator=generator)
    Y = torch.sin(4.0 * X[:, :2].sum(-1, keepdim=True)) + 0.2 * noise_of
    Y = (Y - Y.mean()) / Y.std()
    return Dataset(X, Y, noise_variances(noise, n), categories, Scaling(1.0, 1.0, 0.0, 1.0))


def mixture(**changes):
    """Three members of different hyperparameters on the same data."""
    members = []
    for i, kernel in enumerate(("matern52", "rbf", "matern32")):
        members.append(process(kernel, signal=1.0 + 0.5 * i, **changes))
    return FullyBayesianGaussianProcess(tuple(members))


# -- the density -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("noise", ["known", "inferred"])
def test_the_density_has_the_prior_mean_integrated_out(mean, noise):
    """A very wide prior of the constant, and N(0, 2^2) of the other coefficients."""
    data, process = data_of(9, 2, noise), GaussianProcess(mean=mean)
    objective = NegativeLogPosterior(data, process)
    thetas = objective.centre + np.random.default_rng(0).uniform(-1, 1, (4, len(objective.centre)))
    u = 2 * data.X.numpy() - 1
    H = np.column_stack((np.ones(9), u, u**2))[:, : 1 + 2 * MEANS.index(mean)]
    B = np.diag([1e5] + [4.0] * (H.shape[1] - 1))
    expected = []
    for theta in thetas:
        *_, K = objective.likelihood._covariance(torch.from_numpy(np.exp(theta[None])))
        total = K[0].numpy() + H @ B @ H.T
        density = multivariate_normal(np.zeros(9), total).logpdf(data.Y.squeeze(-1).numpy())
        expected.append(density - objective.prior.negative_log_density(theta[None])[0][0])
    ours = objective.log_density(thetas)
    np.testing.assert_allclose(ours - ours[0], np.array(expected) - expected[0], atol=2e-3)


def test_the_density_is_zero_outside_of_the_bounds():
    objective = NegativeLogPosterior(data_of(9, 2), GaussianProcess())
    theta = np.tile(objective.centre, (3, 1))
    theta[1, 0], theta[2, -1] = objective.low[0] - 0.1, objective.high[-1] + 0.1
    assert list(np.isneginf(objective.log_density(theta))) == [False, True, True]


@pytest.mark.parametrize(
    "prior",
    [
        None,
        LogNormal(math.log(0.2), 0.5),
        Normal(0.5, 0.3),
        Uniform(0.05, 5.0),
        TruncatedNormal(0.3, 0.3, 0.1, 1.0),
    ],
    ids=repr,
)
def test_draws_of_one_length_scale_follow_the_posterior_by_quadrature(prior):
    """All else is fixed: in one dimension, with known noise."""
    data = data_of(8, 1, "known")
    objective = NegativeLogPosterior(data, GaussianProcess(priors=Priors(lengthscale=prior)))
    grid = np.linspace(objective.low[0], objective.high[0], 4000)
    density = np.exp(objective.log_density(grid[:, None]))
    # The density of theta: that of eta times d eta / d theta, unless it is log-normal anyway.
    law = objective.prior.priors[0]
    q = law.log_density(grid)[0] + (0.0 if isinstance(law, LogNormal) else grid)
    likelihood = objective.likelihood.log_integrated(grid[:, None])
    np.testing.assert_allclose(density, np.exp(likelihood + q), rtol=1e-10)
    density /= trapezoid(density, grid)
    cdf = cumulative_trapezoid(density, grid, initial=0.0)

    rng = np.random.default_rng(0)
    start = np.tile(mode(objective, len(data), None), (500, 1))
    draws = slice_sample(
        objective.log_density, start, 1.0, rng, n_samples=4, burn_in=10, thinning=4
    )
    x = draws[..., 0]
    assert abs(np.corrcoef(x[:-1].ravel(), x[1:].ravel())[0, 1]) < 4 / math.sqrt(1500)
    x = x.ravel()
    assert kstest(x, lambda t: np.interp(t, grid, cdf)).pvalue > FOUR_SE
    mean = trapezoid(grid * density, grid)
    variance = trapezoid((grid - mean) ** 2 * density, grid)
    fourth = trapezoid((grid - mean) ** 4 * density, grid)
    assert abs(x.mean() - mean) < 4 * np.sqrt(variance / len(x))
    assert abs(x.var() - variance) < 4 * np.sqrt((fourth - variance**2) / len(x))


@pytest.mark.parametrize("chains", [400, pytest.param(800, marks=pytest.mark.slow)])
@pytest.mark.parametrize("noise", ["inferred", "exact"])
def test_short_chains_have_forgotten_where_they_began(noise, chains, monkeypatch):
    """Two draws of each of many chains against long ones: within 4 standard errors."""
    objective = NegativeLogPosterior(data_of(12, 2, noise), GaussianProcess())
    best = mode(objective, 12, None)
    rng = np.random.default_rng(1)
    start = np.tile(best, (chains, 1))
    long = slice_sample(objective.log_density, start, 1.0, rng, n_samples=1, burn_in=20)[0]
    monkeypatch.setattr(fully_bayesian, "_N_CHAINS", chains)
    draws = draw(objective, best, rng, 2 * chains).reshape(2, chains, len(best))

    def variance_of_log_sd(x):  # of independent rows: (kurtosis - 1) / 4 n
        centred = x - x.mean(axis=0)
        return ((centred**4).mean(axis=0) / x.var(axis=0) ** 2 - 1) / (4 * len(x))

    for x in draws:
        error = np.sqrt((x.var(axis=0) + long.var(axis=0)) / chains)
        assert (np.abs(x.mean(axis=0) - long.mean(axis=0)) < 4 * error).all()
        error = np.sqrt(variance_of_log_sd(x) + variance_of_log_sd(long))
        assert (np.abs(np.log(x.std(axis=0) / long.std(axis=0))) < 4 * error).all()
    of_both = draws.mean(axis=0).var(axis=0)
    assert (long.var(axis=0) / of_both > 1.4).all()  # two independent draws: 2


@pytest.mark.slow
def test_the_posterior_is_that_of_simulated_truths():
    """Hyperparameters from the prior, data from them: the truth's rank among draws is uniform."""
    process = GaussianProcess(
        priors=Priors(lengthscale=LogNormal(math.log(0.4), 0.7), noise=LogNormal(-3.0, 1.0))
    )
    X, n = points(10, 1, seed=4), 60
    rng = np.random.default_rng(3)
    ranks = []
    for _ in range(n):
        truth = np.array([math.log(0.4), -3.0]) + [0.7, 1.0] * rng.standard_normal(2)
        r = np.abs(X.numpy() - X.numpy().T) * math.sqrt(5.0) / np.exp(truth[0])
        K = (1 + r + r**2 / 3) * np.exp(-r) + np.exp(truth[1]) * np.eye(10)
        Y = torch.from_numpy(rng.multivariate_normal(np.zeros(10), K)).unsqueeze(-1)
        data = Dataset(X, Y, torch.full_like(Y, torch.nan), (), Scaling(1.0, 1.0, 0.0, 1.0))
        objective = NegativeLogPosterior(data, process)
        draws = draw(objective, mode(objective, 10, None), rng, 16)
        ranks.append((draws < truth).sum(axis=0) + rng.random(2))
    for rank in np.transpose(ranks):
        assert kstest(rank / 17, "uniform").pvalue > FOUR_SE


# -- the mixture -----------------------------------------------------------------------------------


@pytest.mark.parametrize("categories", [(), MIXED], ids=["real", "mixed"])
def test_moments_are_those_of_the_mixture(categories):
    model = mixture(categories=categories)
    X = points(7, model.models[0].X.shape[-1], categories=categories, seed=6)
    mean, variance = model.marginals(X)
    mu, var = (torch.stack(t) for t in zip(*(m.marginals(X) for m in model.models), strict=True))
    same(mean, mu.mean(0))
    same(variance, (var + mu.square()).mean(0) - mean.square())
    posterior = model.posterior(X.unsqueeze(-2))
    same(posterior.mixture_mean[:, 0, 0], mean)
    same(posterior.mixture_variance[:, 0, 0], variance)


def test_the_variance_does_not_cancel():
    """Means near 1e8: mean squares have no digit left of the variance."""
    members = []
    for offset in (1e8, 1e8 + 2.0):
        base = process()
        h = base.hyperparameters
        moved = type(h)(h.lengthscale, h.noise, h.mean + offset)
        members.append(type(base)(base.X, base.Y + offset, base.Yvar, moved))
    _, variance = FullyBayesianGaussianProcess(tuple(members)).marginals(points(5, 2, seed=7))
    same(variance, 1.0 + process().marginals(points(5, 2, seed=7))[1], 1e-6)


@pytest.mark.parametrize("shape", [(4,), (3, 1), (3, 2), (2, 3, 4)])
def test_posteriors_have_the_members_third_from_the_end(shape):
    model = mixture()
    X = points(*shape, 2, seed=8)
    for observation_noise in (False, True):
        posterior = model.posterior(X, observation_noise=observation_noise)
        assert posterior.mean.shape == (*shape[:-1], 3, shape[-1], 1)
        for j, member in enumerate(model.models):
            alone = member.posterior(X, observation_noise=observation_noise)
            same(posterior.mean.select(-3, j), alone.mean)
            same(posterior.variance.select(-3, j), alone.variance)
            covariance = posterior.distribution.covariance_matrix.select(-3, j)
            same(covariance, alone.distribution.covariance_matrix)
    assert posterior.rsample(torch.Size([5])).shape == (5, *posterior.mean.shape)


def test_what_botorch_asks_of_an_ensemble():
    model = mixture()
    assert is_ensemble(model)
    assert (model.num_outputs, model.batch_shape) == (1, torch.Size([3]))
    with pytest.raises(ValueError, match="at least one member"):
        FullyBayesianGaussianProcess(())


@pytest.mark.parametrize("name", ["LogEI", "EI", "UCB", "mean", "qLogEI", "qUCB"])
def test_acquisitions_of_botorch_average_over_the_members(name):
    def build(model):
        sampler = SobolQMCNormalSampler(torch.Size([64]), seed=1)
        return {
            "LogEI": lambda: ba.LogExpectedImprovement(model, 0.7),
            "EI": lambda: ba.ProbabilityOfImprovement(model, 0.7),
            "UCB": lambda: ba.UpperConfidenceBound(model, 2.0),
            "mean": lambda: ba.PosteriorMean(model),
            "qLogEI": lambda: ba.qLogExpectedImprovement(model, 0.7, sampler),
            "qUCB": lambda: ba.qUpperConfidenceBound(model, 2.0, sampler),
        }[name]()

    model = mixture()
    X = points(5, 2 if name.startswith("q") else 1, 2, seed=9).requires_grad_()
    ours = build(model)(X)
    each = torch.stack([build(member)(X) for member in model.models])
    log = name.endswith("LogEI")
    expected = each.logsumexp(0) - math.log(3) if log else each.mean(0)
    assert ours.shape == (5,)
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-9)
    (gradient,) = torch.autograd.grad(ours.sum(), X)
    assert bool(gradient.isfinite().all())


def test_noisy_improvement_of_botorch_works():
    model = mixture()
    torch.manual_seed(0)
    acquisition = ba.qLogNoisyExpectedImprovement(
        model, model.models[0].X, prune_baseline=False, cache_root=False
    )
    X = points(5, 2, 2, seed=10).requires_grad_()
    value = acquisition(X)
    (gradient,) = torch.autograd.grad(value.sum(), X)
    assert value.shape == (5,) and bool(gradient.isfinite().all())


def test_conditioning_conditions_every_member():
    model, at = mixture(), points(6, 2, seed=11)
    X, Y, noise = points(2, 2, seed=12), points(2, 1, seed=13), points(2, 1, seed=14)
    for given in (None, noise):
        after = model.condition_on_observations(X, Y, noise=given)
        for member, other in zip(model.models, after.models, strict=True):
            alone = member.condition_on_observations(X, Y, noise=given)
            same(other.posterior(at).mean, alone.posterior(at).mean)
    own = model.posterior(X).mean  # (J, m, 1): what each member believes changes no mean of it
    after = model.condition_on_observations(X, own)
    same(after.marginals(at)[0], model.marginals(at)[0], 1e-8)
    with pytest.raises(ValueError, match=r"\(\.\.\., 3, m, 1\), but got \(5, 2, 1\)"):
        model.condition_on_observations(X, points(5, 2, 1))


def test_fantasies_keep_the_mean_on_average():
    model, at = mixture(), points(5, 2, seed=15)
    fantasies = model.fantasize(points(2, 2, seed=16), SobolQMCNormalSampler(torch.Size([256])))
    posterior = fantasies.posterior(at)
    assert fantasies.batch_shape == torch.Size([256, 3])
    assert posterior.mean.shape == (256, 3, 5, 1)
    same(posterior.mean.mean(0), model.posterior(at).mean, 0.02)


def test_summaries_are_medians():
    model = mixture()
    h = model.hyperparameters
    assert (h.signal, h.noise, h.mean) == (1.5, 0.02, 0.3)
    assert float(model.new_noise) == 0.02


# -- from data to a mixture ------------------------------------------------------------------------


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_and_mean_can_be_sampled(kernel, mean):
    data = data_of(8, 4, "mixed", MIXED)
    process = GaussianProcess(kernel, mean=mean)
    model, theta = sample(data, process, np.random.default_rng(0), n_draws=4)
    assert len(model.models) == 4
    lengthscales = [float(member.hyperparameters.lengthscale[0]) for member in model.models]
    assert len(set(lengthscales)) > 1
    mean_at, variance = model.marginals(points(9, 4, categories=MIXED, seed=5))
    assert bool(mean_at.isfinite().all()) and float(variance.min()) > 0
    # It starts around what a fit returns.
    assert theta == fit(data, process)[1]


def test_sampling_depends_on_the_generator_alone():
    data, at = data_of(10, 2), points(5, 2, seed=5)

    def mean(seed):
        return sample(data, rng=np.random.default_rng(seed))[0].marginals(at)[0]

    assert torch.equal(mean(1), mean(1))
    assert not torch.equal(mean(1), mean(2))


@pytest.mark.parametrize("noise", ["exact", "inferred", "known"])
@pytest.mark.parametrize("data", ["one point", "constant", "duplicates"])
def test_awkward_data_are_survived(data, noise):
    X = points(6, 2, seed=1)
    X = {"one point": X[:1], "constant": X, "duplicates": torch.cat((X, X))}[data]
    Y = points(len(X), 1, seed=2) * (data == "duplicates")
    given = Dataset(X, Y, noise_variances(noise, len(X)), (), Scaling(1.0, 1.0, 0.0, 1.0))
    model, _ = sample(given, n_draws=4)
    assert all(bool(t.isfinite().all()) for t in model.marginals(points(9, 2, seed=3)))


@pytest.mark.slow
def test_a_mixture_foresees_better_than_one_fit_where_data_are_few():
    """Log density of fresh values of functions from the prior, 8 observations each."""
    rng = np.random.default_rng(5)
    gain = []
    for _ in range(40):
        X = torch.from_numpy(rng.random((28, 2)))
        lengthscale = 0.35 * math.sqrt(2) * np.exp(rng.standard_normal(2))
        r = np.sqrt(5 * (((X.numpy()[:, None] - X.numpy()) / lengthscale) ** 2).sum(-1))
        K = (1 + r + r**2 / 3) * np.exp(-r) + 1e-8 * np.eye(28)
        Y = torch.from_numpy(np.linalg.cholesky(K) @ rng.standard_normal(28)).unsqueeze(-1)
        Yvar = torch.full_like(Y[:8], 1e-4)
        data = Dataset(X[:8], Y[:8], Yvar, (), Scaling(1.0, 1.0, 0.0, 1.0))
        one = fit(data)[0]
        many = sample(data, rng=rng)[0]
        fresh = Y[8:].squeeze(-1).numpy()

        def log_density(member, fresh=fresh, X=X):
            mean, variance = (t.numpy() for t in member.marginals(X[8:]))
            return norm(mean, np.sqrt(variance)).logpdf(fresh)

        mixed = np.logaddexp.reduce([log_density(m) for m in many.models]) - math.log(16)
        gain.append((mixed - log_density(one)).mean())
    assert np.mean(gain) > 0


@pytest.mark.slow
def test_sixteen_draws_take_well_under_two_seconds():
    data = data_of(50, 6)
    before = time.process_time()
    sample(data)
    assert time.process_time() - before < 2.0


# -- in a study ------------------------------------------------------------------------------------


def bowl(x):
    return float((x[0] - 0.3) ** 2 + (x[1] - 0.6) ** 2)


def test_a_study_recommends_and_predicts_by_the_mixture():
    policy = bo.Policy(hyperparameters="slice")
    study = bo.Study([(0.0, 1.0)] * 2, seed=0, policy=policy)
    X = points(14, 2, seed=3).numpy()
    study.add(X, [bowl(x) for x in X])
    assert "slice sampling" in study.description
    mean, sd = study.predict(X[:5])
    again, _ = study.predict(X[:5])
    np.testing.assert_array_equal(mean, again)
    np.testing.assert_allclose(mean, [bowl(x) for x in X[:5]], atol=0.03)
    assert (sd > 0).all()
    for rule in ("best_evaluated_mean", "best_mean"):
        best = study.recommend(rule)
        assert bowl([best.params["x0"], best.params["x1"]]) < 0.05
    plain = bo.Study([(0.0, 1.0)] * 2, seed=0)
    plain.add(X, [bowl(x) for x in X])
    assert not np.array_equal(plain.predict(X[:5])[0], mean)


def test_asking_with_an_acquisition_of_botorch_averages_and_repeats():
    def build(model, data, X_pending):
        assert is_ensemble(model)
        return ba.LogExpectedImprovement(model, float(data.Y.max()))

    policy = bo.Policy(acquisition=build, hyperparameters="slice")
    chosen = []
    for _ in range(2):
        study = bo.Study([(0.0, 1.0)] * 2, noise=False, policy=policy, n_initial=6, seed=0)
        for _ in range(8):
            trial = study.ask()
            study.tell(trial, bowl(list(trial.params.values())))
        chosen.append([trial.params for trial in study.trials])
    assert chosen[0] == chosen[1]
    (theta,) = study.trials[-1].hyperparameters
    assert isinstance(theta, tuple) and len(theta) == 4
