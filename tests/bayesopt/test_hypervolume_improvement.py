"""Expected hypervolume improvement: closed forms, botorch, brute force, limits, far tails."""

import mpmath
import numpy as np
import pytest
import torch
from botorch.acquisition.multi_objective.analytic import ExpectedHypervolumeImprovement
from botorch.models.deterministic import GenericDeterministicModel
from botorch.utils.multi_objective.box_decompositions.non_dominated import (
    FastNondominatedPartitioning,
)
from golden_instance import data_of
from processes import points
from torch.testing import assert_close

from bayesopt.acquisition import expected_improvement, hypervolume_improvement
from bayesopt.acquisition.expected_improvement import log_expected_improvement
from bayesopt.acquisition.hypervolume_improvement import HypervolumeImprovement, build
from bayesopt.acquisition.probability_of_feasibility import ProbabilityOfFeasibility
from bayesopt.models.exact import ExactGaussianProcess, Hyperparameters
from bayesopt.pareto import boxes, hypervolume, reference_point


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def fronts(S, k, m, seed=0):
    """S fronts (S, k, m) on spheres: trade-offs between the objectives."""
    generator = torch.Generator().manual_seed(seed)
    Y = torch.randn(S, k, m, dtype=torch.float64, generator=generator).abs()
    return 2.0 * Y / torch.linalg.norm(Y, dim=-1, keepdim=True)


def moments(b, S, m, seed=1):
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(m, b, S, dtype=torch.float64, generator=generator)
    variances = torch.rand(m, b, dtype=torch.float64, generator=generator) + 0.05
    return list(means + 0.5), list(variances)


def value(Y, reference, means, variances, counts=None):
    improvement = HypervolumeImprovement(Y, reference, counts)
    return improvement.log_value_and_partials(means, variances)[0]


class Gaussian(GenericDeterministicModel):
    """A botorch Model whose points are their own moments: m means, then m variances."""

    def __init__(self, m):
        super().__init__(lambda X: X[..., :m], num_outputs=m)

    def posterior(self, X, **_):
        m = self.num_outputs
        return type("Moments", (), {"mean": X[..., :m], "variance": X[..., m:]})()


def exact_log(front, reference, means, variances):
    """The sum over boxes in 60 digits."""

    def psi(level, mean, variance):
        if np.isinf(level):
            return mpmath.mpf(0)
        sd = mpmath.sqrt(variance)
        z = (mean - mpmath.mpf(level)) / sd
        return sd * (mpmath.npdf(z) + z * mpmath.ncdf(z))

    total = mpmath.mpf(0)
    for low, high in zip(*boxes(front, reference), strict=True):
        sides = zip(low, high, means, variances, strict=True)
        total += mpmath.fprod(psi(a, mu, v) - psi(b, mu, v) for a, b, mu, v in sides)
    return mpmath.log(total)


# -- other means -----------------------------------------------------------------------------------


