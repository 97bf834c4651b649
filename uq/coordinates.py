"""Unbounded, roughly standardised coordinates of one or several input laws.

Notation
--------
n, d, L     points, inputs, laws
x, z        (n, d) inputs and coordinates
y           normal scores of x under a law, Phi(y_k) = F_k(x_k)
t           chart of a column: x as an unbounded number, by the ends of the support
c, s        mean and standard deviation of t over the equal mixture of the laws

    one law of `Inputs`     z = R^(-1/2) y, exactly standard normal
    several                 z = (t(x) - c) / s, column by column

    log f_z(z) = log f(x) + sum_k log|dx_k/dt_k| + log s_k

A normal law in an identity chart and a lognormal law in a logarithmic one are normal in z; their
densities are taken from there, so that nothing is lost where f(x) or dx/dz leaves the range of
floating-point numbers.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from uq.charts import Chart, ScoreChart, chart_of
from uq.inputs import Inputs, Seed
from uq.joint_laws import Law
from uq.marginals import Marginal

Array = NDArray[np.float64]

_LOG_ROOT_2PI = 0.5 * math.log(2.0 * math.pi)
_DRAWS = 4096  # points of each law for the standardisation, where there is a joint law
_NODES = 32
_LAST_NODE = 12.0  # z^40 phi(z) there is 1e-11 of its maximum
_INNER = 5.0  # scores used for the standardisation: the ends of a heavy tail would rule it


class Coordinates(ABC):
    """Coordinates z in which proposals live.

    Attributes
    ----------
    names, dimension
        Names and number of the columns.
    bounded_columns
        (d,) whether the support of a column is bounded in all laws. There Phi(z) lies in (0, 1)
        as the column lies in its interval, and is uniform where all the laws are uniform on it.
    """

    names: tuple[str, ...]
    bounded_columns: NDArray[np.bool_]

    @staticmethod
    def of(laws: Sequence[Law], rng: Seed = None) -> "Coordinates":
        """Coordinates for these laws.

        Parameters
        ----------
        laws
            One or several laws of the same inputs.
        rng
            Seed or NumPy generator; used where a joint law is among them.

        Raises
        ------
        ValueError
            When there is none, or their names differ; when a joint law has a column that does not
            vary.
        """
        laws = list(laws)
        if not laws:
            raise ValueError("`laws` is empty; give at least one law.")
        for law in laws[1:]:
            if tuple(law.names) != tuple(laws[0].names):
                raise ValueError(
                    "All laws must be of the same inputs, in the same order, but got "
                    f"{list(laws[0].names)} ({laws[0].dimension}) and {list(law.names)} "
                    f"({law.dimension})."
                )
        inputs = [law for law in laws if isinstance(law, Inputs)]
        if len(inputs) < len(laws):
            return _sampled_coordinates(laws, np.random.default_rng(rng))
        if all(law is inputs[0] for law in inputs):
            return NormalCoordinates(inputs[0])
        return _charted_coordinates(inputs)

    @property
    def dimension(self) -> int:
        """Number of columns."""
        return len(self.names)

    @abstractmethod
    def to_z(self, x: Array) -> Array:
        """Coordinates (n, d) of points (n, d)."""

    @abstractmethod
    def to_x(self, z: Array) -> Array:
        """Points (n, d) of coordinates (n, d)."""

    @abstractmethod
    def gaussian_in_z(self, law: Law) -> tuple[Array, Array] | None:
        """Mean (d,) and covariance (d, d) of z when `law` makes it normal, else None."""

    @abstractmethod
    def score_nodes(self, law: Law, k: int, n: int) -> tuple[Array, Array]:
        """Nodes z_k (n,) and weights (n,) for functions of column k under `law`.

        Where the columns are independent under `law`, sum_i weights_i g(nodes_i) = E[g(z_k)]. The
        nodes are those of the trapezoidal rule over the scores from -12 to 12. Polynomials of
        Phi(z_k) turn as often as their degree near the centre, where Gauss-Hermite nodes stand
        too far apart.
        """

    @abstractmethod
    def log_slope(self, z: Array, x: Array) -> Array:
        """log|dx/dz| (n,)."""

    def log_densities(self, laws: Sequence[Law], z: Array, x: Array) -> Array:
        """Logarithms (n, L) of the densities of z under the laws.

        Parameters
        ----------
        laws
            The L laws.
        z, x
            (n, d) coordinates and the points there, ``x = to_x(z)``.
        """
        result = np.empty((len(z), len(laws)))
        log_slope: Array | None = None
        for column, law in enumerate(laws):
            normal = self.gaussian_in_z(law)
            if normal is not None:
                result[:, column] = _log_normal_density(z, *normal)
                continue
            if log_slope is None:
                log_slope = self.log_slope(z, x)
            result[:, column] = law.log_density(x) + log_slope
        return result


class NormalCoordinates(Coordinates):
    """Independent standard normal space of one law of inputs.

    Parameters
    ----------
    inputs
        The law.
    """

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.names = inputs.names
        self.bounded_columns = np.array([law.bounded for law in inputs.marginals])

    def to_z(self, x: Array) -> Array:
        """Independent standard normal variables of `x`."""
        return self.inputs.to_normal(x)

    def to_x(self, z: Array) -> Array:
        """Points of independent standard normal variables."""
        return self.inputs.from_normal(z)

    def gaussian_in_z(self, law: Law) -> tuple[Array, Array] | None:
        """Zero mean and unit covariance for the law itself."""
        if law is not self.inputs:
            return None
        return np.zeros(self.dimension), np.eye(self.dimension)

    def score_nodes(self, law: Law, k: int, n: int) -> tuple[Array, Array]:
        """Scores and weights."""
        if law is not self.inputs:
            raise ValueError("These coordinates have nodes only for the law they were made for.")
        return _trapezoidal(n)

    def log_slope(self, z: Array, x: Array) -> Array:
        """log|dx/dz| (n,)."""
        slope: Array = -0.5 * (z * z).sum(axis=1) - self.dimension * _LOG_ROOT_2PI
        return slope - self.inputs.log_density(x)


class ChartCoordinates(Coordinates):
    """One chart a column, then its standardisation.

    Parameters
    ----------
    names
        Names of the columns.
    charts
        Their charts.
    centre, scale
        (d,) mean and standard deviation of the charted columns.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        charts: Sequence[Chart | ScoreChart],
        centre: Array,
        scale: Array,
    ) -> None:
        self.names = names
        self.charts = tuple(charts)
        self.centre = centre
        self.scale = scale
        self.bounded_columns = np.array([chart.kind == "interval" for chart in charts])

    def to_z(self, x: Array) -> Array:
        """Standardised charts of `x`."""
        charted = [chart.to_line(x[:, k]) for k, chart in enumerate(self.charts)]
        z: Array = (np.stack(charted, axis=1) - self.centre) / self.scale
        return z

    def to_x(self, z: Array) -> Array:
        """Points of `z`."""
        t = self.centre + self.scale * z
        return np.stack([chart.from_line(t[:, k]) for k, chart in enumerate(self.charts)], axis=1)

    def gaussian_in_z(self, law: Law) -> tuple[Array, Array] | None:
        """Mean and covariance, when every marginal is normal in its chart."""
        if not isinstance(law, Inputs):
            return None
        pairs = []
        for chart, marginal in zip(self.charts, law.marginals, strict=True):
            pair = chart.gaussian(marginal)
            if pair is None:
                return None
            pairs.append(pair)
        mean, sd = np.array(pairs).T
        sd = sd / self.scale
        covariance: Array = law.correlation * np.outer(sd, sd)
        return (mean - self.centre) / self.scale, covariance

    def score_nodes(self, law: Law, k: int, n: int) -> tuple[Array, Array]:
        """Nodes of the marginal, in z."""
        if not isinstance(law, Inputs):
            raise ValueError("A joint law has no scores; nodes need a law of `uq.Inputs`.")
        y, weights = _trapezoidal(n)
        t = _charted_scores(self.charts[k], law.marginals[k], y)
        return (t - self.centre[k]) / self.scale[k], weights

    def log_slope(self, z: Array, x: Array) -> Array:
        """log|dx/dz| (n,)."""
        t = self.centre + self.scale * z
        slope = np.full(len(z), float(np.log(self.scale).sum()))
        for k, chart in enumerate(self.charts):
            slope += chart.log_slope(t[:, k])
        return slope


