"""Marginal laws out of the objects of SciPy, torch and OpenTURNS, known by their methods.

Nothing here loads torch or OpenTURNS: who passes an object of theirs has loaded them. The laws of
torch become those of SciPy, by name and parameters, in float64: torch knows few quantiles and
rounds small tails to zero. Normal, lognormal and uniform laws of all libraries become the exact
ones.
"""

import math
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from uq.marginals import (
    GeneralMarginal,
    LogNormalMarginal,
    Marginal,
    NormalMarginal,
    UniformMarginal,
)

Array = NDArray[np.float64]

_TAKEN = (
    "a frozen law of scipy.stats such as stats.norm(0, 1), a law of SciPy's new kind such as "
    "stats.Normal(), a torch.distributions law of one variable, or a law of OpenTURNS"
)


def marginal_of(law: Any, name: str = "x") -> Marginal:
    """Return the law of one variable behind an object of SciPy, torch or OpenTURNS.

    Parameters
    ----------
    law
        A `Marginal` (returned as it is), a frozen law of scipy.stats, a law of SciPy's new kind,
        of torch.distributions or of OpenTURNS.
    name
        Name of the variable, for messages.

    Raises
    ------
    TypeError
        When `law` is none of these.
    ValueError
        When it is discrete, or a law of several variables.
    """
    if isinstance(law, Marginal):
        return law
    for is_of, read in (
        (_is_torch, _from_torch),
        (_is_openturns, _from_openturns),
        (_is_new_scipy, _from_new_scipy),
        (_is_scipy, _from_scipy),
    ):
        if is_of(law):
            return read(law, name)
    if hasattr(law, "logpmf") or hasattr(law, "pmf"):
        raise _discrete(law, name)
    if not isinstance(law, type) and (hasattr(law, "logpdf") or hasattr(law, "log_density")):
        raise _several(law, name)
    raise TypeError(f"The law of '{name}' must be {_TAKEN}, but got {law!r}.")


def _has(law: Any, *methods: str) -> bool:
    return not isinstance(law, type) and all(hasattr(law, method) for method in methods)


def _discrete(law: Any, name: str) -> ValueError:
    return ValueError(
        f"The law of '{name}' must be continuous, but {law!r} is discrete; a law of values 1, "
        "2, ... can be written as a function of a uniform input inside the model."
    )


def _several(law: Any, name: str) -> ValueError:
    return ValueError(
        f"The law of '{name}' must be that of one variable, with `ppf`, `cdf`, `sf`, `isf` and "
        f"`logpdf`, but {law!r} is a law of several, or of one without quantiles; give one law for "
        "each input and their correlation, or a joint law: "
        "uq.JointLaw(sample, log_density, dimension)."
    )


def _exact(kind: str, name: str, *parameters: Any) -> Marginal:
    """Normal, lognormal or uniform law, its parameters checked."""
    if any(np.ndim(value) for value in parameters):
        raise ValueError(
            f"The law of '{name}' has parameters of several numbers; give one law for each input."
        )
    first, second, *loc = map(float, parameters)
    spread = second - first if kind == "uniform" else second
    if not (math.isfinite(first) and math.isfinite(second) and spread > 0.0):
        raise ValueError(
            f"The law of '{name}' is {kind} with the parameters {first:g} and {second:g}; both "
            "must be finite, and its width positive."
        )
    if kind == "normal":
        return NormalMarginal(first, second)
    if kind == "uniform":
        return UniformMarginal(first, second)
    return LogNormalMarginal(first, second, *loc)


def _is_scipy(law: Any) -> bool:
    return isinstance(law, stats.rv_continuous) or _has(law, "ppf", "cdf", "sf", "isf", "logpdf")


def _from_scipy(law: Any, name: str) -> Marginal:
    """Law of scipy.stats, frozen or without shape parameters."""
    if isinstance(law, stats.rv_continuous):
        if law.numargs > 0:
            raise TypeError(
                f"The law of '{name}' has no parameters yet: give stats.{law.name}({law.shapes}), "
                "with loc and scale where it is not the standard one."
            )
        law = law()
    if np.ndim(law.mean()) or np.size(law.mean()) != 1:
        raise ValueError(
            f"The law of '{name}' has parameters of several numbers; give one law for each input."
        )
    generator = getattr(law, "dist", None)
    if isinstance(generator, stats.rv_continuous) and hasattr(law, "args"):
        shapes, loc, scale = generator._parse_args(*law.args, **law.kwds)
        if isinstance(generator, type(stats.norm)):
            return _exact("normal", name, loc, scale)
        if isinstance(generator, type(stats.uniform)):
            return _exact("uniform", name, loc, loc + scale)
        if isinstance(generator, type(stats.lognorm)):
            mu = math.log(scale) if scale > 0.0 else math.nan
            return _exact("lognormal", name, mu, *shapes, loc)
    return _general(
        law, name, law.logcdf, law.logsf, law.ppf, law.isf, law.logpdf, law.support(), law.std()
    )


