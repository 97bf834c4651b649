"""Failure probabilities with known values: closed forms and one-dimensional quadratures.

The digits were computed with 30 digits of precision; the tests compute them again by other ways.
RP.. are problems of the public challenge of Rozsas & Slobbe (2019).

Notation
--------
g           limit state, (n, d) -> (n,); a point fails where g < 0
p           P(g(X) < 0)
z_i, Phi    independent standard normal inputs, and their distribution function
beta        reliability index, p = Phi(-beta)
u, v        (z_1 + z_2) / sqrt 2 and (z_1 - z_2) / sqrt 2, again standard normal

    linear      beta sqrt d - sum z
    R - S       normal, correlation rho     beta = (m_R - m_S) / sqrt(V),
                                            V = s_R^2 + s_S^2 - 2 rho s_R s_S
    product     prod x_i - t, log x ~       beta = (sum_i m_i - log t) / sqrt(sum_ij C_ij)
                N(m, C)
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import stats

import uq

Array = NDArray[np.float64]
LimitState = Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class ReliabilityCase:
    """A limit state, the laws of its inputs and the exact probability of failure.

    `bars` maps a number of evaluations to the coefficient of variation that is asked for there.
    """

    name: str
    limit_state: LimitState
    inputs: uq.Inputs
    exact: float
    bars: Mapping[int, float] = field(default_factory=dict)

    @property
    def dimension(self) -> int:
        """Number of inputs."""
        return self.inputs.dimension


def four_branch(x: Array) -> Array:
    """Series system of four limits (Waarts 2000), k = 7: two parabolas in u, two lines in v."""
    u, v = (x[:, 0] + x[:, 1]) / math.sqrt(2.0), (x[:, 0] - x[:, 1]) / math.sqrt(2.0)
    return np.minimum(3.0 + 0.2 * v**2 - np.abs(u), 7.0 / math.sqrt(2.0) - math.sqrt(2.0) * abs(v))


def linear(beta: float) -> LimitState:
    """Half-space at the distance beta from the origin."""
    return lambda x: beta * math.sqrt(x.shape[1]) - x.sum(axis=1)


def rp22(x: Array) -> Array:
    """Convex parabola."""
    return 2.5 - (x[:, 0] + x[:, 1]) / math.sqrt(2.0) + 0.1 * (x[:, 0] - x[:, 1]) ** 2


def rp31(x: Array) -> Array:
    """A gorge: the failure region is a narrow strip along the second axis."""
    return 2.0 - x[:, 1] + 256.0 * x[:, 0] ** 4


def rp33(x: Array) -> Array:
    """Two planes at the same distance."""
    return np.minimum(3.0 * math.sqrt(3.0) - x[:, :3].sum(axis=1), 3.0 - x[:, 2])


def rp54(x: Array) -> Array:
    """Sum of twenty exponential inputs."""
    return x.sum(axis=1) - 8.951


def rp63(x: Array) -> Array:
    """Paraboloid in 100 inputs, far flatter at its design point than it is elsewhere."""
    return 0.1 * np.square(x[:, 1:]).sum(axis=1) - 4.5 - x[:, 0]


def rp75(x: Array) -> Array:
    """Hyperbola: two opposite quadrants fail."""
    return 3.0 - x[:, 0] * x[:, 1]


def rp111(x: Array) -> Array:
    """Hyperbolas in all four quadrants."""
    return 12.5 - np.abs(x[:, 0] * x[:, 1])


def resistance_less_load(x: Array) -> Array:
    """R - S."""
    return x[:, 0] - x[:, 1]


def product_above(threshold: float) -> LimitState:
    """Fails where the product of all inputs is below the threshold."""
    return lambda x: np.prod(x, axis=1) - threshold


def _normal(d: int) -> uq.Inputs:
    return uq.Inputs([stats.norm()] * d)


_LOG_SD = (0.2, 0.3, 0.5)
_CASES = (
    ReliabilityCase(
        "four_branch", four_branch, _normal(2), 2.222795066194439887e-3, {4000: 0.003, 500: 0.05}
    ),
    ReliabilityCase("linear_3.5_d2", linear(3.5), _normal(2), 2.326290790355250363e-4),
    ReliabilityCase("linear_5_d2", linear(5.0), _normal(2), 2.866515718791939117e-7, {4000: 0.05}),
    ReliabilityCase(
        "linear_5_d100", linear(5.0), _normal(100), 2.866515718791939117e-7, {4000: 0.05}
    ),
    ReliabilityCase("rp22", rp22, _normal(2), 4.207305511299617942e-3, {4000: 0.003, 500: 0.05}),
    ReliabilityCase("rp31", rp31, _normal(2), 3.226681209587691038e-3, {4000: 0.02}),
    ReliabilityCase("rp33", rp33, _normal(3), 2.575597790800259411e-3, {4000: 0.01, 500: 0.05}),
    ReliabilityCase(
        "rp54", rp54, uq.Inputs([stats.expon()] * 20), 9.906030725172152870e-4, {4000: 0.03}
    ),
    ReliabilityCase("rp63", rp63, _normal(100), 3.769436118330521873e-4, {4000: 0.02}),
    ReliabilityCase("rp75", rp75, _normal(2), 9.819298721546890556e-3, {4000: 0.003, 500: 0.05}),
    ReliabilityCase("rp111", rp111, _normal(2), 8.035085964959795935e-7, {4000: 0.05}),
    ReliabilityCase(
        "r_minus_s",
        resistance_less_load,
        uq.Inputs({"R": stats.norm(4.0, 1.0), "S": stats.norm(2.0, 1.0)}),
        7.864960352514256533e-2,
    ),
    ReliabilityCase(
        "r_minus_s_correlated",
        resistance_less_load,
        uq.Inputs(
            {"R": stats.norm(180.0, 20.0), "S": stats.norm(100.0, 15.0)},
            correlation={("R", "S"): 0.4},
        ),
        2.279284346219629755e-5,
    ),
    ReliabilityCase(
        "lognormal_product",
        product_above(0.1),
        uq.Inputs(
            {f"x{i + 1}": stats.lognorm(sd) for i, sd in enumerate(_LOG_SD)},
            correlation={("x1", "x2"): 0.5, ("x1", "x3"): -0.3, ("x2", "x3"): 0.2},
        ),
        2.589940689568932255e-4,
    ),
)

CASES: dict[str, ReliabilityCase] = {case.name: case for case in _CASES}

# Those over which the coverage of the intervals is pooled.
NINE = (
    "rp22", "rp31", "rp33", "rp54", "rp63", "rp75", "rp111", "linear_5_d2", "linear_5_d100",
)  # fmt: skip
