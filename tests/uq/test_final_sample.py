"""From the final sample to estimates: the candidates, that each is right, and the choice."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import eval_hermitenorm

import uq
from uq import control_variates, final_sample, known_means
from uq.coordinates import Coordinates
from uq.final_sample import FinalSample, estimate
from uq.proposals import Gaussian, Mixture

NORMAL = [uq.Inputs([stats.norm()])]
MOMENTS = [(0.0, 1.0), (0.4, 1.1), (-0.3, 0.9)]
LAWS = [uq.Inputs([stats.norm(m, s)]) for m, s in MOMENTS]
WIDE = Gaussian(np.zeros(1), np.array([[1.5]]))


class Setting:
    """A final sample of `density` in 8 folds, and all that `estimate` asks for."""

    def __init__(self, values, laws, density, n=400, seed=0, independent=True):
        self.laws, self.density = laws, density
        self.rng = np.random.default_rng(seed)
        self.coordinates = Coordinates.of(laws, 0)
        z = density.sample(n, self.rng)
        x = self.coordinates.to_x(z)
        self.sample = FinalSample(
            x, z, values(x), np.ones(n, dtype=bool), self.coordinates.log_slope(z, x),
            self.coordinates.log_densities(laws, z, x), density.log_density(z),
            np.repeat(np.arange(8), n // 8), independent,
        )  # fmt: skip

    def estimate(self, surrogate=None, ratio_densities=(), weights=None):
        J = (self.sample.W * self.sample.Y).shape[1]
        weights = np.ones(J) if weights is None else weights
        return estimate(
            self.sample, self.laws, self.coordinates, self.density, ratio_densities, weights,
            surrogate, self.rng,
        )  # fmt: skip

    def means(self, *args, **kwargs):
        return self.estimate(*args, **kwargs)[0].contributions.mean(axis=0)


def column(*functions):
    return lambda x: np.stack([f(x[:, 0]) for f in functions], axis=1)


# Which candidates there are


def test_nothing_to_choose_where_all_ratios_are_one():
    plain = Setting(column(np.cos), NORMAL, Gaussian(np.zeros(1), np.eye(1)))
    chosen, index, names = plain.estimate()
    assert names == ["none"] and (index == 0).all()
    np.testing.assert_allclose(chosen.contributions, plain.sample.Y, rtol=1e-12)
    np.testing.assert_array_equal(chosen.known_variance, [0.0])


def test_names_of_the_candidates():
    wide = Setting(column(np.cos), NORMAL, WIDE, n=400)
    own = [Gaussian(np.ones(1), np.eye(1))]
    ratios = ["none", "constant", "density ratios"]
    assert wide.estimate()[2] == ["none", "constant"]
    assert wide.estimate(ratio_densities=own)[2] == ratios
    # A twelfth of the runs at most.
    chaos = [f"polynomial of {k} terms" for k in (2, 3, 5, 9, 13, 17, 21, 25, 29, 33)]
    for surrogate in ("auto", "polynomial"):
        assert wide.estimate(surrogate, own)[2] == ratios + chaos
    assert wide.estimate(lambda x: x[:, 0])[2] == ["none", "constant", "your cheap model"]
    few = Setting(column(np.cos), NORMAL, WIDE, n=16)
    assert few.estimate("auto")[2] == ["none"]  # nothing is chosen by the variances of so few


def test_ratios_of_a_mixture():
    """The law, the quantity's own, and the larger components but the last of them."""
    parts = tuple(Gaussian(np.array([m]), np.array([[1.5]])) for m in (0.0, 1.0, -1.0, 2.0))
    density = Mixture(np.array([0.5, 0.01, 0.3, 0.19]), parts)
    own = [Gaussian(np.array([m]), np.eye(1)) for m in (0.5, -0.5)]
    one = Setting(column(np.cos, np.sin), NORMAL, density)
    W = one.sample.W
    ratios = final_sample._ratios(one.sample, W, density, own, 2)
    assert ratios.shape == (400, 2, 4)
    g = np.exp(one.sample.log_g)
    for j in range(2):
        expected = [
            W[:, 0],
            np.exp(own[j].log_density(one.sample.z)) / g,
            np.exp(parts[0].log_density(one.sample.z)) / g,
            np.exp(parts[2].log_density(one.sample.z)) / g,
        ]
        np.testing.assert_allclose(ratios[:, j].T, expected)
    assert final_sample._ratios(one.sample, W, WIDE, (), 2) is None
    assert final_sample._ratios(one.sample, W, density, (), 2).shape == (400, 2, 3)


