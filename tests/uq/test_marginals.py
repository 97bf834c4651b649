"""Marginal laws of four libraries: scores against 50 digits, round trips, densities, refusals."""

import math
import pickle

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtr

from uq.marginal_sources import marginal_of
from uq.marginals import (
    GeneralMarginal,
    LogNormalMarginal,
    NormalMarginal,
    UniformMarginal,
)

SCIPY = {
    "normal": stats.norm(3.0, 2.0),
    "lognormal": stats.lognorm(0.3, scale=5.0),
    "gamma": stats.gamma(2.3, scale=2.0),
    "exponential": stats.expon(scale=0.1),
    "gumbel": stats.gumbel_r(1.0, 2.0),
    "smallest": stats.gumbel_l(1.0, 2.0),
    "t": stats.t(4.0),
    "cauchy": stats.cauchy(),
    "weibull": stats.weibull_min(1.7),
    "logistic": stats.logistic(),
    "inverse gamma": stats.invgamma(3.0),
    "new gamma": stats.make_distribution(stats.gamma)(a=2.0),
    "new normal": stats.Normal(mu=-1.0, sigma=0.1),
}
ENDED = {
    "uniform": stats.uniform(2.0, 3.0),
    "beta": stats.beta(2.0, 3.0),
    "triangular": stats.triang(0.3),
    "truncated": stats.truncnorm(-1.0, 2.0),
    "new uniform": stats.Uniform(a=0.0, b=2.0),
}


class OpenTurnsLaw:
    """Written to the interface of OpenTURNS, over a law of SciPy."""

    def __init__(self, law, kind="Gamma", dimension=1, discrete=False):
        self.law, self.kind, self.dimension, self.discrete = law, kind, dimension, discrete

    def getDimension(self):
        return self.dimension

    def isDiscrete(self):
        return self.discrete

    def getClassName(self):
        return self.kind

    def getMean(self):
        return [self.law.mean()]

    def getStandardDeviation(self):
        return [self.law.std()]

    def computeQuantile(self, prob, tail=False):
        inverse = self.law.isf if tail else self.law.ppf
        return [[float(inverse(p))] for p in prob]

    def computeCDF(self, sample):
        return [[float(self.law.cdf(x))] for (x,) in sample]

    def computeComplementaryCDF(self, sample):
        return [[float(self.law.sf(x))] for (x,) in sample]

    def computePDF(self, sample):
        return [[float(self.law.pdf(x))] for (x,) in sample]

    def getRange(self):
        return self

    def getLowerBound(self):
        return [max(self.law.support()[0], -1e3)]

    def getUpperBound(self):
        return [min(self.law.support()[1], 1e3)]

    def getFiniteLowerBound(self):
        return [math.isfinite(self.law.support()[0])]

    def getFiniteUpperBound(self):
        return [math.isfinite(self.law.support()[1])]


@settings(derandomize=True, deadline=None)
@given(st.sampled_from(sorted(SCIPY)), st.floats(-30.0, 30.0))
def test_scores_come_back_out_to_thirty_sigma(kind, z):
    marginal = marginal_of(SCIPY[kind])
    assert marginal.to_score(marginal.from_score(z)) == pytest.approx(z, rel=1e-11, abs=1e-11)


@settings(derandomize=True, deadline=None)
@given(st.sampled_from(sorted(ENDED)), st.floats(-6.0, 6.0))
def test_values_between_two_ends_come_back(kind, z):
    """Near an end that is not zero numbers are too coarse for the score, not for the value."""
    marginal = marginal_of(ENDED[kind])
    x = marginal.from_score(z)
    assert marginal.from_score(marginal.to_score(x)) == pytest.approx(x, rel=1e-11)
    assert marginal.to_score(x) == pytest.approx(z, abs=1e-6)


@pytest.mark.parametrize("kind", sorted(SCIPY | ENDED))
def test_values_of_finite_scores_lie_strictly_inside(kind):
    marginal = marginal_of((SCIPY | ENDED)[kind])
    x = marginal.from_score(np.array([-300.0, -38.0, -20.0, -9.0, 9.0, 20.0, 38.0, 300.0]))
    assert np.all((x > marginal.support[0]) & (x < marginal.support[1]) & np.isfinite(x))
    assert np.all(np.diff(x) >= -1e-12 * np.abs(x[1:]))
    assert np.all(np.isfinite(marginal.to_score(x)))


