"""What a Gaussian process is to be: kernel, mean and priors. Nothing is computed here.

Notation
--------
d       number of columns
nu, p   the shape parameters of "matern" and "power_exponential"
"""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from bayesopt.arguments import check_name, finite_number
from bayesopt.models.prior import LogNormal, Prior, TruncatedNormal, Uniform

KernelName = Literal["matern52", "rbf", "matern12", "matern32", "matern", "power_exponential"]
MeanName = Literal["constant", "linear", "quadratic"]
ShapeName = Literal["nu", "power"]
FidelityName = Literal["auto", "increments", "decay", "noise"]

_SHAPE_OF: dict[str, ShapeName] = {"matern": "nu", "power_exponential": "power"}
BOUNDS = {"lengthscale": (5e-3, 1e3), "signal": (1e-3, 1e4), "noise": (1e-8, 1e2)}
LARGEST_SHAPE: dict[str, float] = {"nu": 50.0, "power": 2.0}
_SPOKEN = {
    "matern12": "Matern-1/2",
    "matern32": "Matern-3/2",
    "matern52": "Matern-5/2",
    "rbf": "RBF",
    "matern": "Matern",
    "power_exponential": "power exponential",
}


@dataclass(frozen=True)
class Priors:
    """Prior laws of the hyperparameters; None takes the default.

    Scores are standardised and the space is the unit cube, so that the defaults fit most problems.

    Parameters
    ----------
    lengthscale
        Of every length-scale. The default is LogNormal(log(0.35) + log(d) / 2, 1): it grows with
        the dimension as sqrt(d), so that distances stay comparable to the length-scales (Hvarfner,
        Hellsten & Nardi 2024). A prior of your own is taken as it is, whatever the dimension, but
        nothing is searched outside of 0.005 to 1000.
    signal
        Of the signal variance. By default it is learnt only where all observations are exact,
        under LogNormal(0, 1), and is 1 otherwise, the variance of the scores: as a search gathers
        near the optimum, what varies there is mostly noise, and a learnt one shrinks until nothing
        seems worth exploring. A prior of your own makes it learnt in any case.
    noise
        Of the noise variance, which is learnt where an observation comes without one, between
        1e-8 and 100. The default is LogNormal(-4, 4).
    shape
        Of nu or p, where it is learnt. The default is LogNormal(log(2.5), 0.75) for nu, and
        TruncatedNormal(2, 0.5, 0.1, 2) for p.

    Raises
    ------
    TypeError, ValueError
        If one is no prior law, or lies where no hyperparameter can.
    """

    lengthscale: Prior | None = None
    signal: Prior | None = None
    noise: Prior | None = None
    shape: Prior | None = None

    def __post_init__(self) -> None:
        for name, prior in vars(self).items():
            if not isinstance(prior, Prior | None):
                raise TypeError(
                    f"Prior of the {name} must be a Uniform, Normal, LogNormal or TruncatedNormal, "
                    f"but got {prior!r}."
                )
            low, high = BOUNDS.get(name, (0.0, math.inf))
            if prior is not None and (prior.limits[1] < low or prior.limits[0] > high):
                raise ValueError(
                    f"Prior of the {name} must reach into [{low:g}, {high:g}], since scores are "
                    f"standardised and the space is the unit cube, but got {prior!r}."
                )

    def of(self, name: str, d: int, shape: ShapeName | None = None) -> Prior:
        """The prior of one hyperparameter in d dimensions, defaults filled in."""
        given: Prior | None = getattr(self, name)
        if given is not None:
            return given
        if name == "lengthscale":
            return LogNormal(math.log(0.35) + 0.5 * math.log(d), 1.0)
        if name == "shape":
            return _OF_SHAPE[shape or "nu"]
        return {"signal": LogNormal(0.0, 1.0), "noise": LogNormal(-4.0, 4.0)}[name]


_SMOOTH = ("matern52", "rbf")

_OF_SHAPE: dict[ShapeName, Prior] = {
    "nu": LogNormal(math.log(2.5), 0.75),
    "power": TruncatedNormal(2.0, 0.5, 0.1, 2.0),
}