def test_likelihood_ratios_of_every_law():
    one = Setting(column(np.cos), LAWS, WIDE)
    z = one.sample.z[:, 0]
    c, s = one.coordinates.centre[0], one.coordinates.scale[0]
    for k, law in enumerate(MOMENTS):
        f = stats.norm(*law).pdf(c + s * z) * s
        np.testing.assert_allclose(one.sample.W[:, k], f / stats.norm(0, 1.5**0.5).pdf(z))


# Each of them is right


def test_density_ratios_leave_no_error_of_what_they_span():
    """phi f = 2 f - 3 g_own + g_1: the expectation is 2 - 3 + 1."""
    parts = (WIDE, Gaussian(np.array([1.0]), np.array([[1.2]])))
    density = Mixture(np.array([0.5, 0.5]), parts)
    own = Gaussian(np.array([0.5]), np.array([[0.8]]))

    def values(x):
        f = stats.norm.pdf(x[:, 0])
        return (2.0 - (3.0 * np.exp(own.log_density(x)) - np.exp(parts[0].log_density(x))) / f)[
            :, None
        ]

    one = Setting(values, NORMAL, density)
    chosen, index, names = one.estimate(ratio_densities=[own])
    assert names[index[0]] == "density ratios"
    np.testing.assert_allclose(chosen.contributions.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(one.means(), 0.0, atol=0.5)


def pair_means(powers):
    """E[x^p] under the laws, by hand."""
    return [{1: m, 2: m**2 + s**2}[p] for p, (m, s) in zip(powers, MOMENTS, strict=True)]


@pytest.mark.parametrize("independent", [True, False])
def test_polynomials_are_exact_in_each_form(independent):
    """Functions under one law, one function under laws, pairs."""
    forms = [
        (column(lambda x: x**2, lambda x: 1 + x**3, lambda x: x), NORMAL, [1.0, 1.0, 0.0]),
        (column(lambda x: x**2), LAWS, pair_means([2, 2, 2])),
        (column(lambda x: x**2, lambda x: x, lambda x: x**2), LAWS, pair_means([2, 1, 2])),
    ]
    for values, laws, exact in forms:
        one = Setting(values, laws, WIDE, independent=independent)
        chosen, index, names = one.estimate("auto")
        assert all(names[k].startswith("polynomial") for k in index)
        np.testing.assert_allclose(chosen.contributions.mean(axis=0), exact, atol=1e-9)
        assert (np.sqrt(chosen.known_variance) < 1e-9).all()
        # Not so without it.
        assert np.abs(one.means() - exact).max() > 1e-3


@pytest.mark.parametrize("laws", [NORMAL, LAWS])
def test_a_polynomial_by_brute_force(laws):
    """Least squares without each fold, rows weighted by sum_j w_j W_j^2; means in closed form."""
    one = Setting(column(lambda x: np.abs(x) + 3 * x), laws, WIDE, n=160)
    s, L = one.sample, len(laws)
    weights = np.array([1.0, 5.0, 0.2])[:L]
    candidates = final_sample._polynomials(s, s.W, laws, one.coordinates, weights, one.rng)
    third = candidates[1]
    assert third.name == "polynomial of 3 terms"
    z = s.z[:, 0]
    psi = np.stack([np.ones(160), z, eval_hermitenorm(2, z) / math.sqrt(2.0)], axis=1)
    omega = np.square(s.W) @ weights
    moments = [one.coordinates.gaussian_in_z(law) for law in laws]
    for r in range(8):
        rest, here = s.folds != r, s.folds == r
        root = np.sqrt(omega[rest])[:, None]
        c = np.linalg.lstsq(root * psi[rest], root * s.Y[rest], rcond=None)[0][:, 0]
        for j, (m, C) in enumerate(moments):
            known = c @ [1.0, m[0], (C[0, 0] + m[0] ** 2 - 1.0) / math.sqrt(2.0)]
            expected = known + s.W[here, j] * (s.Y[here, 0] - psi[here] @ c)
            np.testing.assert_allclose(third.contributions[here, j], expected, rtol=1e-9)


def test_the_error_of_polynomial_means_is_counted():
    """A copula with uniform margins has no closed form: what is left is the error of its mean."""
    laws = [
        uq.Inputs([stats.uniform(), stats.uniform()], np.array([[1, r], [r, 1]]))
        for r in (0.3, 0.7)
    ]
    two = Gaussian(np.zeros(2), 1.2 * np.eye(2))
    one = Setting(lambda x: (x[:, 0] * x[:, 1])[:, None], laws, two, n=400)
    chosen, index, names = one.estimate("auto")
    assert all(names[k].startswith("polynomial") for k in index)
    exact = [1 / 4 + math.asin(r / 2) / (2 * math.pi) for r in (0.3, 0.7)]
    error = np.abs(chosen.contributions.mean(axis=0) - exact)
    assert (error < 5 * np.sqrt(chosen.known_variance)).all()
    assert (chosen.known_variance > 0.0).all()
    # All folds share it.
    cov = control_variates.covariance(chosen, one.sample.folds, False)
    np.testing.assert_allclose(np.diag(cov), chosen.known_variance, rtol=0.05)


# One's own cheap model

CHEAP = [
    pytest.param(NORMAL, 1, 1, id="one law, one function"),
    pytest.param(NORMAL, 3, 1, id="one law, functions, one cheap value"),
    pytest.param(NORMAL, 3, 3, id="one law, functions, cheap values"),
    pytest.param(LAWS, 1, 1, id="laws, one function"),
    pytest.param(LAWS, 3, 1, id="pairs, one cheap value"),
    pytest.param(LAWS, 3, 3, id="pairs, cheap values"),
]


def exponentials(n_outputs, n_cheap):
    """Functions a_j exp(b_j x) + c_j, cheap ones exp(b_j x), and the rates b_j."""
    b = np.array([0.5, -0.3, 0.8])
    b = np.full(n_outputs, 0.5) if n_cheap == 1 else b[:n_outputs]
    a, c = np.array([2.0, -1.0, 3.0])[:n_outputs], np.array([0.0, 1.0, -4.0])[:n_outputs]

    def model(x):
        return a * np.exp(b * x) + c

    return model, lambda x: np.exp(b[:n_cheap] * x), a, b, c


@pytest.mark.parametrize(("laws", "n_outputs", "n_cheap"), CHEAP)
def test_a_cheap_model_that_is_all_leaves_the_error_of_its_mean(laws, n_outputs, n_cheap):
    model, cheap, a, b, c = exponentials(n_outputs, n_cheap)
    one = Setting(model, laws, WIDE)
    moments = MOMENTS if len(laws) > 1 else [(0.0, 1.0)] * n_outputs
    J = len(moments)
    a, b, c = (np.broadcast_to(part, J) for part in (a, b, c))
    exact = [
        a[j] * math.exp(b[j] * m + 0.5 * (b[j] * s) ** 2) + c[j] for j, (m, s) in enumerate(moments)
    ]
    candidate = final_sample._cheap_model(one.sample, one.sample.W, laws, cheap, one.rng)
    assert candidate.contributions.shape == (400, J) and candidate.known_variance.shape == (J,)
    # What is not a multiple of the cheap model is a multiple of W.
    rest = c * one.sample.W
    found = (candidate.contributions - rest).mean(axis=0) + c
    assert (np.abs(found - exact) < 5 * np.sqrt(candidate.known_variance) + 1e-9).all()
    assert (candidate.known_variance > 0.0).all()
    assert (np.sqrt(candidate.known_variance) < 1e-3).all()
    if n_outputs == 1 and n_cheap == 1:  # also without the axis
        flat = Setting(model, laws, WIDE)
        same = final_sample._cheap_model(
            flat.sample, flat.sample.W, laws, lambda x: cheap(x)[:, 0], flat.rng
        )
        np.testing.assert_array_equal(same.contributions, candidate.contributions)


def test_the_slope_of_a_fold_is_fitted_without_it():
    """Other values in fold 2 alone: there they change what is averaged, elsewhere the slope."""
    found = []
    for change in (0.0, 5.0):
        one = Setting(column(np.exp), NORMAL, WIDE)
        one.sample.Y[one.sample.folds == 2] += change
        candidate = final_sample._cheap_model(
            one.sample, one.sample.W, NORMAL, lambda x: np.abs(x[:, 0]), one.rng
        )
        found.append(candidate.contributions)
    s = one.sample
    for r in range(8):
        step = (found[1] - found[0])[s.folds == r]
        expected = 5.0 * s.W[s.folds == r] * (r == 2)
        assert np.allclose(step, expected, rtol=1e-9, atol=1e-12) is (r == 2)


def test_the_error_of_the_cheap_mean_is_stated_truly(monkeypatch):
    """phi = 2 h under two laws: all the error is that of the mean of h, times 2."""
    monkeypatch.setattr(known_means, "_ALL_LAWS", 0)
    laws = LAWS[:2]
    one = Setting(column(lambda x: 2 * np.abs(x)), laws, WIDE)
    exact = [2 * stats.foldnorm.mean(abs(m) / s, scale=s) for m, s in MOMENTS[:2]]
    seeds = 120
    errors, stated = np.empty((seeds, 2)), np.empty((seeds, 2))
    for seed in range(seeds):
        candidate = final_sample._cheap_model(
            one.sample, one.sample.W, laws, lambda x: np.abs(x[:, 0]), np.random.default_rng(seed)
        )
        errors[seed] = candidate.contributions.mean(axis=0) - exact
        stated[seed] = candidate.known_variance
    assert (np.abs(errors.mean(axis=0)) < 4 * errors.std(axis=0) / math.sqrt(seeds)).all()
    ratio = stated.mean(axis=0) / np.square(errors).mean(axis=0)
    np.testing.assert_allclose(ratio, 1.0, atol=4 * math.sqrt(2 / seeds))


@pytest.mark.parametrize("name", ["none", "constant", "density ratios", "polynomial", "cheap"])
def test_unbiased_under_several_laws(name, monkeypatch):
    """E[exp(x)] by 64 points each, 4 standard errors over 400 seeds."""
    monkeypatch.setattr(
        final_sample, "function_means",
        lambda h, laws, rng: (
            np.array([[stats.foldnorm.mean(abs(m) / s, scale=s)] for m, s in MOMENTS]),
            np.zeros((3, 1)),
        ),
    )  # fmt: skip
    own = [Gaussian(np.array([0.3 * k]), np.eye(1)) for k in range(3)]
    found = []
    for seed in range(400):
        one = Setting(column(np.exp), LAWS, WIDE, n=64, seed=seed)
        s, W = one.sample, one.sample.W
        if name == "none":
            candidate = control_variates.without(W * s.Y)
        elif name == "constant":
            candidate = control_variates.constant(W * s.Y, W, s.folds)
        elif name == "density ratios":
            ratios = final_sample._ratios(s, W, WIDE, own, 3)
            candidate = control_variates.density_ratios(W * s.Y, ratios, s.folds)
        elif name == "polynomial":
            candidate = final_sample._polynomials(s, W, LAWS, one.coordinates, np.ones(3), one.rng)[
                1
            ]
        else:
            candidate = final_sample._cheap_model(s, W, LAWS, lambda x: np.abs(x[:, 0]), one.rng)
        found.append(candidate.contributions.mean(axis=0))
    errors = np.array(found) - [math.exp(m + 0.5 * s**2) for m, s in MOMENTS]
    assert (np.abs(errors.mean(axis=0)) < 4 * errors.std(axis=0) / math.sqrt(400)).all()


@pytest.mark.parametrize(
    "cheap",
    [
        lambda x: np.ones(3),
        lambda x: np.ones((len(x), 2)),
        lambda x: np.ones((1, len(x))),
        lambda x: 1.0,
        lambda x: np.full(len(x), np.nan),
        lambda x: np.full(len(x), np.inf),
        lambda x: np.where(x[:, 0] > 3.8, np.inf, 1.0),  # at cheap points only
    ],
)
def test_a_cheap_model_that_cannot_be_used_is_refused(cheap):
    one = Setting(column(np.exp, np.cos, np.sin), NORMAL, Gaussian(np.zeros(1), 0.2 * np.eye(1)))
    with pytest.raises(ValueError, match="`surrogate` must return"):
        one.estimate(cheap)


# The choice


def test_each_quantity_has_the_contributions_of_its_choice():
    """A polynomial, what no polynomial tells, and what is made of ratios."""
    own = [Gaussian(np.array([0.4]), np.array([[0.9]]))] * 3

    def values(x):
        x = x[:, 0]
        ratio = np.exp(own[0].log_density(x[:, None])) / stats.norm.pdf(x)
        return np.stack([x**2 + x, np.sign(np.sin(40 * x)), ratio], axis=1)

    one = Setting(values, NORMAL, WIDE)
    chosen, index, names = one.estimate("auto", own)
    assert names[index[0]].startswith("polynomial")
    assert names[index[2]] == "density ratios"
    assert len(set(index)) >= 2
    s, T = one.sample, one.sample.W * one.sample.Y
    ratios = final_sample._ratios(s, s.W, WIDE, own, 3)
    offered = [
        control_variates.without(T),
        control_variates.constant(T, s.W, s.folds),
        control_variates.density_ratios(T, ratios, s.folds),
        *final_sample._polynomials(s, s.W, NORMAL, one.coordinates, np.ones(3), one.rng),
    ]
    assert [candidate.name for candidate in offered] == names
    for j in range(3):
        expected = offered[index[j]].contributions[:, j]
        np.testing.assert_array_equal(chosen.contributions[:, j], expected)
    spread = [control_variates.variances(c, s.folds, True) for c in offered]
    least = np.min(spread, axis=0)
    mine = np.array([spread[index[j]][j] for j in range(3)])
    clear = np.exp(-control_variates._margin(len(s.z)))
    assert (mine <= clear * least * (1 + 1e-9)).all()
    np.testing.assert_allclose(chosen.contributions.mean(axis=0)[[0, 2]], [1.0, 1.0], atol=1e-8)


def test_laws_with_few_moments():
    """Student's t with 3 degrees of freedom has two moments; in its scores all polynomials have."""
    laws = [uq.Inputs([stats.t(3, m)]) for m in (0.0, 1.0)]
    one = Setting(column(np.cos), laws, WIDE)
    chosen, _, names = one.estimate("auto")
    assert "polynomial of 17 terms" in names
    assert np.isfinite(control_variates.covariance(chosen, one.sample.folds, True)).all()
    r = uq.expectations(lambda x: np.cos(x[:, 0]), laws=laws, budget=1000, rng=0)
    assert np.isfinite(r.estimate).all() and np.isfinite(r.standard_error).all()


def test_a_useless_cheap_model_is_left_alone():
    one = Setting(column(np.cos), NORMAL, WIDE)
    chosen, index, names = one.estimate(lambda x: np.sin(50 * x[:, 0]))
    assert names[index[0]] in ("none", "constant")
    np.testing.assert_array_equal(chosen.known_variance, [0.0])


def test_no_ratio_is_wider_than_what_is_drawn_from():
    """g_j = N(0, 3) over N(0, 1) has no variance; its covariance is cut to that of the latter."""
    narrow, wide = Gaussian(np.zeros(2), np.eye(2)), np.array([[3.0, 0.5], [0.5, 0.2]])
    cut = final_sample._no_wider(Gaussian(np.array([0.3, 0.0]), wide), narrow)
    values = np.linalg.eigvalsh(cut.covariance)
    np.testing.assert_allclose(values, [np.linalg.eigvalsh(wide)[0], 1.0])
    np.testing.assert_array_equal(cut.mean, [0.3, 0.0])
    same = Gaussian(np.zeros(2), 0.5 * np.eye(2))
    assert final_sample._no_wider(same, narrow) is same