def _is_new_scipy(law: Any) -> bool:
    return _has(law, "icdf", "iccdf", "logcdf", "logccdf", "logpdf", "standard_deviation")


def _from_new_scipy(law: Any, name: str) -> Marginal:
    """Law of SciPy's new kind."""
    kinds = {kind.__name__ for kind in type(law).__mro__}
    if "DiscreteDistribution" in kinds:
        raise _discrete(law, name)
    with np.errstate(all="ignore"):
        mean, sd = law.mean(), law.standard_deviation()
    if np.ndim(mean):
        raise ValueError(
            f"The law of '{name}' has parameters of several numbers; give one law for each input."
        )
    if "Normal" in kinds:
        return _exact("normal", name, mean, sd)
    if "Uniform" in kinds:
        return _exact("uniform", name, *law.support())
    return _general(
        law,
        name,
        law.logcdf,
        law.logccdf,
        law.icdf,
        law.iccdf,
        law.logpdf,
        law.support(),
        sd,
    )


def _general(
    law: Any,
    name: str,
    log_cdf: Any,
    log_sf: Any,
    quantile: Any,
    upper_quantile: Any,
    log_pdf: Any,
    support: Any,
    sd: Any,
) -> GeneralMarginal:
    """Law by its functions; raises ValueError where its support is no interval."""
    low, high = map(float, support)
    if not low < high:
        raise ValueError(
            f"The law of '{name}' has no support, its parameters may be out of range: {law!r} "
            f"lies between {low:g} and {high:g}."
        )
    with np.errstate(all="ignore"):
        mean = float(law.mean())
    return GeneralMarginal(
        log_cdf, log_sf, quantile, upper_quantile, log_pdf, (low, high), mean, float(sd)
    )


_SCIPY_OF_TORCH: dict[str, Callable[[Callable[[str], float]], Any]] = {
    "Normal": lambda of: stats.norm(of("loc"), of("scale")),
    "LogNormal": lambda of: stats.lognorm(s=of("scale"), scale=math.exp(of("loc"))),
    "Uniform": lambda of: stats.uniform(of("low"), of("high") - of("low")),
    "Exponential": lambda of: stats.expon(scale=1.0 / of("rate")),
    "Gamma": lambda of: stats.gamma(of("concentration"), scale=1.0 / of("rate")),
    "InverseGamma": lambda of: stats.invgamma(of("concentration"), scale=of("rate")),
    "Chi2": lambda of: stats.chi2(of("df")),
    "Beta": lambda of: stats.beta(of("concentration1"), of("concentration0")),
    "StudentT": lambda of: stats.t(of("df"), of("loc"), of("scale")),
    "FisherSnedecor": lambda of: stats.f(of("df1"), of("df2")),
    "Cauchy": lambda of: stats.cauchy(of("loc"), of("scale")),
    "HalfCauchy": lambda of: stats.halfcauchy(scale=of("scale")),
    "HalfNormal": lambda of: stats.halfnorm(scale=of("scale")),
    "Laplace": lambda of: stats.laplace(of("loc"), of("scale")),
    "Gumbel": lambda of: stats.gumbel_r(of("loc"), of("scale")),
    "Pareto": lambda of: stats.pareto(of("alpha"), scale=of("scale")),
    "GeneralizedPareto": lambda of: stats.genpareto(of("concentration"), of("loc"), of("scale")),
    "Weibull": lambda of: stats.weibull_min(of("concentration"), scale=of("scale")),
}


def _is_torch(law: Any) -> bool:
    return _has(law, "log_prob", "batch_shape", "event_shape")


def _from_torch(law: Any, name: str) -> Marginal:
    """Law of torch.distributions, as one of SciPy."""
    if getattr(getattr(law, "support", None), "is_discrete", False):
        raise _discrete(law, name)
    if math.prod(law.batch_shape) != 1 or math.prod(law.event_shape) != 1:
        raise _several(law, name)
    kind = type(law).__name__
    if kind not in _SCIPY_OF_TORCH:
        return _by_functions_of_torch(law, name)
    parameters = _SCIPY_OF_TORCH[kind](lambda parameter: float(getattr(law, parameter)))
    if kind == "LogNormal":  # exp(loc) may overflow where the law does not
        return _exact("lognormal", name, float(law.loc), float(law.scale), 0.0)
    return _from_scipy(parameters, name)