@pytest.mark.parametrize("m", [2, 3, 4])
def test_botorch_agrees(m):
    Y, reference = fronts(1, 12, m), torch.zeros(m).double()
    means, variances = moments(200, 1, m)
    partitioning = FastNondominatedPartitioning(reference, Y[0])
    theirs = ExpectedHypervolumeImprovement(Gaussian(m), reference.tolist(), partitioning)
    X = torch.cat((*means, torch.stack(variances, dim=-1)), dim=-1)
    expected = theirs(X.unsqueeze(-2))
    ours = value(Y, reference, means, variances)[:, 0].exp()
    assert_close(ours, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("m", [2, 3])
def test_it_is_the_mean_gain_in_hypervolume(m):
    Y, reference = fronts(1, 6, m), torch.zeros(m).double()
    means, variances = moments(4, 1, m)
    means = [mean + 0.5 for mean in means]
    ours = value(Y, reference, means, variances)[:, 0].exp()
    before, rng = hypervolume(Y[0], reference), np.random.default_rng(0)
    for i in range(4):
        mean, sd = [float(mu[i]) for mu in means], [float(v[i].sqrt()) for v in variances]
        draws = rng.normal(mean, sd, size=(800, m))
        gains = [hypervolume(np.vstack((Y[0], y)), reference) - before for y in draws]
        assert float(ours[i]) == pytest.approx(np.mean(gains), abs=4 * np.std(gains) / 800**0.5)


@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_sixty_digits_agree_near_and_far(m, scale):
    """Sides of 1e-9 and of 1e-14 among them; what these lose no sum can see."""
    mpmath.mp.dps = 60
    rng = np.random.default_rng(m)
    for _ in range(5):
        front = np.abs(rng.normal(size=(6, m)))
        front[1, :2] = front[0, :2] + [1e-9, -1e-9]
        front[3, :2] = front[2, :2] + [1e-14, -0.1]
        mean, variance = rng.normal(size=m) * scale, 10 ** rng.uniform(-2, 1, m)
        ours, by_means, by_variances = HypervolumeImprovement(
            torch.from_numpy(front).unsqueeze(0), torch.zeros(m).double()
        ).log_value_and_partials([tensor([mu]) for mu in mean], [tensor(v) for v in variance])
        exact = exact_log(
            front, np.zeros(m), [*map(mpmath.mpf, mean)], [*map(mpmath.mpf, variance)]
        )
        assert float(ours) == pytest.approx(float(exact), rel=1e-13, abs=1e-13)
        for j in range(m):
            for by, at in ((by_means, mean), (by_variances, variance)):
                moved = [[*map(mpmath.mpf, each)] for each in (mean, variance)]
                moved[0 if at is mean else 1][j] += mpmath.mpf(10) ** -25
                slope = (exact_log(front, np.zeros(m), *moved) - exact) * mpmath.mpf(10) ** 25
                assert float(by[j]) == pytest.approx(float(slope), rel=1e-9, abs=1e-10)


def test_partials_agree_with_finite_differences():
    m, S = 3, 4
    improvement = HypervolumeImprovement(fronts(S, 7, m), torch.zeros(m).double())
    means, variances = moments(20, S, m)
    _, by_means, by_variances = improvement.log_value_and_partials(means, variances)
    for j in range(m):
        for which, by in ((means, by_means), (variances, by_variances)):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [each + step if i == j else each for i, each in enumerate(which)]
                arguments = (moved, variances) if which is means else (means, moved)
                ends.append(improvement.log_value_and_partials(*arguments)[0])
            assert_close((ends[0] - ends[1]) / 2e-6, by[j], rtol=1e-6, atol=1e-7)


# -- samples ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("m", [2, 3])
def test_each_sample_has_its_own_front(m):
    """Fronts of different sizes, an empty one among them, give what each gives alone."""
    S = 5
    Y, reference = fronts(S, 9, m), torch.full((m,), 0.1).double()
    counts = torch.rand(S, 9, generator=torch.Generator().manual_seed(2)) < 0.5
    counts[2] = False
    means, variances = moments(30, S, m)
    together = value(Y, reference, means, variances, counts)
    for s in range(S):
        own = [mean[:, s : s + 1] for mean in means]
        alone = value(Y[s : s + 1, counts[s]], reference, own, variances)
        assert_close(together[:, s : s + 1], alone, rtol=1e-13, atol=1e-13)


def test_without_a_front_the_objectives_part():
    m = 3
    means, variances = moments(20, 1, m)
    reference = tensor(0.2, -0.4, 1.0)
    log_value = value(torch.empty(1, 0, m).double(), reference, means, variances)
    parts = [
        log_expected_improvement(mean[:, 0], variance, best)
        for mean, variance, best in zip(means, variances, reference, strict=True)
    ]
    assert_close(log_value[:, 0], sum(parts), rtol=1e-12, atol=1e-12)


# -- limits ----------------------------------------------------------------------------------------


def test_of_one_objective_it_is_expected_improvement():
    Y, (means, variances) = fronts(1, 6, 1), moments(50, 1, 1)
    ours = value(Y, tensor(0.0), means, variances)[:, 0]
    expected = log_expected_improvement(means[0][:, 0], variances[0], Y.max())
    assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def test_beside_an_almost_certain_objective_it_is_expected_improvement():
    """Above all others in the second score: from there down, a gain in the first one is as wide
    as its expected improvement over the points that reach as high."""
    Y, reference = fronts(1, 8, 2), torch.zeros(2).double()
    means, variances = moments(50, 1, 2)
    certain = 1.0
    log_value = value(
        Y,
        reference,
        [means[0], torch.full_like(means[1], certain)],
        [variances[0], torch.full_like(variances[1], 1e-14)],
    )
    cuts = sorted({0.0, certain, *Y[0, Y[0, :, 1] < certain, 1].tolist()})
    expected = torch.zeros(50).double()
    for low, high in zip(cuts, cuts[1:], strict=False):
        best = Y[0, Y[0, :, 1] >= high, 0].max() if (Y[0, :, 1] >= high).any() else tensor(0.0)
        ei = log_expected_improvement(means[0][:, 0], variances[0], best).exp()
        expected += (high - low) * ei
    assert_close(log_value[:, 0].exp(), expected, rtol=1e-6, atol=1e-8)


def test_a_dominated_candidate_that_is_certain_gains_nothing_and_a_better_one_its_volume():
    Y, reference = tensor([[1.0, 2.0], [2.0, 1.0]]), torch.zeros(2).double()
    means = [tensor([0.9], [3.0]), tensor([1.9], [3.0])]
    gains = value(Y, reference, means, [tensor(1e-14, 1e-14)] * 2)[:, 0].exp()
    assert_close(gains, tensor(0.0, 6.0), rtol=1e-6, atol=1e-12)


def test_dominated_points_and_duplicates_change_nothing():
    Y, reference = fronts(2, 6, 3), torch.zeros(3).double()
    means, variances = moments(20, 2, 3)
    more = torch.cat((Y, 0.8 * Y, Y[:, :2]), dim=1)
    expected = value(Y, reference, means, variances)
    assert_close(value(more, reference, means, variances), expected, rtol=0, atol=0)


def test_one_more_point_never_adds_to_the_gain():
    Y, reference = fronts(1, 6, 2), torch.zeros(2).double()
    means, variances = moments(50, 1, 2)
    more = torch.cat((Y, 1.2 * fronts(1, 1, 2, seed=3)), dim=1)
    assert bool(
        (
            value(more, reference, means, variances)
            <= value(Y, reference, means, variances) + 1e-12
        ).all()
    )


@pytest.mark.parametrize("m", [2, 3])
def test_far_tails_are_finite(m):
    """Forty and a million standard deviations away, and with hardly any variance."""
    Y, reference = fronts(3, 10, m), torch.zeros(m).double()
    distances = torch.tensor([-1e6, -40.0, -3.0, 0.0, 3.0, 40.0, 1e6]).double()
    improvement = HypervolumeImprovement(Y, reference)
    for variance in (1e-15, 1e-4, 1.0, 1e6):
        grid = torch.cartesian_prod(*[distances * variance**0.5] * m)
        means = [column.unsqueeze(-1).expand(-1, 3) for column in grid.T]
        variances = [torch.full_like(grid[:, 0], variance)] * m
        log_value, by_means, by_variances = improvement.log_value_and_partials(means, variances)
        for part in (log_value, *by_means, *by_variances):
            assert bool(torch.isfinite(part).all())
        assert all(bool((by_mean >= -1e-9).all()) for by_mean in by_means)


# -- on models -------------------------------------------------------------------------------------

CENTRES = (0.2, 0.8, 0.5)


def outcome(centre, noise, X, seed=0):
    """A process that saw a bowl around a centre, and what it saw."""
    generator = torch.Generator().manual_seed(seed)
    Y = 1.0 - 4.0 * (X - centre).pow(2).sum(-1, keepdim=True)
    Y = Y + noise**0.5 * torch.randn(Y.shape, dtype=torch.float64, generator=generator)
    lengthscale = torch.full((X.shape[1],), 0.4, dtype=torch.float64)
    h = Hyperparameters(lengthscale, 0.0, mean=0.0, kernel="matern52")
    model = ExactGaussianProcess(X, Y, torch.full_like(Y, noise), h)
    return model, data_of(model)


def objectives(noise=0.0, m=2, n=12):
    X = points(n, 2, seed=3)
    return [outcome(centre, noise, X, seed) for seed, centre in enumerate(CENTRES[:m])]


def scores(of):
    return torch.cat([data.Y for _, data in of], dim=-1)


def moments_of(models, X):
    posteriors = [model.posterior(X) for model, *_ in models]
    return [p.mean[:, 0] for p in posteriors], [p.variance[:, 0, 0] for p in posteriors]


@pytest.mark.parametrize("m", [2, 3])
def test_of_exact_values_it_is_the_gain_over_the_observed_front(m):
    of, X = objectives(m=m), points(30, 1, 2, seed=4)
    Y = scores(of)
    expected = value(Y.unsqueeze(0), torch.from_numpy(reference_point(Y)), *moments_of(of, X))
    assert_close(build(of)(X), expected[:, 0], rtol=1e-9, atol=1e-9)
    given = [-1.0] * m
    expected = value(Y.unsqueeze(0), torch.tensor(given).double(), *moments_of(of, X))
    assert_close(build(of, reference_point=given)(X), expected[:, 0], rtol=1e-9, atol=1e-9)


def test_of_one_model_it_is_expected_improvement():
    (of,), X = objectives(m=1), points(30, 1, 2, seed=4)
    assert_close(build([of])(X), expected_improvement.build(*of)(X), rtol=1e-9, atol=1e-9)


def test_infeasible_points_are_no_front_and_feasibility_is_a_factor():
    of, X = objectives(), points(30, 1, 2, seed=4)
    constraint = (*outcome(0.6, 0.0, of[0][1].X), 0.4, 0.9)
    limited = constraint[1].Y[:, 0]
    met = (limited >= 0.4) & (limited <= 0.9)
    Y = scores(of)[met]
    assert 0 < len(Y) < 12
    gain = value(Y.unsqueeze(0), torch.from_numpy(reference_point(Y)), *moments_of(of, X))[:, 0]
    p = constraint[0].posterior(X)
    law = torch.distributions.Normal(p.mean[:, 0, 0], p.variance[:, 0, 0].sqrt())
    expected = gain.exp() * (law.cdf(tensor(0.9)) - law.cdf(tensor(0.4)))
    assert_close(build(of, [constraint])(X).exp(), expected, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_as_long_as_nothing_is_feasible_a_feasible_point_is_looked_for(noise):
    of = objectives(noise)
    constraint = (*outcome(0.6, noise, of[0][1].X), 4.0, torch.inf)
    assert isinstance(build(of, [constraint]), ProbabilityOfFeasibility)
    beside = build(of, [constraint], X_pending=points(2, 2, seed=5))
    assert bool(torch.isfinite(beside(points(20, 1, 2, seed=4))).all())


def test_under_noise_it_is_the_mean_gain_in_hidden_values():
    """Against joint draws of everything at A and x, within 4 standard errors and 2 per cent."""
    of = objectives(0.05)
    limited = (*outcome(0.6, 0.02, of[0][1].X), -0.5, torch.inf)
    r, pending = [-0.5, -0.5], points(2, 2, seed=5)
    candidates = tensor([[0.57, 0.5]], [[0.02, 0.98]], [[0.48, 0.65]])
    ours = build(of, [limited], pending, r, n_samples=512)(candidates).exp()
    torch.manual_seed(0)
    for x, expected in zip(candidates, ours, strict=True):
        joint = torch.cat((of[0][1].X, pending, x))
        f, g, c = (
            model.posterior(joint).rsample(torch.Size([1500]))[..., 0]
            for model, *_ in (*of, limited)
        )
        Y = torch.where((c >= -0.5).unsqueeze(-1), torch.stack((f, g), dim=-1), torch.nan)
        gains = [hypervolume(y, r) - hypervolume(y[:-1], r) for y in Y]
        error = 4 * np.std(gains) / 1500**0.5
        assert float(expected) == pytest.approx(np.mean(gains), abs=error + 0.02 * np.mean(gains))


def test_little_noise_is_nearly_none():
    """The same hidden values, known to six digits."""
    of, X = objectives(), points(30, 1, 2, seed=4)
    noisy = []
    for model, data in of:
        other = ExactGaussianProcess(
            model.X, data.Y, torch.full_like(data.Y, 1e-10), model.hyperparameters
        )
        noisy.append((other, data_of(other)))
    r = [-1.0, -1.0]
    plain = build(of, reference_point=r)(X).exp()
    assert_close(build(noisy, reference_point=r)(X).exp(), plain, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_pending_point_gains_almost_nothing(noise):
    of, X = objectives(noise), points(200, 1, 2, seed=6)
    free = build(of, reference_point=[-1.0, -1.0])(X)
    pending = X[free.argmax()]
    busy = build(of, X_pending=pending, reference_point=[-1.0, -1.0])
    assert float(busy(pending.unsqueeze(0)).exp()) < 1e-4 * float(free.max().exp())
    assert float(busy(X).exp().max()) > 0.05 * float(free.max().exp())
    none = build(of, X_pending=points(0, 2), reference_point=[-1.0, -1.0])(X)
    assert_close(none, free, rtol=0, atol=0)


@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_gradients_agree_with_finite_differences_of_the_value(noise, m):
    of, X = objectives(noise, m), points(6, 2, seed=7)
    constraint = (*outcome(0.6, noise, of[0][1].X), -0.5, 1.5)
    acquisition = build(of, [constraint], points(2, 2, seed=8))
    log_value, gradient = acquisition.value_and_gradient(X)
    assert_close(log_value, acquisition(X.unsqueeze(1)), rtol=1e-9, atol=1e-9)
    for j, move in enumerate(1e-5 * torch.eye(2).double()):
        ahead, behind = (acquisition((X + s * move).unsqueeze(1)) for s in (1, -1))
        assert_close((ahead - behind) / 2e-5, gradient[:, j], rtol=1e-4, atol=1e-5)


def test_points_that_cannot_be_on_the_front_change_nothing(monkeypatch):
    """Up to what another sample of the same law changes."""
    of, X = objectives(1e-3, n=25), points(40, 1, 2, seed=9)
    acquisition = build(of, n_samples=256)
    assert 3 < len(acquisition.objectives[0].A) < 20
    monkeypatch.setattr(
        hypervolume_improvement._Observed, "may_count", lambda self, _: self.feasible
    )
    everything = build(of, n_samples=256)
    assert len(everything.objectives[0].A) == 25
    largest = float(acquisition(X).exp().max())
    assert_close(acquisition(X).exp(), everything(X).exp(), rtol=0.01, atol=0.01 * largest)


@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize("limited", [False, True])
def test_above_a_reference_that_nothing_reaches_all_is_gained(noise, limited):
    """The samples are empty then; the probability of feasibility alone would be wrong."""
    of, X = objectives(noise), points(20, 1, 2, seed=4)
    constraint = (*outcome(0.6, noise, of[0][1].X), -9.0, torch.inf)
    log_value = build(of, [constraint] * limited, reference_point=[3.0, 3.0])(X)
    means, variances = moments_of(of, X)
    expected = sum(
        log_expected_improvement(mean[:, 0], variance, 3.0)
        for mean, variance in zip(means, variances, strict=True)
    )
    assert_close(log_value, expected, rtol=1e-6, atol=1e-6)


def test_what_does_not_fit_together_is_refused():
    of = objectives()
    with pytest.raises(ValueError, match="at least one objective"):
        build([])
    with pytest.raises(ValueError, match="All objectives must be observed at the same points"):
        build([of[0], outcome(0.5, 0.0, points(12, 2, seed=8))])
    for bad in ([0.0], [0.0, torch.inf]):
        with pytest.raises(ValueError, match="2 finite scores, one per objective"):
            build(of, reference_point=bad)