@pytest.mark.parametrize("x", [0.001, 1.0, 60.0, 900.0])
def test_gamma_scores_have_the_digits_of_fifty_digit_arithmetic(x):
    marginal = marginal_of(stats.gamma(2.5))
    with mpmath.workdps(50):
        tail = mpmath.gammainc(2.5, 0, x, regularized=True)
        sign = 1
        if tail > 0.5:
            tail, sign = mpmath.gammainc(2.5, x, mpmath.inf, regularized=True), -1
        z = mpmath.findroot(
            lambda s: mpmath.log(mpmath.ncdf(s)) - mpmath.log(tail),
            -mpmath.sqrt(max(-2 * mpmath.log(2 * tail), mpmath.mpf("0.01"))),
        )
        expected = float(sign * z)
    if x < 700.0:
        assert marginal.to_score(x) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    else:  # the library's tail is zero there: its score stays at that of the smallest number
        assert marginal.to_score(x) == pytest.approx(38.48, abs=0.01)
        assert expected > 38.49


@pytest.mark.parametrize("x", [-9.0, -5.0, 3.0, 40.0, 700.0])
def test_gumbel_scores_where_the_distribution_function_underflows(x):
    """log F = -exp(-x), so F(-9) is exp(-8103)."""
    marginal = marginal_of(stats.gumbel_r())
    with mpmath.workdps(50):
        log_below = -mpmath.exp(-mpmath.mpf(x))
        log_tail = log_below if x < 0 else mpmath.log(-mpmath.expm1(log_below))
        start = -mpmath.sqrt(-2 * log_tail)
        z = mpmath.findroot(lambda s: mpmath.log(mpmath.ncdf(s)) - log_tail, start)
        expected = float(z if x < 0 else -z)
    assert marginal.to_score(x) == pytest.approx(expected, rel=1e-12)
    assert marginal.from_score(expected) == pytest.approx(x, rel=1e-11)


@pytest.mark.parametrize("kind", sorted(SCIPY | ENDED))
def test_scores_of_draws_are_standard_normal(kind):
    law = (SCIPY | ENDED)[kind]
    draws = law.rvs(size=4000, random_state=1) if hasattr(law, "rvs") else law.sample(4000, rng=1)
    z = marginal_of(law).to_score(draws)
    assert stats.kstest(z, "norm").pvalue > 1e-4


@pytest.mark.parametrize("kind", sorted(SCIPY | ENDED))
def test_density_is_the_derivative_of_the_score(kind):
    """f(x) dx = phi(z) dz, by a difference of scores."""
    marginal = marginal_of((SCIPY | ENDED)[kind])
    z = np.linspace(-3.0, 3.0, 13)
    step = 1e-5
    slope = (marginal.from_score(z + step) - marginal.from_score(z - step)) / (2 * step)
    expected = stats.norm.logpdf(z) - np.log(slope)
    np.testing.assert_allclose(marginal.log_density(marginal.from_score(z)), expected, atol=1e-6)


@pytest.mark.parametrize("kind", sorted(SCIPY | ENDED))
def test_density_and_scores_outside_the_support(kind):
    marginal = marginal_of((SCIPY | ENDED)[kind])
    low, high = marginal.support
    far = np.array([low - 1.0 if math.isfinite(low) else -np.inf, high + 1.0, np.inf, -np.inf])
    assert np.all(marginal.log_density(far) == -np.inf)
    assert marginal.to_score(far).tolist() == [-np.inf, np.inf, np.inf, -np.inf]
    assert marginal.from_score(np.array([-np.inf, np.inf])).tolist() == [low, high]
    assert marginal.log_density(np.nan) == -np.inf


