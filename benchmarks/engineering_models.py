"""Four public models of engineering: function, laws of the inputs, Gauss rules of these laws.

Piston, borehole, flood and cantilever beam, their inputs independent. A rule has no more nodes
than the indices need for nine digits; the numbers of nodes can be raised to see that.

Notation
--------
func        (n, d) -> (n,), the columns in the order of the inputs
rules       one for each input, for `indices_by_quadrature`
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

import uq
from benchmarks.sobol_quadrature import (
    Rule,
    affine_in_power,
    density_rule,
    lognormal_rule,
    normal_rule,
    uniform_rule,
)
from uq.marginals import GeneralMarginal

Array = NDArray[np.float64]

# Mass M in kg, surface S in m^2, volume V0 in m^3, spring k in N/m, pressure P0 in N/m^2,
# temperatures Ta and T0 in K.
_PISTON = {
    "M": (30.0, 60.0), "S": (0.005, 0.02), "V0": (0.002, 0.01), "k": (1000.0, 5000.0),
    "P0": (90_000.0, 110_000.0), "Ta": (290.0, 296.0), "T0": (340.0, 360.0),
}  # fmt: skip


def cycle_time(x: Array) -> Array:
    """Seconds of one cycle of a piston (Ben-Ari & Steinberg 2007)."""
    mass, surface, volume, spring, pressure, ambient, filling = x.T
    push = pressure * volume * ambient / filling
    force = pressure * surface + 19.62 * mass - spring * volume / surface
    gas = surface / (2.0 * spring) * (np.sqrt(force**2 + 4.0 * spring * push) - force)
    return 2.0 * math.pi * np.sqrt(mass / (spring + surface**2 * push / gas**2))


def piston_rules(n: Sequence[int] = (7, 20, 20, 12, 5, 3, 3)) -> list[Rule]:
    """Rules of the piston's inputs; Ta and T0 hardly matter."""
    return [uniform_rule(*ends, k) for ends, k in zip(_PISTON.values(), n, strict=True)]


def piston_inputs() -> uq.Inputs:
    """Seven uniform inputs."""
    return uq.Inputs({k: stats.uniform(low, high - low) for k, (low, high) in _PISTON.items()})


# Radius of influence r in m, transmissivities Tu and Tl in m^2/yr, heads Hu and Hl in m,
# length L in m, conductivity Kw in m/yr; the radius rw in m is normal, r lognormal.
_BOREHOLE = {
    "Tu": (63_070.0, 115_600.0), "Hu": (990.0, 1110.0), "Tl": (63.1, 116.0), "Hl": (700.0, 820.0),
    "L": (1120.0, 1680.0), "Kw": (9855.0, 12_045.0),
}  # fmt: skip
_WELL = (0.1, 0.0161812)
_LOG_INFLUENCE = (7.71, 1.0056)


def water_flow(x: Array) -> Array:
    """Flow through a borehole in m^3/yr (Harper & Gupta 1983).

    Its radius must be positive. The normal law denies that once in 3e9 points; to cut it at zero
    changes the indices by 7e-10.
    """
    well, influence, upper, upper_head, lower, lower_head, length, conductivity = x.T
    log_ratio = np.log(influence / well)
    resistance = log_ratio * (1.0 / upper + 1.0 / lower) + 2.0 * length / (well**2 * conductivity)
    return 2.0 * math.pi * (upper_head - lower_head) / resistance


def borehole_rules(n: Sequence[int] = (12, 10, 4, 2, 6, 2, 7, 6)) -> list[Rule]:
    """Rules of the borehole's inputs; the heads enter linearly."""
    return [
        normal_rule(*_WELL, n[0]),
        lognormal_rule(*_LOG_INFLUENCE, n[1]),
        *(uniform_rule(*ends, k) for ends, k in zip(_BOREHOLE.values(), n[2:], strict=True)),
    ]


def borehole_inputs() -> uq.Inputs:
    """Eight inputs, the radius of the hole normal and not truncated."""
    mu, sigma = _LOG_INFLUENCE
    laws = {"rw": stats.norm(*_WELL), "r": stats.lognorm(sigma, scale=math.exp(mu))}
    laws |= {k: stats.uniform(low, high - low) for k, (low, high) in _BOREHOLE.items()}
    return uq.Inputs(laws)


# Discharge Q in m^3/s, Strickler coefficient Ks; levels Zv, Zm, Zb, height Hd, length L and
# width B in m.
_DISCHARGE = (1013.0, 558.0, 500.0, 3000.0)  # Gumbel: location, scale, lower end, upper end
_FRICTION = (30.0, 8.0, 15.0)  # normal: mean, deviation, lower end
_DIKE = (7.0, 9.0)
_TRIANGLES = {
    "Zv": (49.0, 50.0, 51.0), "Zm": (54.0, 55.0, 56.0), "Zb": (55.0, 55.5, 56.0),
    "L": (4990.0, 5000.0, 5010.0), "B": (295.0, 300.0, 305.0),
}  # fmt: skip


def overflow(x: Array) -> Array:
    """Height of a river over its dike in m (Iooss & Lemaitre 2015)."""
    discharge, friction, downstream, upstream, dike, bank, length, width = x.T
    slope = (upstream - downstream) / length
    height = (discharge / (width * friction * np.sqrt(slope))) ** 0.6
    return height + downstream - bank - dike


