"""Sobol' indices of tail outputs and rare events: pick-freeze under a density that was learnt.

Notation
--------
n, d, k     rows, inputs, factors: an input by itself or a group of inputs
z           (d,) normal scores of the inputs; their law f is N(0, I)
y           output less its centre, the value of most runs or the mean of the first ones
g           Gaussian mixture with a share of the law, from which points are drawn
h           mixture of the densities that the learning points were drawn from
t           sizes |y| f / h of the learning points, all outputs together
g_i         density of factor i among points weighted by t;  f_i under the law

A pick-freeze design of the law sees a rare event in none of its pairs. With a point drawn near the
event, and its copy drawn near it too, given what it keeps (`redrawn_copies`), most pairs tell
something: 2 k + 1 runs a row.

The mean of y given factor i is near g_i / f_i times a constant, by Bayes' rule. Pairs that share
factor i are worth most where t g_i / f_i is large, and all kinds of pairs together where

    t sqrt(1 + mean_i (g_i / f_i)^2)       with each ratio divided by its mean over t            (1)

is. A mixture is fitted to the points with these weights, and made wider: too narrow may cost
everything. Where no gain is foretold, the design is that of the law.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from uq.density_search import Search
from uq.inputs import Inputs
from uq.model_runs import ModelRuns
from uq.pick_freeze import LEAST_ROWS, factors_of, sobol_design
from uq.pick_freeze_estimates import Options, Surrogate, estimate
from uq.proposals import Density, Gaussian, TooFewWeighted, fit_gaussian_mixture
from uq.redrawn_copies import DEFENSIVE, GaussianMixture, Plan, drawn, log_law
from uq.sampling import Folds, Sampling, largest_folds
from uq.sobol_results import IndexEstimates, SobolIndices
from uq.weighted_pairs import PairIndices, pair_indices
from uq.weighted_points import atoms, effective_size, overall_weights

Array = NDArray[np.float64]

LEAST_GAIN = 4.0
"""By so much the search must foretell to win over the law."""
_STAGE = 0.05  # of the budget
_AT_MOST_LEARNT = 0.5
_BLIND = 0.25  # the same while some output has shown one value only
_MOST_SPLIT, _LEAST_FOLD = 4, 16
_WIDER = 3.0
_FEW_RUNS = 20


def importance_indices(
    runs: ModelRuns,
    inputs: Inputs,
    *,
    budget: int,
    groups: Mapping[str, Sequence[str]] | None = None,
    surrogate: Surrogate = "auto",
    sampling: Sampling = "qmc",
    rng: int | np.random.Generator | None = None,
) -> SobolIndices:
    """First and total indices of outputs that differ in few runs only.

    Parameters
    ----------
    runs
        The model, with at least `budget` runs left; one density serves all its outputs.
    inputs
        Independent inputs.
    budget
        Most runs of the model: never more are made.
    groups
        Names of groups to the names of their inputs; an input in no group is a factor by itself.
    surrogate
        Control variate of the design of the law, see `uq.sobol_indices`; unused with another
        density.
    sampling
        "qmc": the final sample is 7 to 13 independent scrambled nets; "mc": independent draws.
    rng
        Seed or generator.

    Returns
    -------
    SobolIndices
        NaN with a flag for an output that was the same in all runs.

    Raises
    ------
    ValueError
        When the budget is too small, or too few rows are without failed runs.

    Warns
    -----
    UserWarning
        When rows have failed runs; these rows are left out.

    Notes
    -----
    The learning points do not enter the estimates: given them the moments in the indices are
    unbiased, whatever density was learnt. The indices are ratios of moments, and their bias is of
    the order of one over the number of rows.
    """
    plan = Plan.of(inputs, factors_of(inputs.names, groups))
    least = math.ceil(LEAST_ROWS * (plan.n_blocks + 1) / (1.0 - _AT_MOST_LEARNT))
    if budget < least:
        raise ValueError(
            f"`budget` must pay for learning and for {LEAST_ROWS} rows of {plan.n_blocks} runs, "
            f"{least} in all, but got {budget}."
        )
    generator = np.random.default_rng(rng)
    quantities = _Quantities(runs, inputs)
    every, law = np.ones(inputs.dimension, bool), _law(inputs.dimension)
    search = Search(
        quantities, lambda z: log_law(z, every)[:, None], law, "relative", "gaussian", "auto", None,
        sampling == "qmc", generator,
    )  # fmt: skip
    spent = _learn(search, budget)
    with _one_thread():
        found = search.found()
    told = f"{spent} of {budget} runs spent on learning"
    if not (found.moved and found.gain >= LEAST_GAIN):
        told += ", no density foretold to win clearly over the law."
        return _by_the_law(
            runs, inputs, budget - spent, groups, surrogate, sampling, generator, told
        )
    folds = _folds((budget - spent) // plan.n_blocks, sampling)
    left = budget - spent - folds.n_points * plan.n_blocks
    if left:
        search.stage(left)
    told = (
        f"{spent + left} of {budget} runs spent on learning a density, foretold {found.gain:.3g} "
        "times better than the law for the mean and the mean square."
    )
    with _one_thread():
        g = _density(search, plan, generator)
    assert quantities.centre is not None
    return _by_density(runs, inputs, plan, g, folds, quantities.centre, generator, told)


def _one_thread() -> threadpool_limits:
    """Many small factorisations gain nothing from more."""
    return threadpool_limits(limits=1, user_api="blas")


def _law(dimension: int) -> Gaussian:
    return Gaussian(np.zeros(dimension), np.eye(dimension))


class _Quantities:
    """What the density is sought for: y and its square, of every output."""

    def __init__(self, runs: ModelRuns, inputs: Inputs) -> None:
        self._runs, self._inputs = runs, inputs
        self.centre: Array | None = None
        self._scale = np.ones(1)

    def __call__(self, z: Array) -> Array:
        """(n, 2 J) of points (n, d); the first call finds the centres."""
        Y = self._runs(self._inputs.from_normal(z))
        seen = Y[np.isfinite(Y).all(axis=1)]
        if self.centre is None and len(seen):
            atom = atoms(Y)
            is_atom = (seen == atom).mean(axis=0) > 0.5
            self.centre = np.where(is_atom, atom, seen.mean(axis=0))
            size = np.abs(seen - self.centre).max(axis=0)
            self._scale = np.where(size > 0.0, size, 1.0)
        y = Y if self.centre is None else (Y - self.centre) / self._scale
        return np.concatenate([y, np.square(y)], axis=1)


def _learn(search: Search, budget: int) -> int:
    """Spend two stages, and more while something is out of reach; returns the runs spent."""
    size, spent = max(int(_STAGE * budget), 1), 0
    while True:
        search.stage(size)
        spent += size
        most = int((_BLIND if search.blind else _AT_MOST_LEARNT) * budget)
        if len(search.stages) > 1 and (search.in_reach or spent + size > most):
            return spent


def _folds(n_rows: int, sampling: Sampling) -> Folds:
    """More folds, and smaller ones, than elsewhere: heavy weights gain little from large nets."""
    folds = largest_folds(n_rows, sampling)
    if sampling == "mc":
        return folds
    split = 1
    while split < _MOST_SPLIT and folds.size // split > _LEAST_FOLD:
        split *= 2
    return Folds(folds.n_folds * split, folds.size // split, sampling)


def _density(search: Search, plan: Plan, rng: np.random.Generator) -> GaussianMixture:
    """g by Eq. (1)."""
    points = search.points()
    z, t = points.z, overall_weights(points, search.weights(points))
    z, t = z[t > 0.0], t[t > 0.0]
    first = _fitted(z, t, None, rng)
    ratios = np.stack([
        np.exp(first.log_density(z, own) - log_law(z, own)) for own in plan.factors
    ])  # fmt: skip
    ratios /= (ratios @ t / t.sum())[:, None]
    try:
        tilted = t * np.sqrt(1.0 + np.square(ratios).mean(axis=0))
        return _fitted(z, tilted, len(first.components) - 1, rng)
    except TooFewWeighted:
        return first


def _fitted(
    z: Array, t: Array, n_components: int | None, rng: np.random.Generator
) -> GaussianMixture:
    """A mixture, widened and with a share of the law."""
    fit = fit_gaussian_mixture(z, t, n_components, rng=rng)
    kept = fit.shares > 0.0
    effective = effective_size(t)
    parts = [
        _widened(one, effective * share)
        for one, share in zip(fit.components, fit.shares, strict=True)
        if share > 0.0
    ]
    shares = fit.shares[fit.shares > 0.0]
    shares = np.concatenate([[DEFENSIVE], (1.0 - DEFENSIVE) * shares])
    return GaussianMixture(shares, (_law(z.shape[1]), *parts))


def _widened(one: Density, effective: float) -> Gaussian:
    """Made wider where it is narrower than the law; the law's variance where nothing else is shown.

    The eigenvalues of the covariance of m normal points lie within (1 -+ sqrt(d / m))^2 where all
    variances are 1 (Marchenko & Pastur 1967).
    """
    assert isinstance(one, Gaussian)
    values, vectors = np.linalg.eigh(one.covariance)
    noise = np.sqrt(one.dimension / effective)
    is_law = ((1.0 - min(noise, 1.0)) ** 2 < values) & (values < (1.0 + noise) ** 2)
    wider = np.where(values < 1.0, np.minimum(_WIDER * values, 1.0), values)
    return Gaussian(one.mean, (vectors * np.where(is_law, 1.0, wider)) @ vectors.T)


def _by_density(
    runs: ModelRuns,
    inputs: Inputs,
    plan: Plan,
    g: GaussianMixture,
    folds: Folds,
    centre: Array,
    rng: np.random.Generator,
    told: str,
) -> SobolIndices:
    """Indices from weighted pairs."""
    with _one_thread():
        z, weights = drawn(plan, g, folds.uniforms(plan.n_uniforms, rng))
    Y = runs(inputs.from_normal(z.reshape(-1, inputs.dimension)))
    Y = Y.reshape(folds.n_points, plan.n_blocks, -1)
    ok = np.asarray(np.isfinite(Y).all(axis=(1, 2)))
    labels = _labels(ok, folds.labels, plan.n_blocks)
    weights = weights.of_rows(ok)
    with _one_thread():
        each = [
            pair_indices(
                y - c, weights, plan.copy_of, plan.total, labels, folds.sampling == "mc",
                bool(ok.all()),
            )
            for y, c in zip(np.moveaxis(Y[ok], 2, 0), centre, strict=True)
        ]  # fmt: skip
    n, k = int(ok.sum()), len(plan.names)
    flags = [] if ok.all() else [f"{len(ok) - n} of {len(ok)} rows failed and are left out."]
    for j, one in enumerate(each):
        flags += _reach_flags(f"Output {j}" if len(each) > 1 else "The output", one)
    values = np.stack([one.estimate for one in each], axis=-1)
    errors = np.stack([one.standard_error for one in each], axis=-1)
    return SobolIndices(
        names=plan.names,
        estimates={
            kind: IndexEstimates(_squeezed(values[of]), _squeezed(errors[of]), each[0].n_free)
            for kind, of in (("first_order", slice(k)), ("total_order", slice(k, None)))
        },
        variance=_squeezed(np.array([one.variance for one in each])),
        n_evaluations=runs.n_done,
        n_effective=n,
        message=f"{told} {n} rows of {plan.n_blocks} runs drawn from it, in {folds.n_folds} folds.",
        flags=flags,
        method="importance",
        diagnostics={
            "normal_points": z[ok],
            "values": _squeezed(Y[ok]),
            "point_weights": weights.point,
            "pair_weights": weights.pairs,
        },
    )


def _labels(ok: NDArray[np.bool_], labels: NDArray[np.int64], n_blocks: int) -> NDArray[np.int64]:
    """Labels without gaps of the rows that did not fail; warns of the others."""
    left = np.unique(labels[ok], return_inverse=True)[1]
    if len(np.unique(left)) < 3:
        raise ValueError(
            f"Only {ok.sum()} of {len(ok)} rows are without failed runs: too few for an estimate. "
            f"A row needs all its {n_blocks} runs."
        )
    if not ok.all():
        warnings.warn(
            f"{(~ok).sum()} of {len(ok)} rows have failed runs (NaN or infinite) and are left out, "
            f"all {n_blocks} runs of each; {ok.sum()} rows are left.",
            stacklevel=4,
        )
    return left


def _reach_flags(output: str, one: PairIndices) -> list[str]:
    """What to say where the pairs do not carry the estimates."""
    if np.isnan(one.estimate).any():
        return [f"{output} was the same in all runs, or has no variance: its indices are unknown."]
    few = float(one.effective.min())
    if few >= _FEW_RUNS:
        return []
    return [f"{output}: an index rests on {few:.1f} effective pairs; errors may be larger."]


def _by_the_law(
    runs: ModelRuns,
    inputs: Inputs,
    left: int,
    groups: Mapping[str, Sequence[str]] | None,
    surrogate: Surrogate,
    sampling: Sampling,
    rng: np.random.Generator,
    told: str,
) -> SobolIndices:
    """Indices from a design of the law; NaN for outputs that are constant."""
    design = sobol_design(
        inputs, budget=left, groups=groups, sampling=sampling, widened=surrogate is not None,
        rng=rng,
    )  # fmt: skip
    Y = runs(design.points)
    seen = Y[np.isfinite(Y).all(axis=1)]
    constant = np.asarray((seen == seen[:1]).all(axis=0)) if len(seen) else np.ones(Y.shape[1], bool)
    options = Options("auto", surrogate, 0, int(rng.integers(2**63)))
    with warnings.catch_warnings():
        if constant.any():  # what it says of them, that their indices are 0, is not what is said here
            warnings.filterwarnings("ignore", message=".*is constant")
        result = estimate(design, Y, options)
    names = [f"Output {j}" for j in range(Y.shape[1])] if Y.shape[1] > 1 else ["The output"]
    flags = [
        f"{names[j]} was the same in all runs: its indices are unknown."
        for j in np.flatnonzero(constant)
    ]
    return replace(
        result,
        estimates={kind: _unknown(one, constant) for kind, one in result.estimates.items()},
        n_evaluations=runs.n_done,
        message=f"{told} {result.message}",
        flags=[*result.flags, *flags],
        method="importance",
    )


def _unknown(one: IndexEstimates, constant: NDArray[np.bool_]) -> IndexEstimates:
    """The same with NaN for constant outputs."""
    unknown = constant if len(constant) > 1 else constant[0]
    return replace(
        one,
        estimate=np.where(unknown, np.nan, one.estimate),
        standard_error=np.where(unknown, np.nan, one.standard_error),
    )


def _squeezed(values: Array) -> Array:
    return values[..., 0] if values.shape[-1] == 1 else values