def _charted_coordinates(laws: Sequence[Inputs]) -> ChartCoordinates:
    """Charts of the unions of the supports, standardised by quadrature of the marginals."""
    charts, centre, scale = [], [], []
    y, weights = _hermite(_NODES)
    inner = np.abs(y) <= _INNER
    y, weights = y[inner], weights[inner] / weights[inner].sum()
    for column in zip(*(law.marginals for law in laws), strict=True):
        chart = chart_of(column)
        means, variances = [], []
        for marginal in column:
            pair = chart.gaussian(marginal)
            if pair is None:
                t = _charted_scores(chart, marginal, y)
                mean = float(weights @ t)
                pair = mean, math.sqrt(float(weights @ (t - mean) ** 2))
            means.append(pair[0])
            variances.append(pair[1] ** 2)
        charts.append(chart)
        centre.append(np.mean(means))
        scale.append(math.sqrt(np.mean(variances) + np.var(means)))
    return ChartCoordinates(laws[0].names, charts, np.array(centre), np.array(scale))


def _sampled_coordinates(laws: Sequence[Law], rng: np.random.Generator) -> ChartCoordinates:
    """Identity charts, standardised by a sample of every law."""
    draws = np.concatenate([law.sample(_DRAWS, rng) for law in laws])
    centre, scale = draws.mean(axis=0), draws.std(axis=0)
    names = tuple(laws[0].names)
    if not (np.isfinite(scale) & (scale > 0.0)).all():
        still = [name for name, sd in zip(names, scale, strict=True) if not 0.0 < sd < math.inf]
        raise ValueError(
            f"Inputs {still} do not vary in a sample of the laws, or have no finite variance; "
            "leave out what is constant."
        )
    charts = [Chart("identity", -math.inf, math.inf) for _ in names]
    return ChartCoordinates(names, charts, centre, scale)