def truncated_gumbel(location: float, scale: float, low: float, high: float) -> GeneralMarginal:
    """Gumbel law of maxima between two ends; both tails keep their digits.

    With E(x) = exp(-(x - location) / scale), F = exp(-E) before it is cut, and the logarithms of
    F(x) / F(low) and of F(x) / F(high) are differences of E, written by expm1.
    """
    rate_low, rate_high = np.exp(-(np.array([low, high]) - location) / scale)
    over_low = math.expm1(rate_low - rate_high)  # (F(high) - F(low)) / F(low)
    over_high = -math.expm1(rate_high - rate_low)  # (F(high) - F(low)) / F(high)

    def log_cdf(x: Array) -> Array:
        return np.log(np.expm1(-rate_low * np.expm1(-(x - low) / scale)) / over_low)

    def log_sf(x: Array) -> Array:
        return np.log(-np.expm1(-rate_high * np.expm1((high - x) / scale)) / over_high)

    def quantile(q: Array) -> Array:
        return low - scale * np.log1p(-np.log1p(q * over_low) / rate_low)

    def upper_quantile(q: Array) -> Array:
        return high - scale * np.log1p(-np.log1p(-q * over_high) / rate_high)

    def log_pdf(x: Array) -> Array:
        y = (x - location) / scale
        return -y - np.exp(-y) - math.log(scale) + rate_low - math.log(over_low)

    nodes, weights = density_rule(log_pdf, np.linspace(low, high, 5).tolist(), 20)
    mean = float(weights @ nodes)
    sd = math.sqrt(weights @ (nodes - mean) ** 2)
    return GeneralMarginal(
        log_cdf, log_sf, quantile, upper_quantile, log_pdf, (low, high), mean, sd
    )


def _triangle_rule(low: float, mode: float, high: float, n: int) -> Rule:
    def log_density(x: Array) -> Array:
        return np.log(np.where(x < mode, (x - low) / (mode - low), (high - x) / (high - mode)))

    return density_rule(log_density, (low, mode, high), n)


def flood_rules(n: int = 12) -> list[Rule]:
    """Rules of the flood's inputs: the height is a product of powers but for Zv and Zm."""
    mean, sd, low = _FRICTION
    discharge = density_rule(
        truncated_gumbel(*_DISCHARGE).log_pdf, np.linspace(*_DISCHARGE[2:], 5).tolist(), 2 * n
    )
    friction = density_rule(
        lambda x: -0.5 * ((x - mean) / sd) ** 2,
        np.linspace(low, mean + 10.0 * sd, 5).tolist(),
        2 * n,
    )
    triangles = {name: _triangle_rule(*points, n) for name, points in _TRIANGLES.items()}
    return [
        affine_in_power(discharge, 0.6),
        affine_in_power(friction, -0.6),
        triangles["Zv"],
        triangles["Zm"],
        uniform_rule(*_DIKE, 2),
        affine_in_power(triangles["Zb"], 1.0),
        affine_in_power(triangles["L"], 0.3),
        affine_in_power(triangles["B"], -0.6),
    ]


def flood_inputs() -> uq.Inputs:
    """Eight inputs, four of them triangular and two cut."""
    mean, sd, low = _FRICTION
    triangles = {
        name: stats.triang((mode - low) / (high - low), low, high - low)
        for name, (low, mode, high) in _TRIANGLES.items()
    }
    return uq.Inputs(
        {
            "Q": truncated_gumbel(*_DISCHARGE),
            "Ks": stats.truncnorm((low - mean) / sd, math.inf, mean, sd),
            "Zv": triangles["Zv"],
            "Zm": triangles["Zm"],
            "Hd": stats.uniform(_DIKE[0], _DIKE[1] - _DIKE[0]),
            "Zb": triangles["Zb"],
            "L": triangles["L"],
            "B": triangles["B"],
        }
    )


# Loads FX and FY in N and modulus E in GPa: means and coefficients of variation of lognormal laws;
# width w, thickness t and length L in m: means and deviations of normal laws.
_LOADS = {"FX": (556.8, 0.08), "FY": (453.6, 0.08), "E": (200.0, 0.06)}
_LENGTHS = {"w": (0.062, 0.0062), "t": (0.0987, 0.00987), "L": (4.29, 0.429)}


def _log_parameters(mean: float, variation: float) -> tuple[float, float]:
    log_variance = math.log1p(variation**2)
    return math.log(mean) - log_variance / 2.0, math.sqrt(log_variance)


def beam_rules(n: Sequence[int] = (8, 8, 18, 18)) -> list[Rule]:
    """Rules of the beam's inputs; the deflection is linear in 1 / E and in L^3.

    More nodes of w and t would come near w t = 0, ten standard deviations out, where the moments
    do not exist.
    """
    load_x, load_y, young = (_log_parameters(*one) for one in _LOADS.values())
    width, thickness, length = _LENGTHS.values()
    return [
        lognormal_rule(*load_x, n[0]),
        lognormal_rule(*load_y, n[1]),
        affine_in_power(lognormal_rule(*young, 20), -1.0),
        normal_rule(*width, n[2]),
        normal_rule(*thickness, n[3]),
        affine_in_power(normal_rule(*length, 8), 3.0),
    ]


def beam_inputs() -> uq.Inputs:
    """Three lognormal and three normal inputs, independent."""
    logs = {name: _log_parameters(*one) for name, one in _LOADS.items()}
    laws = {name: stats.lognorm(s, scale=math.exp(mu)) for name, (mu, s) in logs.items()}
    laws |= {name: stats.norm(*one) for name, one in _LENGTHS.items()}
    return uq.Inputs(laws)
