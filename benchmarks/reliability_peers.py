"""Failure probabilities by the methods of OpenTURNS, at a given number of evaluations.

All run in the space of independent standard normal variables, so all solve the same problem
whatever the laws of the inputs. Subset simulation, NAIS and cross-entropy take N points at each of
an unknown number of steps; a pilot run, which is not counted, tells that number, and N is the
budget over it.

Sources: Au & Beck (2001), subset simulation; Morio & Balesdent (2015), NAIS; Rubinstein & Kroese
(2017), cross-entropy; Der Kiureghian & Dakessian (1998), several design points.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.reliability_cases import ReliabilityCase

Array = NDArray[np.float64]

TIME_LIMIT = 60.0  # seconds
_OVERRUN = 3  # a run that takes this many budgets has failed
_QUANTILE = 0.1
_BLOCKS = 10
_NORMAL_95 = 1.959963984540054


class Outcome(NamedTuple):
    """What a run says: estimate, standard error and 95 % interval are NaN after a failure."""

    estimate: float
    standard_error: float
    low: float
    high: float
    n_evaluations: int
    message: str


class StoppedRun(RuntimeError):
    """Too many evaluations, or too long."""


class CountedRuns:
    """The limit state of a case; counts its rows and stops at a limit or at a time.

    Raises
    ------
    StoppedRun
        Before the evaluations that would pass `limit`, or when `seconds` are over.
    """

    def __init__(
        self, case: ReliabilityCase, limit: float = math.inf, seconds: float = math.inf
    ) -> None:
        self.case = case
        self.limit = limit
        self.count = 0
        self.why_stopped = ""
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def __call__(self, x: Array) -> Array:
        """Values (n,) at (n, d) points of the inputs."""
        if self.count + len(x) > self.limit:
            self.why_stopped = f"more than {self.limit} evaluations"
        elif time.monotonic() > self._end:
            self.why_stopped = f"longer than {self._seconds:g} s"
        if self.why_stopped:
            raise StoppedRun(self.why_stopped)
        self.count += len(x)
        return self.case.limit_state(x)

    def of_normal(self, z: Any) -> Array:
        """Values (n, 1) at (n, d) standard normal points."""
        return self(self.case.inputs.from_normal(np.asarray(z)))[:, None]

    @contextmanager
    def at_most(self, n: int) -> Iterator[None]:
        """Not more than `n` evaluations in all within this block."""
        before, self.limit = self.limit, n
        try:
            yield
        finally:
            self.limit, self.why_stopped = before, ""


Solver = Callable[[ReliabilityCase, int, int], Outcome]
Method = Callable[[CountedRuns, int, int], tuple[float, float, str]]


def with_normal_interval(method: Method) -> Solver:
    """A peer: what it raises is its outcome, and its interval is that of a normal law."""

    def solve(case: ReliabilityCase, budget: int, seed: int) -> Outcome:
        runs = CountedRuns(case, _OVERRUN * budget, TIME_LIMIT)
        try:
            p, error, message = method(runs, budget, seed)
        except Exception as raised:
            return failed(runs, raised)
        half = _NORMAL_95 * error
        return Outcome(p, error, p - half, p + half, runs.count, message)

    return solve


def failed(runs: CountedRuns, raised: Exception) -> Outcome:
    """The outcome of a run that raised."""
    first_line = next(iter(str(raised).splitlines()), "")
    why = runs.why_stopped or f"{type(raised).__name__}: {first_line[:120]}"
    return Outcome(math.nan, math.nan, math.nan, math.nan, runs.count, f"failed: {why}")


@cache
def _openturns() -> Any:
    """The library, which else prints what it catches; only who runs a peer needs it."""
    import openturns

    openturns.Log.Show(openturns.Log.NONE)
    return openturns


def _event(runs: CountedRuns) -> Any:
    ot = _openturns()
    d = runs.case.dimension
    z = ot.RandomVector(ot.Normal(d))
    g = ot.PythonFunction(d, 1, func_sample=runs.of_normal)
    return ot.ThresholdEvent(ot.CompositeRandomVector(g, z), ot.Less(), 0.0)


def _algorithm(name: str, event: Any, n: int) -> Any:
    """A method that takes n points at each step."""
    ot = _openturns()
    if name == "subset":
        algorithm = ot.SubsetSampling(event)
    elif name == "nais":
        algorithm = ot.NAIS(event, _QUANTILE)
    else:
        algorithm = ot.StandardSpaceCrossEntropyImportanceSampling(event, _QUANTILE)
    # Few blocks are fast; but in a single one the chains of subset simulation hardly move (true cv
    # .60 in ten blocks, 1.7 in one, of the linear limit at 5), so it is ten for all.
    algorithm.setBlockSize(max(n // _BLOCKS, 1))
    algorithm.setMaximumOuterSampling(_BLOCKS)
    return algorithm


@cache
def _steps(name: str, case: ReliabilityCase, budget: int) -> int:
    """Number of steps of a pilot run; as many as of a failure of 1e-3 where the pilot fails."""
    ot = _openturns()
    ot.RandomGenerator.SetSeed(987_654)
    runs = CountedRuns(case, _OVERRUN * budget, TIME_LIMIT)
    algorithm = _algorithm(name, _event(runs), budget // 4)
    try:
        algorithm.run()
    except Exception:
        return 4
    return max(int(algorithm.getStepsNumber()), 1)


def _stepwise(name: str) -> Solver:
    def method(runs: CountedRuns, budget: int, seed: int) -> tuple[float, float, str]:
        ot = _openturns()
        n = budget // _steps(name, runs.case, budget) // _BLOCKS * _BLOCKS
        ot.RandomGenerator.SetSeed(seed)
        algorithm = _algorithm(name, _event(runs), n)
        algorithm.run()
        result = algorithm.getResult()
        message = f"{algorithm.getStepsNumber()} steps of {n} points"
        return *_estimate(result), message

    return with_normal_interval(method)


def _estimate(result: Any) -> tuple[float, float]:
    """Estimate and its standard error, NaN where none is claimed (it is below 0 then)."""
    error = float(result.getStandardDeviation())
    return float(result.getProbabilityEstimate()), error if error >= 0.0 else math.nan


def _search(kind: Any, solver: Any, start: Array, event: Any) -> list[Array]:
    """Design points (d,) that a search finds; none where it gives up."""
    solver.setStartingPoint(start.tolist())
    try:
        search = kind(solver, event)
        search.run()
        result = search.getResult()
    except Exception:
        return []
    if not hasattr(result, "getFORMResultCollection"):
        return [np.array(result.getStandardSpaceDesignPoint())]
    return [np.array(one.getStandardSpaceDesignPoint()) for one in result.getFORMResultCollection()]


def design_points(runs: CountedRuns, event: Any, budget: int, seed: int) -> list[Array]:
    """Design points by FORM, then by FORM with bulges around those that are known.

    Half of the budget is allowed. The first search starts at the mean, where some limit states
    have no slope; then from a random point; then without slopes.
    """
    ot = _openturns()
    d = runs.case.dimension
    mean, anywhere = np.zeros(d), np.random.default_rng(seed).standard_normal(d)
    single = [(ot.AbdoRackwitz, mean), (ot.AbdoRackwitz, anywhere), (ot.Cobyla, anywhere)]
    with runs.at_most(budget // 2):
        points: list[Array] = []
        for solver, start in single:
            points = _search(ot.FORM, solver(), start, event)
            if points:
                break
        if not points:
            return []
        for again, begin in ((solver, start), (ot.Cobyla, mean)):
            several = _search(ot.MultiFORM, again(), begin, event)
            if several:
                return several
    return points


def _form_importance_sampling(
    runs: CountedRuns, budget: int, seed: int
) -> tuple[float, float, str]:
    """Equal mixture of standard normal densities around the design points."""
    ot = _openturns()
    ot.RandomGenerator.SetSeed(seed)
    event = _event(runs)
    points = design_points(runs, event, budget, seed)
    if not points:
        raise StoppedRun("FORM found no design point")
    d = runs.case.dimension
    around = ot.Mixture([ot.Normal(point.tolist(), [1.0] * d) for point in points])
    searched = runs.count
    experiment = ot.ImportanceSamplingExperiment(ot.Normal(d), around, budget - searched)
    algorithm = ot.ProbabilitySimulationAlgorithm(event, experiment)
    algorithm.setBlockSize(budget - searched)
    algorithm.setMaximumOuterSampling(1)
    algorithm.run()
    distances = ", ".join(f"{np.linalg.norm(point):.3f}" for point in points)
    message = f"design points at {distances} in {searched} evaluations"
    return *_estimate(algorithm.getResult()), message


ot_subset = _stepwise("subset")
ot_nais = _stepwise("nais")
ot_cross_entropy = _stepwise("cross_entropy")
ot_form_is = with_normal_interval(_form_importance_sampling)
