"""Sobol' indices of tail outputs and rare events: pick-freeze under a density that was learnt.

Notation
--------
n, k        rows, factors: an input by itself or a group of inputs
y           output less its centre, the value of most runs or the mean of the first ones
g           Gaussian mixture with a share of the law, from which points are drawn

A pick-freeze design of the law sees a rare event in none of its pairs. So part of the budget goes
into learning g (`pair_density`). Then a point is drawn near the event, and its copies are drawn
near it too, given what they keep (`redrawn_copies`): most pairs tell something. A row has one copy
that keeps factor i, and one that keeps all but i:

    2 k + 1 runs a row, k + 1 for two factors

The indices are ratios of weighted moments of pairs (`weighted_pairs`). Where no gain is foretold,
the design is that of the law, with its surrogate.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from uq.factors import factors_of, independent_inputs
from uq.inputs import Inputs
from uq.model_runs import ModelRuns
from uq.pick_freeze import sobol_design
from uq.pick_freeze_estimates import Options, Surrogate, estimate
from uq.sampling import LEAST_ROWS, Folds, Sampling, largest_folds
from uq.sobol_results import IndexEstimates, SobolIndices, squeezed
from uq.target_sensitivity.pair_density import AT_MOST_LEARNT, LEAST_GAIN, PairSearch
from uq.target_sensitivity.redrawn_copies import GaussianMixture, Plan, drawn
from uq.target_sensitivity.weighted_pairs import PairIndices, pair_indices
from uq.usable_rows import constant_outputs, labels_without_gaps, warn_of_failed_rows

Array = NDArray[np.float64]

_MOST_SPLIT = 4
_LEAST_FOLD = 16  # rows
_FEW_PAIRS = 20


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
        When the inputs are dependent, the budget is too small, or too few rows are without
        failed runs.

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
    inputs = independent_inputs(inputs, None)
    plan = Plan.of(inputs, factors_of(inputs.names, groups))
    least = math.ceil(LEAST_ROWS * (plan.n_blocks + 1) / (1.0 - AT_MOST_LEARNT))
    if budget < least:
        raise ValueError(
            f"`budget` must pay for learning and for {LEAST_ROWS} rows of {plan.n_blocks} runs, "
            f"{least} in all, but got {budget}."
        )
    generator = np.random.default_rng(rng)
    search = PairSearch(runs, inputs, sampling == "qmc", generator)
    spent = search.learn(budget)
    with _one_thread():
        gain = search.gain
    told = f"{spent} of {budget} runs spent on learning"
    if gain < LEAST_GAIN:
        told += ", no density foretold to win clearly over the law."
        return _by_the_law(
            runs, inputs, budget - spent, groups, surrogate, sampling, generator, told
        )
    folds = _folds((budget - spent) // plan.n_blocks, sampling)
    left = budget - spent - folds.n_points * plan.n_blocks
    if left:
        search.stage(left)
    with _one_thread():
        g = search.density(plan.factors)
    told = (
        f"{spent + left} of {budget} runs spent on learning a density, foretold {gain:.3g} times "
        "better than the law for the mean and the mean square."
    )
    return _by_density(runs, inputs, plan, g, folds, search.centre, generator, told)


def _one_thread() -> threadpool_limits:
    """Many small factorisations gain nothing from more."""
    return threadpool_limits(limits=1, user_api="blas")


def _folds(n_rows: int, sampling: Sampling) -> Folds:
    """More folds, and smaller ones, than elsewhere: heavy weights gain little from large nets."""
    folds = largest_folds(n_rows, sampling)
    if sampling == "mc":
        return folds
    split = 1
    while split < _MOST_SPLIT and folds.size // split > _LEAST_FOLD:
        split *= 2
    return Folds(folds.n_folds * split, folds.size // split, sampling)


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
    labels = labels_without_gaps(folds.labels[ok], folds.labels, plan.n_blocks)
    warn_of_failed_rows(len(labels), len(ok), plan.n_blocks)
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
            kind: IndexEstimates(squeezed(values[of]), squeezed(errors[of]), each[0].n_free)
            for kind, of in (("first_order", slice(k)), ("total_order", slice(k, None)))
        },
        variance=squeezed(np.array([one.variance for one in each])),
        n_evaluations=runs.n_done,
        n_effective=n,
        message=f"{told} {n} rows of {plan.n_blocks} runs drawn from it, in {folds.n_folds} folds.",
        flags=flags,
        method="importance",
        diagnostics={
            "normal_points": z[ok],
            "values": squeezed(Y[ok]),
            "point_weights": weights.point,
            "pair_weights": weights.pairs,
        },
    )


def _reach_flags(output: str, one: PairIndices) -> list[str]:
    """What to say where the pairs do not carry the estimates."""
    if np.isnan(one.estimate).any():
        return [f"{output} was the same in all runs, or has no variance: its indices are unknown."]
    few = float(one.effective.min())
    if few >= _FEW_PAIRS:
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
    constant = constant_outputs(Y[np.isfinite(Y).all(axis=1)])
    options = Options("auto", surrogate, 0, int(rng.integers(2**63)))
    with warnings.catch_warnings():
        if constant.any():  # else it would warn that their indices are 0, and here they are NaN
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