def _charted_scores(chart: Chart | ScoreChart, marginal: Marginal, y: Array) -> Array:
    """Chart values (n,) of the normal scores `y` of a marginal law."""
    pair = chart.gaussian(marginal)
    if pair is not None:
        return pair[0] + pair[1] * y
    return chart.to_line(marginal.from_score(y))


def _hermite(n: int) -> tuple[Array, Array]:
    """Nodes and weights of the expectation over N(0, 1)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    return nodes, weights / weights.sum()


def _trapezoidal(n: int) -> tuple[Array, Array]:
    """Nodes and weights of the expectation over N(0, 1), all but exact for smooth functions."""
    nodes = np.linspace(-_LAST_NODE, _LAST_NODE, n)
    weights = np.exp(-0.5 * nodes * nodes)
    return nodes, weights / weights.sum()


def _log_normal_density(z: Array, mean: Array, covariance: Array) -> Array:
    """Logarithm (n,) of the normal density."""
    root = np.linalg.cholesky(covariance)
    inverse = solve_triangular(root, np.eye(len(mean)), lower=True)
    whitened = (z - mean) @ inverse.T
    log_volume = float(np.log(np.diag(root)).sum())
    value: Array = -0.5 * np.einsum("ij,ij->i", whitened, whitened)
    return value - (log_volume + len(mean) * _LOG_ROOT_2PI)
