"""Many expectations from one sample: the one call.

Notation
--------
N           `budget`, evaluations of the model in all
J, L        quantities and laws: J functions and one law, one function and J laws, or J pairs

    I_j = E_{f_j}[phi_j(X)]

Method "auto": learn a density from a few points (`density_search`), draw the rest from it as
independent scrambled nets (`sampling`), correct by control variates fitted across the nets
(`final_sample`). The learning points never enter the estimates: given them these are unbiased.
Method "published": Demange-Chryst, Bachoc & Morio (2023), step by step (`published`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from bayesopt.arguments import check_name, finite_number, real_numbers, whole_number
from uq import control_variates
from uq.control_variates import Candidate
from uq.coordinates import Coordinates
from uq.density_search import Covariance, Family, Found, Search, Stage
from uq.estimates import Expectations, reach_flags, without_error
from uq.final_sample import FinalSample, Surrogate, checked_surrogate, estimate
from uq.importance_sampling import effective_sample_size, weighted_values
from uq.joint_laws import Law, law_of
from uq.model_runs import ModelRuns
from uq.published import LEAST_BUDGET as LEAST_BUDGET_PUBLISHED
from uq.published import published
from uq.sampling import Folds, Sampling, largest_folds
from uq.start import EqualMixture, LawDensity, start_density

Array = NDArray[np.float64]

LEAST_BUDGET = {"auto": 28, "published": LEAST_BUDGET_PUBLISHED}
_FINAL = 0.95  # at most this share of the budget is planned for the final sample
_AT_MOST_LEARNT = 0.5
_BLIND = 0.25  # the same while some quantity has shown one value only


def expectations(
    func: Callable[[Array], ArrayLike],
    inputs: Any = None,
    *,
    laws: Sequence[Any] | None = None,
    budget: int,
    weights: Literal["relative", "equal"] | ArrayLike = "relative",
    method: Literal["auto", "published"] = "auto",
    proposal: Family = "gaussian",
    covariance: Covariance = "auto",
    defensive: float | None = None,
    sampling: Sampling = "qmc",
    surrogate: Callable[[Array], ArrayLike] | Literal["auto", "polynomial"] | None = "auto",
    batch_size: int | None = None,
    executor: Any = None,
    rng: int | np.random.Generator | None = None,
    progress: bool | Literal["auto"] = "auto",
) -> Expectations:
    """Estimate many expectations from one sample.

    Parameters
    ----------
    func
        The model, vectorised: (n, d) points to (n,) or (n, J) values.
    inputs
        The law of the inputs, for J functions under one law: `Inputs`, or anything that `law_of`
        takes.
    laws
        Instead of `inputs`: J laws, for one function under each of them, or for J functions, the
        j-th under the j-th law.
    budget
        Evaluations of the model: exactly so many are spent.
    weights
        What the density is sought for: the smallest sum_j w_j Var_j. "relative": w_j is one over
        the square of the size of quantity j. "equal", or (J,) numbers >= 0.
    method
        "auto", or "published" for the procedure of Demange-Chryst, Bachoc & Morio (2023), whose
        own settings then stand for `defensive`, `sampling` and `surrogate`.
    proposal
        Family of the densities that are fitted.
    covariance
        Of the fitted densities; "auto" chooses by the likelihood of points held out.
    defensive
        Share of the start density in any other one, below 1. None: where it is needed; 0: none.
    sampling
        "qmc": the final sample is 7 to 13 independent scrambled Sobol' nets; "mc": independent
        draws.
    surrogate
        A cheap model used as control variate where it wins: a polynomial chaos fitted across
        folds ("auto", "polynomial"), your own vectorised function of x, or None.
    batch_size
        At most so many points in one call of `func`.
    executor
        Anything with `submit(fn, *args) -> future`; batches run on it.
    rng
        Seed or generator.
    progress
        Show a line of progress: True, False, or "auto" for terminals only.

    Returns
    -------
    Expectations

    Raises
    ------
    ValueError, TypeError
        For arguments that cannot be used, before an evaluation is spent; after the first ones when
        `func` returns another shape, nothing but NaN, or another number of outputs than `weights`
        or `laws` ask for.

    Notes
    -----
    Given the learning points each candidate estimate of method "auto" is unbiased. The choice of
    control variates is made by variances of the same sample, and asks for a clear win, so that it
    is all but always the same; where it is not, a bias of a fraction of the standard error is left
    (0.2 of it, at most, in what was tried). Failed runs leave conditional expectations, whose bias
    is of the order of one over the number of runs.

    Sources: Demange-Chryst et al. (2023), Eqs. (1)-(7); Owen & Zhou (2000).
    """
    given = _laws(inputs, laws)
    check_name("method", method, ("auto", "published"))
    check_name("proposal", proposal, ("gaussian", "gaussian_mixture", "student_t"))
    check_name("covariance", covariance, ("auto", "full", "diagonal"))
    check_name("sampling", sampling, ("qmc", "mc"))
    if surrogate is not None and not callable(surrogate):
        also = "or None or a function"
        check_name("surrogate", surrogate, ("auto", "polynomial"), also)
    budget = whole_number(budget, "budget", LEAST_BUDGET[method])
    share = None if defensive is None else finite_number(defensive, "`defensive`")
    if share is not None and not 0.0 <= share < 1.0:
        raise ValueError(f"`defensive` must be a share in [0, 1), but got {defensive!r}.")
    w = _checked_weights(weights, len(given) if len(given) > 1 else None)
    if callable(surrogate):
        checked_surrogate(surrogate, given[0].sample(2, 0))
    generator = np.random.default_rng(rng)
    runs = ModelRuns(
        func, given[0].dimension, None, budget,
        batch_size=batch_size, executor=executor, progress=progress,
    )  # fmt: skip
    asked = _Asked(runs, given, budget, w, generator)
    with runs:
        if method == "published":
            return _published(asked, proposal, covariance)
        return _auto(asked, proposal, covariance, share, sampling, surrogate)


@dataclass(frozen=True)
class _Asked:
    """What is asked for, checked."""

    runs: ModelRuns
    laws: Sequence[Law]
    budget: int
    weights: Literal["relative", "equal"] | Array
    rng: np.random.Generator

    def values(self, x: Array) -> Array:
        """(n, 1 or J) values of the model, as many columns as the laws and weights ask for."""
        Y = self.runs(x)
        n_outputs, n_laws = Y.shape[1], len(self.laws)
        if n_laws > 1 and n_outputs not in (1, n_laws):
            raise ValueError(
                f"`func` returned {n_outputs} outputs for {n_laws} laws: it must return one, for "
                f"one function under each law, or {n_laws}, the j-th under the j-th law."
            )
        n_quantities = max(n_outputs, n_laws)
        if isinstance(self.weights, np.ndarray) and len(self.weights) != n_quantities:
            raise ValueError(
                f"`weights` has {len(self.weights)} entries for {n_quantities} quantities."
            )
        return Y

    def failure_flags(self) -> list[str]:
        """What to say of failed runs."""
        if not self.runs.n_failed:
            return []
        return [
            f"{self.runs.n_failed} of {self.budget} runs failed: the estimates are expectations "
            "given that a run does not fail."
        ]


def _auto(
    asked: _Asked,
    family: Family,
    covariance: Covariance,
    defensive: float | None,
    sampling: Sampling,
    surrogate: Surrogate,
) -> Expectations:
    coordinates = Coordinates.of(asked.laws, asked.rng)
    with _one_thread():
        start, law_moments = start_density(asked.laws, coordinates, asked.rng)

    def values(z: Array) -> Array:
        return asked.values(coordinates.to_x(z))

    def log_laws(z: Array) -> Array:
        with _one_thread():
            return coordinates.log_densities(asked.laws, z, coordinates.to_x(z))

    search = Search(
        values, log_laws, start, asked.weights, family, covariance, defensive,
        sampling == "qmc", asked.rng, law_moments,
    )  # fmt: skip
    folds = _learn(search, asked.budget, sampling)
    with _one_thread():
        found = search.found()
    sample = _final(asked, coordinates, found, folds, values, search.atom)
    with _one_thread():
        weights = search.weights_for(sample.W * sample.Y)
        chosen, index, names = estimate(
            sample, asked.laws, coordinates, found.density, found.ratio_densities, weights,
            surrogate, asked.rng,
        )  # fmt: skip
        return _result(asked, search, found, sample, chosen, index, names)


def _one_thread() -> threadpool_limits:
    """Many small factorisations gain nothing from more, and lose much on a busy machine."""
    return threadpool_limits(limits=1, user_api="blas")


def _learn(search: Search, budget: int, sampling: Sampling) -> Folds:
    """Spend what the final sample does not need, and more while something is out of reach."""
    folds = largest_folds(int(_FINAL * budget), sampling)
    planned = budget - folds.n_points
    sizes = _parts(planned)
    spent = 0
    while sizes:
        search.stage(sizes[0])
        spent += sizes.pop(0)
        if sizes:
            continue
        most = int((_BLIND if search.blind else _AT_MOST_LEARNT) * budget)
        if not search.in_reach and spent < most:
            sizes = [min(max(budget // 20, 16), most - spent + 1)]
        else:
            folds = largest_folds(budget - spent, sampling)
            left = budget - spent - folds.n_points
            sizes = [left] if left else []
    return folds


def _published(asked: _Asked, family: Family, covariance: Covariance) -> Expectations:
    """In the space of the inputs, with plain random numbers, as published."""
    if family == "student_t":
        raise ValueError(
            "method='published' takes the proposals 'gaussian' and 'gaussian_mixture'."
        )
    start = EqualMixture(asked.laws)
    outcome = published(
        asked.values, start.log_densities, start, asked.budget, asked.weights,
        family=family, covariance="diagonal" if covariance == "diagonal" else "full",
        rng=asked.rng,
    )  # fmt: skip
    n = len(outcome.z)
    folds = np.arange(n) * 10 // n
    T = weighted_values(outcome.values, outcome.log_weights)
    flags = [*reach_flags(outcome.log_weights, T), *asked.failure_flags()]
    means, cov = outcome.estimate, outcome.covariance.copy()
    if not outcome.ok.all():
        W = np.exp(outcome.log_weights) * outcome.ok[:, None]
        one = control_variates.conditional(outcome.contributions, np.broadcast_to(W, T.shape))
        means = one.contributions.mean(axis=0)
        cov = control_variates.covariance(one, folds, True)
    without_error(cov, T)
    stages = [Stage(asked.budget // 10, "start", np.nan, 1.0)]
    stages += [Stage(asked.budget // 10, "mixture", np.nan, 1.0) for _ in outcome.history]
    stages.append(Stage(n, "mixture", float(effective_sample_size(outcome.log_weights).min()), 1.0))
    return Expectations(
        estimate=means,
        covariance=cov,
        n_free=float(n - 1),
        n_evaluations=asked.runs.n_done,
        failed_points=asked.runs.failed_points,
        history=stages,
        sample=outcome.z,
        values=np.where(outcome.ok[:, None], outcome.values, np.nan),
        log_density=outcome.proposal.log_density(outcome.z),
        log_weights=outcome.log_weights,
        folds=folds,
        independent=True,
        message=f"{n} of {asked.budget} evaluations drawn from a mixture of "
        f"{len(outcome.alpha)} densities after {len(outcome.history)} adaptations, each "
        "quantity with its own density ratio as control variate.",
        flags=flags,
        method="published",
    )


def _parts(n: int) -> list[int]:
    """Half of n and two quarters; what is too small for stages is one stage."""
    if n < 32:
        return [n] if n else []
    return [n - 2 * (n // 4), n // 4, n // 4]


def _final(
    asked: _Asked,
    coordinates: Coordinates,
    found: Found,
    folds: Folds,
    values: Callable[[Array], Array],
    atom: Array,
) -> FinalSample:
    """Draw the rest; values less their atoms, 0 where a run failed."""
    z = found.density.transform(folds.uniforms(found.density.n_uniforms, asked.rng))
    Y = values(z)
    ok = np.asarray(np.isfinite(Y).all(axis=1))
    if not ok.any():
        raise ValueError(
            f"All {len(ok)} runs of the final sample failed: nothing to estimate from."
        )
    Y = np.where(ok[:, None], Y, atom) - atom
    with _one_thread():
        x = coordinates.to_x(z)
        log_f, log_g = coordinates.log_densities(asked.laws, z, x), found.density.log_density(z)
    own_sampler = isinstance(found.density, LawDensity) and not found.density.is_driven
    return FinalSample(
        x, z, Y, ok, coordinates.log_slope(z, x), log_f, log_g, folds.labels,
        folds.sampling == "mc" or own_sampler,
    )  # fmt: skip


def _result(
    asked: _Asked,
    search: Search,
    found: Found,
    sample: FinalSample,
    chosen: Candidate,
    index: NDArray[np.int64],
    names: Sequence[str],
) -> Expectations:
    means = control_variates.fold_means(chosen.contributions, sample.folds)
    cov = control_variates.covariance(chosen, sample.folds, sample.independent)
    T = sample.W * sample.Y
    without_error(cov, T)
    log_weights = sample.log_f - sample.log_g[:, None]
    n, n_folds = len(sample.x), len(means)
    flags = [*reach_flags(log_weights, T), *asked.failure_flags()]
    uses = "; ".join(f"{names[k]} for {(index == k).sum()}" for k in np.unique(index))
    gain = f", foretold {found.gain:.3g} times better than the start" if found.moved else ""
    last = Stage(n, found.source, float(effective_sample_size(log_weights).min()), 1.0)
    return Expectations(
        estimate=means.mean(axis=0) + search.atom,
        covariance=cov,
        n_free=float(n - n_folds if sample.independent and n > n_folds else n_folds - 1),
        n_evaluations=asked.runs.n_done,
        failed_points=asked.runs.failed_points,
        history=[*search.stages, last],
        sample=sample.x,
        values=np.where(sample.ok[:, None], sample.Y + search.atom, np.nan),
        log_density=sample.log_g - sample.log_jacobian,
        log_weights=log_weights,
        folds=sample.folds,
        independent=sample.independent,
        message=f"{n} of {asked.budget} evaluations drawn from: {found.source}{gain}; "
        f"{n_folds} independent folds. Control variates: {uses} of {len(index)} quantities.",
        flags=flags,
    )


def _laws(inputs: Any, laws: Sequence[Any] | None) -> Sequence[Law]:
    if (inputs is None) == (laws is None):
        raise TypeError("Give either `inputs`, one law, or `laws`, a list of them.")
    if laws is None:
        return [law_of(inputs)]
    if not isinstance(laws, Sequence) or isinstance(laws, str) or not laws:
        raise TypeError(f"`laws` must be a list of laws, but got {laws!r}.")
    given = [law_of(law) for law in laws]
    dimensions = [law.dimension for law in given]
    if len(set(dimensions)) > 1:
        raise ValueError(f"All `laws` must have the same dimension, but got {dimensions}.")
    return given


def _checked_weights(weights: object, n_laws: int | None) -> Literal["relative", "equal"] | Array:
    if isinstance(weights, str):
        check_name("weights", weights, ("relative", "equal"), "or numbers >= 0, one a quantity")
        return weights  # type: ignore[return-value]
    w = real_numbers(weights, "weights")  # type: ignore[arg-type]
    if w.ndim != 1 or not np.isfinite(w).all() or (w < 0.0).any() or not (w > 0.0).any():
        raise ValueError(
            "`weights` must be finite numbers >= 0, not all 0, one a quantity, but got "
            f"{weights!r}."
        )
    if n_laws is not None and len(w) != n_laws:
        raise ValueError(f"`weights` has {len(w)} entries for {n_laws} laws.")
    return w
