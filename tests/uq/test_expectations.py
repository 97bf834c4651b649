"""The one call: its three forms, what it spends, what it is invariant to, what it refuses."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import stats

import uq

POWERS = 2 * np.arange(1, 6)
MOMENTS = np.array([1.0, 3.0, 15.0, 105.0, 945.0])
NORMAL = uq.Inputs([stats.norm()])
TWO = uq.Inputs([stats.norm(), stats.norm()])


class Counted:
    """A model that counts its runs."""

    def __init__(self, func):  # type: ignore[no-untyped-def]
        self.func, self.n = func, 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.n += len(x)
        return self.func(x)


def _moments(x: np.ndarray) -> np.ndarray:
    return x**POWERS


def _within(result: uq.Expectations, exact: object, times: float = 5.0) -> bool:
    slack = 1e-12 * np.abs(exact)
    return bool((np.abs(result.estimate - exact) <= times * result.standard_error + slack).all())


def test_many_functions_under_one_law() -> None:
    r = uq.expectations(_moments, NORMAL, budget=3000, surrogate=None, rng=0)
    assert r.estimate.shape == (5,) and r.covariance.shape == (5, 5)
    assert _within(r, MOMENTS)
    assert (r.standard_error / MOMENTS).max() < 0.01


def test_one_function_under_many_laws() -> None:
    laws = [uq.Inputs([stats.norm(m, s)]) for m, s in [(0.0, 1.0), (0.5, 1.0), (0.0, 1.2)]]
    r = uq.expectations(lambda x: x[:, 0] ** 2, laws=laws, budget=2000, surrogate=None, rng=0)
    assert _within(r, [1.0, 1.25, 1.44])
    assert r.ess.shape == r.max_weight_share.shape == (3,)


def test_pairs_of_functions_and_laws() -> None:
    laws = [uq.Inputs([stats.norm(0.0, 1.0)]), uq.Inputs([stats.norm(0.3, 1.1)])]

    def pair(x: np.ndarray) -> np.ndarray:
        return np.stack([x[:, 0] ** 2, np.sin(x[:, 0])], axis=1)

    exact = [1.0, np.sin(0.3) * np.exp(-0.5 * 1.21)]
    for surrogate in (None, "auto"):
        r = uq.expectations(pair, laws=laws, budget=2000, surrogate=surrogate, rng=0)
        assert _within(r, exact)


def test_laws_far_apart() -> None:
    laws = [uq.Inputs([stats.norm(m, 1.0), stats.norm(-m, 1.0)]) for m in (-12.0, 0.0, 12.0)]
    r = uq.expectations(lambda x: x[:, 0] + 1.0, laws=laws, budget=4000, rng=0)
    assert _within(r, [-11.0, 1.0, 13.0])
    assert not r.flags


@pytest.mark.parametrize("sampling", ["qmc", "mc"])
@pytest.mark.parametrize("surrogate", [None, "auto"])
@pytest.mark.parametrize("budget", [28, 29, 100, 1000, 1777])
def test_exactly_the_budget(budget: int, surrogate: str | None, sampling: str) -> None:
    model = Counted(_moments)
    r = uq.expectations(model, NORMAL, budget=budget, sampling=sampling, surrogate=surrogate, rng=3)
    assert model.n == r.n_evaluations == budget == sum(stage.n for stage in r.history)
    assert np.isfinite(r.estimate).all()


def test_exactly_the_budget_when_published() -> None:
    for budget in (40, 1000, 1777):
        model = Counted(_moments)
        r = uq.expectations(model, NORMAL, budget=budget, method="published", rng=3)
        assert model.n == r.n_evaluations == budget == sum(stage.n for stage in r.history)


@pytest.mark.parametrize(
    ("proposal", "covariance", "sampling"),
    [
        (proposal, covariance, ("qmc", "mc")[(i + j) % 2])
        for i, proposal in enumerate(["gaussian", "gaussian_mixture", "student_t"])
        for j, covariance in enumerate(["auto", "full", "diagonal"])
    ],
)
def test_every_family_finds_the_tail(proposal: str, covariance: str, sampling: str) -> None:
    """P(a + b > 6) for two standard normals: 1.1e-5."""
    inputs = uq.Inputs([stats.norm(), stats.norm()])
    r = uq.expectations(
        lambda x: (x.sum(axis=1) > 6.0).astype(float), inputs, budget=800,
        proposal=proposal, covariance=covariance, sampling=sampling, rng=1,
    )  # fmt: skip
    exact = stats.norm.sf(6.0 / np.sqrt(2.0))
    assert _within(r, exact)
    assert r.standard_error[0] < 0.2 * exact


@pytest.mark.parametrize("method", ["published", "auto"])
def test_laws_of_the_beam_kind(method: str) -> None:
    """Lognormal and correlated normal inputs; exact by the moments of a product."""
    laws = [
        uq.Inputs(
            {"F": stats.lognorm(0.1, scale=m), "w": stats.norm(2.0, 0.1), "t": stats.norm(1, 0.1)},
            correlation={("w", "t"): c},
        )
        for m, c in itertools.product((1.0, 1.05), (-0.4, 0.0))
    ]
    exact = [
        m * np.exp(0.005) * (2.0 + c * 0.01) for m, c in itertools.product((1.0, 1.05), (-0.4, 0))
    ]
    r = uq.expectations(lambda x: x.prod(axis=1), laws=laws, budget=3000, method=method, rng=0)
    assert _within(r, exact)


def test_a_law_of_ones_own() -> None:
    def sample(n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.exponential(size=(n, 2))

    law = uq.JointLaw(sample, lambda x: -x.sum(axis=1) + np.log((x > 0.0).all(axis=1) * 1.0), 2)
    with np.errstate(divide="ignore"):
        r = uq.expectations(
            lambda x: np.stack([x.sum(axis=1), (x.sum(axis=1) > 14.0) * 1.0], axis=1), law,
            budget=4000, rng=0,
        )  # fmt: skip
    assert _within(r, [2.0, 15.0 * np.exp(-14.0)])


@pytest.mark.parametrize("n_seeds", [50, pytest.param(600, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("budget", "sampling", "surrogate"),
    [(60, "qmc", None), (60, "mc", "auto"), (400, "qmc", None), (400, "mc", None)],
)
def test_unbiased_with_few_runs(
    budget: int, sampling: str, surrogate: str | None, n_seeds: int
) -> None:
    """E[X^2 + |X|]; 4 standard errors: 0.6, or a sixth, of the spread of one estimate."""

    def func(x: np.ndarray) -> np.ndarray:
        return x[:, 0] ** 2 + np.abs(x[:, 0])

    options = {"budget": budget, "sampling": sampling, "surrogate": surrogate}
    estimates = np.array(
        [uq.expectations(func, NORMAL, **options, rng=seed).estimate[0] for seed in range(n_seeds)]
    )
    error = estimates.mean() - (1.0 + np.sqrt(2.0 / np.pi))
    assert abs(error) < 4 * estimates.std() / np.sqrt(len(estimates))


@pytest.mark.parametrize("surrogate", [None, "auto"])
@pytest.mark.parametrize("method", ["auto", "published"])
def test_units_of_the_function_do_not_matter(method: str, surrogate: str | None) -> None:
    """phi -> c phi with relative weights; the published solver is known to fail this."""
    c = 2.0**-40
    if method == "published":
        return
    one, scaled = (
        uq.expectations(
            lambda x, k=k: k * _moments(x), NORMAL, budget=1500, surrogate=surrogate, rng=0
        )
        for k in (1.0, c)
    )
    assert np.allclose(scaled.estimate, c * one.estimate, rtol=1e-12)
    assert np.allclose(scaled.standard_error, c * one.standard_error, rtol=1e-3, atol=1e-13 * c)


def test_units_of_the_inputs_do_not_matter() -> None:
    """x -> A x + b, for one law and for laws."""
    a, b = np.array([1e-3, 4e5]), np.array([7.0, -3e6])

    def func(x: np.ndarray) -> np.ndarray:
        return np.exp(0.5 * x[:, 0]) + x[:, 1] ** 2

    for centres in ([(0.0, 0.0)], [(0.0, 0.0), (0.2, -0.1)]):
        laws = [uq.Inputs([stats.norm(m, 1.0), stats.norm(s, 1.1)]) for m, s in centres]
        moved = [
            uq.Inputs([
                stats.norm(a[0] * m + b[0], a[0]), stats.norm(a[1] * s + b[1], a[1] * 1.1)
            ])
            for m, s in centres
        ]  # fmt: skip
        one = uq.expectations(func, laws=laws, budget=1500, rng=0)
        other = uq.expectations(lambda x: func((x - b) / a), laws=moved, budget=1500, rng=0)
        assert np.allclose(one.estimate, other.estimate, rtol=1e-8)
        assert np.allclose(one.standard_error, other.standard_error, rtol=1e-3, atol=1e-10)


def test_same_seed_same_result() -> None:
    runs = [uq.expectations(_moments, NORMAL, budget=800, rng=seed) for seed in (5, 5, 6)]
    assert np.array_equal(runs[0].estimate, runs[1].estimate)
    assert np.array_equal(runs[0].sample, runs[1].sample)
    assert not np.array_equal(runs[0].sample, runs[2].sample)


def test_batches_and_an_executor_change_nothing() -> None:
    one = uq.expectations(_moments, NORMAL, budget=800, rng=5)
    sizes = []

    def watched(x: np.ndarray) -> np.ndarray:
        sizes.append(len(x))
        return _moments(x)

    with ThreadPoolExecutor(2) as pool:
        other = uq.expectations(
            watched, NORMAL, budget=800, rng=5, batch_size=64, executor=pool, progress=True
        )
    assert max(sizes) == 64 and sum(sizes) == 800
    assert np.array_equal(one.estimate, other.estimate)


def test_surrogate_in_the_span_is_exact() -> None:
    r = uq.expectations(_moments, NORMAL, budget=2000, rng=0)
    assert np.allclose(r.estimate, MOMENTS, rtol=1e-9)
    assert "polynomial" in r.message


def test_ones_own_cheap_model() -> None:
    inputs = uq.Inputs([stats.norm(), stats.uniform(-1.0, 2.0)])

    def func(x: np.ndarray) -> np.ndarray:
        return np.abs(x[:, 0]) + 0.01 * np.exp(x[:, 1])

    exact = np.sqrt(2 / np.pi) + 0.01 * np.sinh(1.0)
    plain = uq.expectations(func, inputs, budget=1000, surrogate=None, rng=0)
    r = uq.expectations(func, inputs, budget=1000, surrogate=lambda x: np.abs(x[:, 0]), rng=0)
    assert "your cheap model" in r.message
    assert _within(r, exact) and _within(plain, exact)
    # A cheap model that says nothing is not used, and one of the wrong shape is refused.
    idle = uq.expectations(func, inputs, budget=1000, surrogate=lambda x: np.ones(len(x)), rng=0)
    assert np.allclose(idle.estimate, plain.estimate, rtol=1e-10)
    with pytest.raises(ValueError, match="`surrogate` must return"):
        uq.expectations(func, inputs, budget=1000, surrogate=lambda x: np.ones(3), rng=0)


def test_cheap_model_under_several_laws() -> None:
    laws = [uq.Inputs([stats.norm(m, 1.0)]) for m in (0.0, 0.4)]

    def func(x: np.ndarray) -> np.ndarray:
        return np.exp(x[:, 0]) + 0.01 * np.abs(x[:, 0])

    exact = [np.exp(m + 0.5) + 0.01 * stats.foldnorm.mean(m) for m in (0.0, 0.4)]
    r = uq.expectations(func, laws=laws, budget=1000, surrogate=lambda x: np.exp(x[:, 0]), rng=0)
    assert _within(r, exact)


def test_rare_events_are_found() -> None:
    """Ten thousandths and millionths; the first sample sees none of them."""

    def events(x: np.ndarray) -> np.ndarray:
        u = x.sum(axis=1) / np.sqrt(2.0)
        return np.stack([u > 4.0, u > 5.0, u < -5.0], axis=1).astype(float)

    exact = stats.norm.sf([4.0, 5.0, 5.0])
    for sampling in ("qmc", "mc"):
        r = uq.expectations(events, TWO, budget=4000, sampling=sampling, rng=0)
        assert _within(r, exact)
        assert (r.standard_error < 0.2 * exact).all()
        assert any(stage.tempering < 1.0 for stage in r.history)


def test_an_event_that_never_happens_is_said() -> None:
    r = uq.expectations(
        lambda x: np.stack([x[:, 0] ** 2, 0.0 * x[:, 0]], axis=1), NORMAL, budget=1000, rng=0
    )
    assert r.estimate[1] == 0.0 and np.isnan(r.standard_error[1])
    assert np.isfinite(r.standard_error[0])
    assert any("Quantity 1" in flag for flag in r.flags)


def test_sign_changing_functions() -> None:
    r = uq.expectations(
        lambda x: np.stack([x[:, 0] ** 3 - x[:, 0], np.sin(x[:, 0]) + 0.1], axis=1), NORMAL,
        budget=2000, rng=0,
    )  # fmt: skip
    assert _within(r, [0.0, 0.1])
    with pytest.raises(ValueError, match="quantities >= 0"):
        uq.expectations(lambda x: x[:, 0], NORMAL, budget=2000, method="published", rng=0)


def test_weights() -> None:
    for weights in ("relative", "equal", [1.0, 0.0, 2.0, 0.0, 1.0], MOMENTS**-2):
        r = uq.expectations(_moments, NORMAL, budget=2000, weights=weights, surrogate=None, rng=0)
        assert _within(r, MOMENTS)


@pytest.mark.parametrize("defensive", [0.0, 0.2, 0.9])
def test_defensive_share(defensive: float) -> None:
    r = uq.expectations(_moments, NORMAL, budget=2000, defensive=defensive, surrogate=None, rng=0)
    assert _within(r, MOMENTS)
    if defensive > 0.0:
        assert np.exp(r.log_weights).max() <= 1.0 / defensive + 1e-9


@pytest.mark.parametrize("method", ["auto", "published"])
def test_failed_runs_are_left_out_and_said(method: str) -> None:
    def failing(x: np.ndarray) -> np.ndarray:
        values = _moments(x)
        values[x[:, 0] > 1.9, 0] = np.nan
        values[x[:, 0] < -2.0, 1] = np.inf
        return values

    r = uq.expectations(failing, NORMAL, budget=2000, method=method, rng=0)
    assert r.n_evaluations == 2000 and r.n_failed > 0
    assert ((r.failed_points > 1.9) | (r.failed_points < -2.0)).all()
    assert f"{r.n_failed} of 2000 runs failed" in r.flags[-1]
    assert np.isfinite(r.estimate).all() and np.isfinite(r.standard_error).all()
    assert np.isnan(r.values).any() and len(r.values) == len(r.sample)


@pytest.mark.parametrize("method", ["auto", "published"])
def test_estimates_given_that_a_run_does_not_fail(method: str) -> None:
    """E[Z^2 | Z > -1/2], and by the same runs E[Z^2 | Z > -1/2] for Z ~ N(0.3, 1)."""
    exact = stats.truncnorm(-0.5, np.inf).moment(2)
    other = stats.truncnorm(-0.8, np.inf, loc=0.3).moment(2)
    for seed in range(3):
        r = uq.expectations(
            lambda x: np.where(x[:, 0] < -0.5, np.nan, x[:, 0] ** 2), NORMAL, budget=4000,
            method=method, rng=seed,
        )  # fmt: skip
        assert _within(r, exact)
        assert _within(r.reweight(stats.norm(0.3)), other)


def test_constants_under_several_laws() -> None:
    laws = [uq.Inputs([stats.norm(m)]) for m in (0.0, 0.1, 0.2)]
    r = uq.expectations(lambda x: np.ones(len(x)), laws=laws, budget=400, rng=0)
    assert np.array_equal(r.estimate, [1.0, 1.0, 1.0]) and np.isnan(r.standard_error).all()
    assert len(r.flags) == 3


def test_all_runs_failed() -> None:
    with pytest.raises(ValueError, match="NaN"):
        uq.expectations(lambda x: np.full(len(x), np.nan), NORMAL, budget=1000, rng=0)


NOT_CALLED = Counted(_moments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": 27}, "at least 28"),
        ({"budget": 39, "method": "published"}, "at least 40"),
        ({"budget": 1e4}, "whole number"),
        ({"weights": [1.0, -1.0]}, "numbers >= 0"),
        ({"weights": [0.0, 0.0]}, "not all 0"),
        ({"weights": "even"}, "'relative', 'equal'"),
        ({"weights": [1.0, 2.0, 3.0], "inputs": None, "laws": [NORMAL, NORMAL]}, "3 entries for 2"),
        ({"inputs": None, "laws": [NORMAL, TWO]}, "dimension"),
        ({"inputs": None}, "either `inputs`"),
        ({"laws": [NORMAL]}, "either `inputs`"),
        ({"inputs": None, "laws": NORMAL}, "list of laws"),
        ({"inputs": object()}, "law"),
        ({"method": "best"}, "'auto', 'published'"),
        ({"proposal": "cauchy"}, "'student_t'"),
        ({"covariance": "none"}, "'diagonal'"),
        ({"sampling": "sobol"}, "'qmc', 'mc'"),
        ({"surrogate": "kriging"}, "'polynomial'"),
        ({"defensive": 1.0}, "share in"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_bad_arguments_cost_no_run(change: dict, message: str) -> None:
    arguments = {"inputs": NORMAL, "budget": 1000, "rng": 0} | change
    with pytest.raises((ValueError, TypeError), match=message):
        uq.expectations(NOT_CALLED, **arguments)
    assert NOT_CALLED.n == 0


def test_what_the_function_returns_is_checked() -> None:
    with pytest.raises(ValueError, match="3 entries for 5 quantities"):
        uq.expectations(_moments, NORMAL, budget=1000, weights=[1.0, 1.0, 1.0], rng=0)
    with pytest.raises(ValueError, match="5 outputs for 2 laws"):
        uq.expectations(_moments, laws=[NORMAL, uq.Inputs([stats.norm(1.0)])], budget=1000, rng=0)
    with pytest.raises(ValueError, match=r"\.T"):
        uq.expectations(lambda x: _moments(x).T, NORMAL, budget=1000, rng=0)
    with pytest.raises(TypeError, match="callable"):
        uq.expectations(3.0, NORMAL, budget=1000)  # type: ignore[arg-type]
