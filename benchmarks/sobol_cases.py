"""Models with known Sobol' indices: closed forms and public models of engineering.

Each truth is a closed form or a converged quadrature, never a sample; its error is below 1e-9.

Notation
--------
func        (n, d) -> (n,)
V           variance of the output
S_i, T_i    first-order and total-order index of input i
p_i         variance of factor i of a product of factors with mean 1
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

import uq
from benchmarks.engineering_models import (
    beam_inputs,
    beam_rules,
    borehole_inputs,
    borehole_rules,
    cycle_time,
    flood_inputs,
    flood_rules,
    overflow,
    piston_inputs,
    piston_rules,
    water_flow,
)
from benchmarks.expectation_cases import deflection
from benchmarks.sobol_quadrature import Indices, Rule, indices_by_quadrature, uniform_rule

Array = NDArray[np.float64]
Model = Callable[[Array], Array]


@dataclass(frozen=True)
class SobolCase:
    """A model, the laws of its independent inputs, and the exact indices (d,) of its output."""

    name: str
    func: Model
    inputs: uq.Inputs
    first_order: Array
    total_order: Array
    mean: float
    variance: float

    @property
    def dimension(self) -> int:
        """Number of inputs."""
        return self.inputs.dimension


def _case(name: str, func: Model, inputs: uq.Inputs, truth: Indices) -> SobolCase:
    for indices in (truth.first_order, truth.total_order):
        indices.setflags(write=False)  # a case is shared by all who ask for it
    return SobolCase(
        name, func, inputs, truth.first_order, truth.total_order, truth.mean, truth.variance
    )


def _by_quadrature(name: str, func: Model, inputs: uq.Inputs, rules: Sequence[Rule]) -> SobolCase:
    return _case(name, func, inputs, indices_by_quadrature(func, rules))


def _truth(mean: float, variance: float, first: ArrayLike, total: ArrayLike) -> Indices:
    """Indices out of the numerators of S and of T."""
    return Indices(mean, variance, np.asarray(first) / variance, np.asarray(total) / variance)


def _parts(*of_144: int) -> Array:
    return np.array(of_144) / 144.0


def _uniform(d: int, low: float = 0.0, high: float = 1.0) -> uq.Inputs:
    return uq.Inputs([stats.uniform(low, high - low)] * d)


@cache
def ishigami(b: float = 0.1, name: str = "ishigami") -> SobolCase:
    """sin x1 + 7 sin^2 x2 + b x3^4 sin x1 on (-pi, pi)^3 (Ishigami & Homma 1990)."""

    a = 7.0

    def func(x: Array) -> Array:
        return np.sin(x[:, 0]) * (1.0 + b * x[:, 2] ** 4) + a * np.sin(x[:, 1]) ** 2

    first = [0.5 * (1.0 + b * math.pi**4 / 5.0) ** 2, a**2 / 8.0, 0.0]
    joint = 8.0 * b**2 * math.pi**8 / 225.0
    total = [first[0] + joint, first[1], joint]
    truth = _truth(a / 2.0, sum(first) + joint, first, total)
    return _case(name, func, _uniform(3, -math.pi, math.pi), truth)


@cache
def g_function(
    a: tuple[float, ...] = (0.0, 1.0, 4.5, 9.0, 99.0, 99.0, 99.0, 99.0), name: str = "g_function"
) -> SobolCase:
    """prod_i (|4 x_i - 2| + a_i) / (1 + a_i) on (0, 1)^d (Sobol' 1993)."""
    offsets = np.array(a)

    def func(x: Array) -> Array:
        return np.prod((np.abs(4.0 * x - 2.0) + offsets) / (1.0 + offsets), axis=1)

    p = 1.0 / (3.0 * (1.0 + offsets) ** 2)
    second = float(np.prod(1.0 + p))
    truth = _truth(1.0, second - 1.0, p, p * second / (1.0 + p))
    return _case(name, func, _uniform(len(a)), truth)


@cache
def bratley(d: int = 8) -> SobolCase:
    """sum_i (-1)^i x_1 ... x_i on (0, 1)^d (Bratley, Fox & Niederreiter 1992)."""
    signs = (-1.0) ** np.arange(1, d + 1)

    def func(x: Array) -> Array:
        return np.cumprod(x, axis=1) @ signs

    rules = [uniform_rule(0.0, 1.0, 2)] * d  # affine in each input: two nodes make no error
    return _by_quadrature("bratley", func, _uniform(d), rules)


@cache
def product_and_sum() -> SobolCase:
    """x1 x2 + x3 on (0, 1)^3."""
    truth = _truth(0.75, 19.0 / 144.0, _parts(3, 3, 12), _parts(4, 4, 12))
    return _case("product_and_sum", lambda x: x[:, 0] * x[:, 1] + x[:, 2], _uniform(3), truth)


@cache
def normal_product() -> SobolCase:
    """x1 x2 of standard normals: no first order at all."""
    truth = _truth(0.0, 1.0, [0.0, 0.0], [1.0, 1.0])
    return _case(
        "normal_product", lambda x: x[:, 0] * x[:, 1], uq.Inputs([stats.norm()] * 2), truth
    )


@cache
def normal_sum() -> SobolCase:
    """x1 + 2 x2 + 3 x3 - x4 of normals with the means 1 and the deviations 1, 1, 0.5, 0.1."""
    slopes, sd = np.array([1.0, 2.0, 3.0, -1.0]), np.array([1.0, 1.0, 0.5, 0.1])
    parts = (slopes * sd) ** 2
    truth = _truth(float(slopes.sum()), float(parts.sum()), parts, parts)
    inputs = uq.Inputs([stats.norm(1.0, one) for one in sd])
    return _case("normal_sum", lambda x: x @ slopes, inputs, truth)


@cache
def jump() -> SobolCase:
    """1{x1 + x2 > 1} + x1 x3 on (0, 1)^3: a jump along no axis.

    The conditional means are 3 x1 / 2, x2 + 1/4 and (1 + x3) / 2; the conditional variances given
    all but one x2 (1 - x2) (1 + x3) + x3^2 / 12, x1 (1 - x1) and x1^2 / 12.
    """
    truth = _truth(0.75, 55.0 / 144.0, _parts(27, 12, 3), _parts(40, 24, 4))
    return _case(
        "jump", lambda x: (x[:, 0] + x[:, 1] > 1.0) + x[:, 0] * x[:, 2], _uniform(3), truth
    )


@cache
def piston() -> SobolCase:
    """Cycle time of a piston, seven inputs."""
    return _by_quadrature("piston", cycle_time, piston_inputs(), piston_rules())


@cache
def borehole() -> SobolCase:
    """Flow through a borehole, eight inputs."""
    return _by_quadrature("borehole", water_flow, borehole_inputs(), borehole_rules())


@cache
def flood() -> SobolCase:
    """Overflow of a river, eight inputs."""
    return _by_quadrature("flood", overflow, flood_inputs(), flood_rules())


@cache
def beam() -> SobolCase:
    """Deflection of a cantilever beam, six inputs."""
    return _by_quadrature("beam", deflection, beam_inputs(), beam_rules())


CASES: dict[str, Callable[[], SobolCase]] = {
    "ishigami": ishigami,
    "ishigami_b005": partial(ishigami, 0.05, "ishigami_b005"),
    "g_function": g_function,
    "g0": partial(g_function, (0.0,) * 8, "g0"),
    "bratley": bratley,
    "product_and_sum": product_and_sum,
    "normal_product": normal_product,
    "normal_sum": normal_sum,
    "jump": jump,
    "piston": piston,
    "borehole": borehole,
    "flood": flood,
    "beam": beam,
}
