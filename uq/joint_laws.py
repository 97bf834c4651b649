"""Joint laws of a user's own, and one door for everything that is a law."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from bayesopt.arguments import real_numbers, whole_number
from uq.inputs import Inputs, Seed, checked_points
from uq.marginal_sources import marginal_of
from uq.marginals import NormalMarginal

Array = NDArray[np.float64]


@runtime_checkable
class Law(Protocol):
    """Joint law of d named inputs: it draws points and knows its density."""

    names: tuple[str, ...]
    dimension: int

    def sample(self, n: int, rng: Seed = None) -> Array:
        """Draw (n, d) points."""

    def log_density(self, x: ArrayLike) -> Array:
        """Logarithm (n,) of the density at (n, d) points."""


class JointLaw:
    """Joint law by two functions.

    Parameters
    ----------
    sample
        ``sample(n, rng)`` draws (n, d) points with the NumPy generator `rng`.
    log_density
        ``log_density(x)`` is the logarithm (n,) of the density, normalised, at (n, d) points; -inf
        outside the support.
    dimension
        Number d of inputs.
    names
        Names of the inputs; x1, x2, ... when left out.

    Raises
    ------
    TypeError, ValueError
        When an argument is wrong; by `sample` and `log_density` when what a function returns has
        the wrong shape, points that are not finite, or densities that are NaN or infinite.
    """

    def __init__(
        self,
        sample: Callable[[int, np.random.Generator], ArrayLike],
        log_density: Callable[[Array], ArrayLike],
        dimension: int,
        names: Sequence[str] | None = None,
    ) -> None:
        for name, function in (("sample", sample), ("log_density", log_density)):
            if not callable(function):
                raise TypeError(f"`{name}` of a joint law must be a function, got {function!r}.")
        self._sample = sample
        self._log_density = log_density
        self.dimension = whole_number(dimension, "dimension", 1)
        self.names: tuple[str, ...] = tuple(
            (f"x{k + 1}" for k in range(self.dimension)) if names is None else names
        )
        if len(self.names) != self.dimension or len(set(self.names)) != self.dimension:
            raise ValueError(
                f"`names` must be {self.dimension} different names, but got {list(self.names)}."
            )

    def sample(self, n: int, rng: Seed = None) -> Array:
        """Draw (n, d) points."""
        n = whole_number(n, "n", 0)
        points = real_numbers(self._sample(n, np.random.default_rng(rng)), "sample(n, rng)")
        if points.shape != (n, self.dimension):
            advice = "; return its transpose" if points.shape == (self.dimension, n) else ""
            raise ValueError(
                f"`sample(n, rng)` of a joint law returned the shape {points.shape}, not "
                f"(n, dimension) = ({n}, {self.dimension}){advice}."
            )
        if not np.isfinite(points).all():
            raise ValueError("`sample(n, rng)` of a joint law returned NaN or infinite numbers.")
        return points

    def log_density(self, x: ArrayLike) -> Array:
        """Logarithm (n,) of the density at (n, d) points."""
        points = checked_points(x, self.dimension)
        value = real_numbers(self._log_density(points), "log_density(x)")
        if value.shape == () and len(points) == 1:  # SciPy drops the axis of a single point
            value = value.reshape(1)
        if value.shape != (len(points),):
            raise ValueError(
                f"`log_density(x)` of a joint law returned the shape {value.shape}, not one "
                f"number for each point, ({len(points)},)."
            )
        if np.isnan(value).any() or np.isposinf(value).any():
            raise ValueError(
                "`log_density(x)` of a joint law returned NaN or inf; outside the support it is "
                "-inf."
            )
        return value

    def __repr__(self) -> str:
        return f"JointLaw({', '.join(self.names)})"


def law_of(law: Any) -> Inputs | JointLaw:
    """Return the joint law behind whatever is one.

    Parameters
    ----------
    law
        `Inputs` or `JointLaw` (returned as they are); an object with the methods
        ``sample(n, rng)`` and ``log_density(x)``, and `dimension` and `names` if it has them; a
        frozen law of several variables of scipy.stats; a mapping or list of laws of one variable;
        a single law of one variable.

    Raises
    ------
    TypeError, ValueError
        When `law` is none of these, or has no density.
    """
    if isinstance(law, Inputs | JointLaw):
        return law
    if isinstance(law, Mapping | list | tuple):
        return Inputs(law)
    if not isinstance(law, type):
        if callable(getattr(law, "log_density", None)) and callable(getattr(law, "sample", None)):
            return _from_methods(law)
        if isinstance(law, type(stats.multivariate_normal(np.zeros(1)))):
            return _from_multivariate_normal(law)
        if hasattr(law, "rvs") and hasattr(law, "logpdf") and not hasattr(law, "ppf"):
            return _from_scipy(law)
        densities = ("log_density", "logpdf", "log_prob", "computePDF", "logpmf")
        draws = ("sample", "rvs", "getSample")
        if any(hasattr(law, draw) for draw in draws) and not any(
            hasattr(law, density) for density in densities
        ):
            raise TypeError(
                f"The law {law!r} draws points but has no density: it needs a method "
                "`log_density(x)` -> (n,), or give uq.JointLaw(sample, log_density, dimension)."
            )
    return Inputs([marginal_of(law, "x1")])


def _from_methods(law: Any) -> JointLaw:
    """Object with `sample` and `log_density`; one draw tells its dimension where it does not."""
    dimension = getattr(law, "dimension", None)
    if dimension is None:
        draw = real_numbers(law.sample(2, np.random.default_rng(0)), "sample(n, rng)")
        if draw.ndim != 2 or len(draw) != 2:
            raise ValueError(f"`sample(2, rng)` of {law!r} returned the shape {draw.shape}.")
        dimension = draw.shape[1]
    return JointLaw(law.sample, law.log_density, dimension, getattr(law, "names", None))


def _from_multivariate_normal(law: Any) -> Inputs:
    """Normal marginals with the correlation of `law`."""
    covariance = np.atleast_2d(law.cov)
    sd = np.sqrt(np.diag(covariance))
    if not (sd > 0.0).all():
        raise ValueError(f"The law {law!r} has an input of variance zero, so it has no density.")
    mean = np.atleast_1d(law.mean)
    marginals = [NormalMarginal(float(m), float(s)) for m, s in zip(mean, sd, strict=True)]
    return Inputs(marginals, covariance / np.outer(sd, sd))


def _from_scipy(law: Any) -> JointLaw:
    """Frozen law of several variables of scipy.stats."""
    draw = np.asarray(law.rvs(size=2, random_state=0))
    if draw.ndim != 2:
        raise ValueError(f"The law {law!r} draws the shape {draw.shape[1:]}, not a point of (d,).")
    return JointLaw(partial(_scipy_sample, law), law.logpdf, draw.shape[1])


def _scipy_sample(law: Any, n: int, rng: np.random.Generator) -> Array:
    return np.asarray(law.rvs(size=n, random_state=rng), dtype=np.float64).reshape(n, -1)