@dataclass(frozen=True)
class GaussianProcess:
    """A Gaussian process to be fitted.

    Parameters
    ----------
    kernel
        "matern52", "matern32", "matern12" and "rbf": from rough to smooth 12, 32, 52, rbf.
        "matern": any smoothness `nu`. "power_exponential": exp(-sum_j |x_j - x'_j|^p / l_j^p)
        with p = `power`, a product of one kernel for each parameter.
    nu
        Smoothness of "matern", above 0 and up to 50; None learns it.
    power
        p of "power_exponential", above 0 and up to 2; None learns it.
    mean
        Prior mean: "constant", or "linear" or "quadratic" in the parameters that are no
        categories. The coefficients are at their best value for the other hyperparameters, by
        generalised least squares; all but the constant have a weak normal prior (see
        `bayesopt.models.trend`), so that few observations do not bend it.
    priors
        Prior laws of the hyperparameters.
    fidelity
        What a parameter with ``role="fidelity"`` does (see `bayesopt.models.joint.structures`):
        "increments" adds independent biases from level to level (for an Int), "decay" one bias
        that is the smaller, the nearer to the target; "noise" says that all levels observe the
        target, with the more noise the farther from it. "auto" is "increments" up to five levels
        and else "decay".
    bias_groups
        Of a parameter with ``role="source"``: sets of sources that err alike, by their names.

    Raises
    ------
    ValueError, TypeError
        If a name is not known or a number out of range; the text says what is allowed.

    Examples
    --------
    >>> GaussianProcess("matern", nu=1.0, priors=Priors(lengthscale=Uniform(0.05, 2.0))).nu
    1.0
    """

    kernel: KernelName = "matern52"
    nu: float | None = None
    power: float | None = None
    mean: MeanName = "constant"
    priors: Priors = field(default_factory=Priors)
    fidelity: FidelityName = "auto"
    bias_groups: tuple[tuple[str | int | float | bool | None, ...], ...] = ()

    def __post_init__(self) -> None:
        check_name("kernel", self.kernel, get_args(KernelName))
        check_name("mean", self.mean, get_args(MeanName))
        check_name("fidelity", self.fidelity, get_args(FidelityName))
        groups = tuple(tuple(group) for group in self.bias_groups)
        if any(len(group) < 2 or len(set(group)) < len(group) for group in groups):
            raise ValueError(
                f"`bias_groups` are sets of two or more different sources, but got {groups}."
            )
        object.__setattr__(self, "bias_groups", groups)
        if not isinstance(self.priors, Priors):
            raise TypeError(f"`priors` must be a bayesopt.Priors, but got {self.priors!r}.")
        for kernel, name in _SHAPE_OF.items():
            self._check_shape(kernel, name)
        self._check_prior_of_shape()

    @property
    def takes_derivatives(self) -> bool:
        """Whether it can learn from partial derivatives: smooth enough, and without a trend."""
        return self.kernel in _SMOOTH and self.mean == "constant"

    def _check_shape(self, kernel: str, name: ShapeName) -> None:
        given = getattr(self, name)
        if given is None:
            return
        if self.kernel != kernel:
            raise ValueError(f"`{name}` belongs to the kernel {kernel!r}, not to {self.kernel!r}.")
        number = finite_number(given, f"`{name}`")
        if not 0.0 < number <= LARGEST_SHAPE[name]:
            raise ValueError(
                f"`{name}` must be above 0 and at most {LARGEST_SHAPE[name]:g}, but got {given!r}."
            )
        object.__setattr__(self, name, number)

    def _check_prior_of_shape(self) -> None:
        prior = self.priors.shape
        if prior is None:
            return
        if not self.learns_shape:
            raise ValueError(
                "A prior of the shape needs a shape that is learnt: the kernel 'matern' without "
                f"`nu` or 'power_exponential' without `power`, but this one is {self}."
            )
        if isinstance(prior, Uniform | TruncatedNormal):
            largest = LARGEST_SHAPE[self.shape_name or "nu"]
            if prior.high > largest:
                raise ValueError(
                    f"The prior of `{self.shape_name}` may reach up to {largest:g}, "
                    f"but got {prior!r}."
                )

    @property
    def shape_name(self) -> ShapeName | None:
        """Name of the kernel's shape parameter, None where it has none."""
        return _SHAPE_OF.get(self.kernel)

    @property
    def shape(self) -> float | None:
        """nu or p where it is given, else None."""
        return self.nu if self.nu is not None else self.power

    @property
    def learns_shape(self) -> bool:
        """Whether nu or p is learnt."""
        return self.shape_name is not None and self.shape is None

    def __str__(self) -> str:
        kernel = _SPOKEN[self.kernel]
        if self.shape_name is not None:
            kernel += f", {self.shape_name} " + (
                "learnt" if self.shape is None else f"= {self.shape:g}"
            )
        if self.mean != "constant":
            kernel += f", {self.mean} mean"
        return f"Gaussian process ({kernel})"
