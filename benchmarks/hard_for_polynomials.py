"""Expectations whose integrand no polynomial fits well, with their exact values."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtr

import uq

Array = NDArray[np.float64]


@dataclass(frozen=True)
class HardCase:
    """One expectation under one law.

    `func` takes points (n, d) and a generator, from which a noisy model draws its noise.
    """

    name: str
    inputs: Any
    func: Callable[[Array, np.random.Generator], Array]
    truth: float


def _uniform(d: int, low: float, high: float) -> uq.Inputs:
    return uq.Inputs([stats.uniform(low, high - low)] * d)


def _exponential_on_the_square(a: float = 5.0) -> float:
    """E exp(a |X|), X uniform on (-1, 1)^2, by quadrature over the triangle 0 < y < x < 1."""
    t, w = np.polynomial.legendre.leggauss(60)
    t, w = (t + 1.0) / 2.0, w / 2.0
    length = np.sqrt(1.0 + t**2)  # y = x t: |X| = x sqrt(1 + t^2), dy = x dt
    inner = np.exp(a * t[:, None] * length) * t[:, None]
    return float(2.0 * w @ inner @ w)


def hard_cases() -> list[HardCase]:
    """Indicator of a disc, a kinked exponential with thin and heavy tails, a step, white noise."""
    tail = 1.0 + 5.0 * math.sqrt(2.0 * math.pi) * float(ndtr(5.0)) * math.exp(12.5)
    return [
        HardCase(
            "indicator of a disc", _uniform(2, -1.0, 1.0),
            lambda x, rng: (np.square(x).sum(axis=1) < 0.5).astype(float), math.pi / 8.0,
        ),
        HardCase(
            "exp(5 abs(x)), uniform", _uniform(2, -1.0, 1.0),
            lambda x, rng: np.exp(5.0 * np.hypot(*x.T)), _exponential_on_the_square(),
        ),
        HardCase(
            "exp(5 abs(x)), normal", uq.Inputs([stats.norm()] * 2),
            lambda x, rng: np.exp(5.0 * np.hypot(*x.T)), tail,
        ),
        HardCase(
            "a step in one of six", _uniform(6, 0.0, 1.0),
            lambda x, rng: x.sum(axis=1) + (x[:, 0] > 1.0 / 3.0), 3.0 + 2.0 / 3.0,
        ),
        HardCase(
            "white noise on a smooth function", _uniform(3, 0.0, 1.0),
            lambda x, rng: np.exp(x).prod(axis=1) + rng.standard_normal(len(x)),
            (math.e - 1.0) ** 3,
        ),
    ]  # fmt: skip