@pytest.mark.parametrize("kind", sorted(SCIPY | ENDED))
def test_moments_and_pickle(kind):
    law = (SCIPY | ENDED)[kind]
    marginal = marginal_of(law)
    sd = law.std() if hasattr(law, "std") else law.standard_deviation()
    np.testing.assert_allclose([marginal.mean, marginal.sd], [law.mean(), sd], rtol=1e-12)
    assert marginal.bounded == (kind in ENDED)
    if not kind.startswith("new"):  # SciPy makes some of those classes inside functions
        again = pickle.loads(pickle.dumps(marginal))
        assert again.from_score(1.3) == marginal.from_score(1.3)


def test_exact_laws_are_recognised():
    assert marginal_of(stats.norm(1, scale=2)) == NormalMarginal(1.0, 2.0)
    assert marginal_of(stats.norm) == NormalMarginal(0.0, 1.0)
    assert marginal_of(stats.Normal(mu=1.0, sigma=2.0)) == NormalMarginal(1.0, 2.0)
    assert marginal_of(stats.uniform(loc=1, scale=2)) == UniformMarginal(1.0, 3.0)
    assert marginal_of(stats.Uniform(a=1.0, b=3.0)) == UniformMarginal(1.0, 3.0)
    lognormal = marginal_of(stats.lognorm(s=0.5, scale=math.e))
    assert lognormal == LogNormalMarginal(1.0, 0.5)
    assert lognormal.log_gaussian == (1.0, 0.5) and lognormal.gaussian is None
    assert marginal_of(stats.lognorm(0.5, loc=2.0)).log_gaussian is None
    assert marginal_of(stats.norm(1, 2)).gaussian == (1.0, 2.0)
    assert marginal_of(lognormal) is lognormal


def test_shifted_lognormal_law_is_that_of_scipy():
    law = stats.lognorm(0.5, loc=2.0, scale=3.0)
    marginal = marginal_of(law)
    x = np.array([2.1, 3.0, 9.0, 40.0])
    np.testing.assert_allclose(marginal.log_density(x), law.logpdf(x), rtol=1e-12)
    np.testing.assert_allclose(ndtr(marginal.to_score(x)), law.cdf(x), rtol=1e-12)


def torch_pairs():
    import torch
    from torch import distributions as td

    def number(value):
        return torch.tensor(value, dtype=torch.float64)

    a, b = number(2.5), number(0.75)
    return [
        (td.Normal(a, b), stats.norm(2.5, 0.75)),
        (td.LogNormal(a, b), stats.lognorm(0.75, scale=math.exp(2.5))),
        (td.Uniform(b, a), stats.uniform(0.75, 1.75)),
        (td.Exponential(a), stats.expon(scale=0.4)),
        (td.Gamma(a, b), stats.gamma(2.5, scale=1 / 0.75)),
        (td.InverseGamma(a, b), stats.invgamma(2.5, scale=0.75)),
        (td.Chi2(a), stats.chi2(2.5)),
        (td.Beta(a, b), stats.beta(2.5, 0.75)),
        (td.StudentT(a, b, a), stats.t(2.5, 0.75, 2.5)),
        (td.FisherSnedecor(a, b), stats.f(2.5, 0.75)),
        (td.Cauchy(a, b), stats.cauchy(2.5, 0.75)),
        (td.HalfCauchy(a), stats.halfcauchy(scale=2.5)),
        (td.HalfNormal(a), stats.halfnorm(scale=2.5)),
        (td.Laplace(a, b), stats.laplace(2.5, 0.75)),
        (td.Gumbel(a, b), stats.gumbel_r(2.5, 0.75)),
        (td.Pareto(a, b), stats.pareto(0.75, scale=2.5)),
        (td.GeneralizedPareto(a, b, number(0.1)), stats.genpareto(0.1, 2.5, 0.75)),
        (td.Weibull(a, b), stats.weibull_min(0.75, scale=2.5)),
    ]