def _by_functions_of_torch(law: Any, name: str) -> Marginal:
    """Other law of torch with `cdf` and `icdf`: above 8 sigma its upper tail is lost in 1 - F."""
    try:
        _call_torch(law.cdf, _call_torch(law.icdf, np.array([0.5])))
    except (NotImplementedError, ValueError):
        raise TypeError(
            f"The law of '{name}', {law!r}, has no `cdf` and `icdf`; give the law of SciPy of the "
            f"same name, or one of torch among {', '.join(_SCIPY_OF_TORCH)}."
        ) from None
    low = float(_call_torch(law.icdf, np.array([0.0]))[0])
    high = float(_call_torch(law.icdf, np.array([1.0]))[0])
    mean, sd = _moments_by_quantiles(partial(_call_torch, law.icdf))
    return GeneralMarginal(
        partial(_log_of_torch, law.cdf, False),
        partial(_log_of_torch, law.cdf, True),
        partial(_call_torch, law.icdf),
        partial(_upper_quantile_of_torch, law.icdf),
        partial(_call_torch, law.log_prob),
        (low, high),
        mean,
        sd,
    )


def _moments_by_quantiles(quantile: Callable[[Array], Array]) -> tuple[float, float]:
    nodes, weights = np.polynomial.legendre.leggauss(400)
    values = quantile(0.5 * (nodes + 1.0))
    mean = float(0.5 * weights @ values)
    return mean, math.sqrt(float(0.5 * weights @ (values - mean) ** 2))


def _call_torch(function: Any, values: Array) -> Array:
    torch = sys.modules["torch"]  # loaded by whoever built the law
    shape = np.shape(values)
    result = function(torch.from_numpy(np.ascontiguousarray(values).reshape(-1, 1)))
    return np.asarray(result.detach().cpu().numpy(), dtype=np.float64).reshape(shape)


def _log_of_torch(cdf: Any, upper: bool, values: Array) -> Array:
    share = _call_torch(cdf, values)
    with np.errstate(all="ignore"):
        return np.log1p(-share) if upper else np.log(share)


def _upper_quantile_of_torch(icdf: Any, values: Array) -> Array:
    return _call_torch(icdf, 1.0 - values)


def _is_openturns(law: Any) -> bool:
    return _has(law, "computeQuantile", "computeCDF")


def _from_openturns(law: Any, name: str) -> Marginal:
    """Law of OpenTURNS, asked for samples at once."""
    if law.getDimension() != 1:
        raise _several(law, name)
    if law.isDiscrete():
        raise _discrete(law, name)
    law = law.getImplementation() if hasattr(law, "getImplementation") else law
    kind = law.getClassName() if hasattr(law, "getClassName") else ""
    mean, sd = float(law.getMean()[0]), float(law.getStandardDeviation()[0])
    if kind == "Normal":
        return _exact("normal", name, mean, sd)
    if kind == "Uniform":
        return _exact("uniform", name, law.getA(), law.getB())
    if kind == "LogNormal":
        return _exact("lognormal", name, law.getMuLog(), law.getSigmaLog(), law.getGamma())
    interval = law.getRange()
    low = interval.getLowerBound()[0] if interval.getFiniteLowerBound()[0] else -math.inf
    high = interval.getUpperBound()[0] if interval.getFiniteUpperBound()[0] else math.inf
    log_pdf = getattr(law, "computeLogPDF", None)
    return GeneralMarginal(
        partial(_openturns_values, law.computeCDF, True),
        partial(_openturns_values, law.computeComplementaryCDF, True),
        partial(_openturns_quantile, law.computeQuantile, False),
        partial(_openturns_quantile, law.computeQuantile, True),
        partial(_openturns_values, log_pdf or law.computePDF, log_pdf is None),
        (float(low), float(high)),
        mean,
        sd,
    )


def _openturns_values(function: Any, logarithm: bool, values: Array) -> Array:
    column = np.asarray(function(values.reshape(-1, 1)), dtype=np.float64)
    with np.errstate(all="ignore"):
        return (np.log(column) if logarithm else column).reshape(values.shape)


def _openturns_quantile(function: Any, upper: bool, values: Array) -> Array:
    column = np.asarray(function(values.tolist(), upper), dtype=np.float64)
    return column.reshape(values.shape)
