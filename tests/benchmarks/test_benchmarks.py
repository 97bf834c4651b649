"""The harness itself, with random search only: peers and their libraries are not needed."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks import comparison, problems, record, report
from benchmarks.problems import Problem
from benchmarks.record import Case, Run
from benchmarks.run import play
from benchmarks.solvers import Spec
from benchmarks.solvers.random import RandomSearch
from benchmarks.space import Parameter, box, from_unit, starting_points

RANDOM = Spec("random", "random")
MIXED = (
    Parameter("rate", "float", 1e-3, 1e1, log=True),
    Parameter("depth", "int", 1, 4),
    Parameter("kind", "categorical", choices=("a", "b", "c")),
)


def finished(solver: str, seed: int, value: float, problem: str = "sphere") -> Run:
    return Run(problem, solver, seed, 10, "1", 6, optimum=1.0, values=[9.0, 1.0 + value])


def test_unit_cube_reaches_every_value_of_a_mixed_space():
    for u, rate, depth, kind in [(0.0, 1e-3, 1, "a"), (0.5, 0.1, 3, "b"), (1.0, 10.0, 4, "c")]:
        params = from_unit(MIXED, [u, u, u])
        assert params == {"rate": pytest.approx(rate), "depth": depth, "kind": kind}


def test_positions_of_floats_round_trip():
    for p in (MIXED[0], *box([(-5, 10)])):
        assert p.to_unit(p.from_unit(0.3)) == pytest.approx(0.3)


def test_starting_points_depend_on_the_seed_only():
    assert len(starting_points(MIXED, 0)) == 8
    assert starting_points(MIXED, 0) == starting_points(MIXED, 0)
    assert starting_points(MIXED, 0) != starting_points(MIXED, 1)


def test_noise_depends_on_seed_and_index_only():
    noisy = Problem("f", box([(0, 1)]), lambda params: 0.0, noise_sd=2.0)
    assert noisy.observe(1.0, seed=3, index=4) - 1.0 == pytest.approx(noisy.observe(0.0, 3, 4))
    assert noisy.observe(0.0, 3, 4) != noisy.observe(0.0, 3, 5)
    exact = dataclasses.replace(noisy, noise_sd=0.0)
    assert exact.observe(1.0, 3, 4) == 1.0


@pytest.mark.parametrize("name", problems.CLASSICS)
def test_no_value_lies_below_the_minimum(name):
    problem = problems.get(name)
    assert problem.optimum is not None
    values = [problem.value(params) for params in starting_points(problem.space, 0, 64)]
    assert min(values) >= problem.optimum


def test_noise_is_part_of_the_name():
    assert problems.get("branin+noise0.5").noise_sd == 0.5
    assert problems.get("rosenbrock4-int").value({"x0": 1.0, "x1": 1.0, "k0": 1, "k1": 1}) == 0.0
    with pytest.raises(ValueError, match="unknown; known are branin"):
        problems.get("brannin")


def test_noise_in_percent_is_of_the_spread_of_the_function():
    problem = problems.get("branin+noise5%")
    rng = np.random.default_rng(0)
    values = [problem.value(from_unit(problem.space, u)) for u in rng.random((4000, 2)).tolist()]
    assert problem.noise_sd == pytest.approx(0.05 * np.std(values), rel=4 / 4000**0.5)
    with pytest.raises(ValueError, match="percent"):
        problems.get("svm-digits+noise5%")


def test_random_search_plays_and_is_stored(tmp_path: Path):
    run = play(Case("branin+noise1", RANDOM, 0, 20))
    assert run is not None and not run.error
    assert (run.n_initial, len(run.values), len(run.seconds)) == (6, 20, 14)
    assert set(run.recommended) == {"10", "15", "20"}
    assert run.final == run.recommended["20"]
    again = play(Case("branin+noise1", RANDOM, 0, 20))
    assert again is not None and again.values == run.values
    record.append(tmp_path / "runs.jsonl", [run])
    assert record.read(tmp_path / "runs.jsonl") == [run]


def test_a_solver_that_breaks_down_is_recorded(monkeypatch):
    def ask(solver):
        raise RuntimeError("no idea")

    monkeypatch.setattr(RandomSearch, "ask", ask)
    run = play(Case("branin", RANDOM, 0, 20))
    assert run is not None and len(run.values) == 6 and run.final == min(run.values)
    assert "- random, branin, seed 0: RuntimeError: no idea" in report.failures([run])


def test_comparison_counts_wins_losses_and_ratios():
    runs = [finished("reference", s, 1.0) for s in range(4)]
    runs += [finished("other", s, v) for s, v in enumerate([0.1, 0.1, 0.97, 10.0])]
    reference, other = comparison.compare(runs, "reference")
    assert (reference.win, reference.loss, reference.mean) == (0.0, 0.0, 0.0)
    assert (other.win, other.loss, other.n) == (0.5, 0.25, 4)
    assert other.p_value == pytest.approx(1.0)
    assert other.low <= other.mean <= other.high
    assert other.rank == pytest.approx(1.25) and reference.rank == pytest.approx(1.75)


def test_beside_the_best_only_what_differs_has_a_small_p_value():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(20, 3))
    runs = [
        finished(name, seed, 10 ** (level + 0.3 * noise[seed, column]))
        for column, (name, level) in enumerate([("best", -2.0), ("tied", -1.97), ("worse", -1.0)])
        for seed in range(20)
    ]
    p_values = comparison.against_the_best(comparison.regrets(runs))
    assert p_values["best"] == 1.0 and p_values["tied"] > 0.05 and p_values["worse"] < 1e-3
    assert "| sphere" in report.paired_table(runs) and "| best |" in report.paired_table(runs)
    assert report.paired_table(runs[:5]) == ""


def test_regret_is_floored_and_uses_the_best_value_where_no_minimum_is_known():
    solved = comparison.regrets([finished("a", 0, 0.0)])
    assert solved == {("sphere", 10, 0): {"a": comparison.FLOOR}}
    unknown = [dataclasses.replace(finished("a", s, v), optimum=None) for s, v in [(0, 1), (1, 3)]]
    assert comparison.regrets(unknown)["sphere", 10, 1]["a"] == pytest.approx(2.0)
    assert np.isnan(comparison.compare(unknown, "a")[0].mean)


def test_report_draws_instances_together():
    runs = [
        finished(solver, i, value, problem=f"bbob-f01-i{i}-d2")
        for solver, value in [("optuna", 1.0), ("ours", 0.1)]
        for i in (1, 2)
    ]
    text = report.report(runs, "optuna")
    assert "| bbob-f01-d2 | 10          | 2    | 1 [1, 1] | 0.1 [0.1, 0.1] |" in text
    assert "| separable d=2 | +0.00  | -1.00 |" in text
    assert "Seeds 1-2." in text
    assert text == report.report(runs, "optuna")