def test_laws_of_torch_have_the_densities_that_torch_says():
    import torch

    for law, _ in torch_pairs():
        if type(law).__name__ == "GeneralizedPareto":  # torch mixes its own precisions there
            continue
        marginal = marginal_of(law)
        x = marginal.from_score(np.array([-1.5, -0.2, 0.6, 1.9]))
        expected = law.log_prob(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(marginal.log_density(x), expected, rtol=1e-6, err_msg=str(law))


def test_laws_of_torch_are_those_of_scipy():
    z = np.array([-12.0, -1.0, 0.5, 9.0])
    for law, expected in torch_pairs():
        found, reference = marginal_of(law), marginal_of(expected)
        np.testing.assert_allclose(found.from_score(z), reference.from_score(z), rtol=1e-12)
        assert type(found) is type(reference)


def test_other_laws_of_torch_by_their_functions():
    import torch
    from torch import distributions as td

    base = td.Normal(torch.tensor(0.0, dtype=torch.float64), torch.tensor(1.0).double())
    law = td.TransformedDistribution(base, [td.ExpTransform(), td.AffineTransform(1.0, 2.0)])
    marginal = marginal_of(law)
    assert isinstance(marginal, GeneralMarginal)
    z = np.linspace(-5, 5, 21)
    np.testing.assert_allclose(marginal.from_score(z), 1 + 2 * np.exp(z), rtol=1e-9)
    np.testing.assert_allclose(marginal.to_score(1 + 2 * np.exp(z)), z, atol=1e-9)
    assert marginal.support[0] == pytest.approx(1.0)


@pytest.mark.parametrize("law", [stats.gamma(2.5), stats.beta(2.0, 3.0), stats.gumbel_r()])
def test_laws_of_openturns(law):
    found, expected = marginal_of(OpenTurnsLaw(law)), marginal_of(law)
    assert found.support == expected.support
    z = np.array([-11.0, -1.0, 0.3, 2.0, 6.0])
    np.testing.assert_allclose(found.from_score(z), expected.from_score(z), rtol=1e-12)
    x = expected.from_score(z[1:])
    np.testing.assert_allclose(found.to_score(x), expected.to_score(x), rtol=1e-11)
    np.testing.assert_allclose(found.log_density(x), law.logpdf(x), rtol=1e-12)


def test_normal_law_of_openturns_is_exact():
    assert marginal_of(OpenTurnsLaw(stats.norm(1, 2), "Normal")) == NormalMarginal(1.0, 2.0)


def test_what_is_no_law_is_refused():
    for wrong in (3.0, "norm", None, stats.norm.cdf, object()):
        with pytest.raises(TypeError, match="The law of 'w' must be a frozen law"):
            marginal_of(wrong, "w")
    with pytest.raises(TypeError, match="no parameters yet: give stats.gamma"):
        marginal_of(stats.gamma, "w")


def test_discrete_laws_are_refused():
    from torch import distributions as td

    laws = [stats.poisson(3), stats.Binomial(n=3, p=0.2), td.Poisson(3.0)]
    for law in [*laws, OpenTurnsLaw(stats.norm(), discrete=True)]:
        with pytest.raises(ValueError, match="must be continuous"):
            marginal_of(law, "w")


def test_laws_of_several_variables_are_refused():
    import torch
    from torch import distributions as td

    laws = [
        stats.multivariate_normal([0, 0]),
        td.MultivariateNormal(torch.zeros(2), torch.eye(2)),
        td.Normal(torch.zeros(3), 1.0),
        OpenTurnsLaw(stats.norm(), dimension=2),
    ]
    for law in laws:
        with pytest.raises(ValueError, match="JointLaw"):
            marginal_of(law, "w")
    for law in (stats.norm([0, 1], 1), stats.gamma([1.0, 2.0]), stats.Normal(mu=[0.0, 1.0])):
        with pytest.raises(ValueError, match="one law for each input"):
            marginal_of(law, "w")


def test_degenerate_parameters_are_refused():
    for law in (stats.norm(0, 0), stats.norm(0, -1), stats.gamma(-1.0), stats.uniform(0, 0)):
        with pytest.raises(ValueError, match="The law of 'w'"):
            marginal_of(law, "w")
    for law in (stats.lognorm(-1.0), stats.lognorm(1.0, scale=0.0)):
        with pytest.raises(ValueError, match="The law of 'w'"):
            marginal_of(law, "w")
