"""The benchmark of the knowledge gradient: pairs, intervals, parts, whole traces of the peers."""

import numpy as np
import pytest
import torch

import bayesopt as bo
from bayesopt.data import dataset
from bayesopt.models.fit import fit
from benchmarks import knowledge_gradient as benchmark
from benchmarks import problems, record
from benchmarks.knowledge_gradient_tables import against_random, gains_of_gradients, no_worse
from benchmarks.knowledge_gradient_time import botorch_twin
from benchmarks.paired_differences import interval, log_ratios, paired_regrets
from benchmarks.recommendation_traces import (
    N_AFTER_START,
    PROBLEMS,
    SEEDS,
    TRACES,
    play,
    regret_after,
    trace,
)
from benchmarks.record import Run
from benchmarks.solvers.random import RandomSearch


def searched(solver: str, seed: int, regret: float, **changes) -> Run:
    """Six points of the start and two more, of which the last one is reported."""
    fields = {
        "problem": "branin",
        "n_evals": 8,
        "version": "1",
        "n_initial": 6,
        "optimum": 1.0,
        "values": [9.0] * 7 + [1.0 + regret],
        "seconds": [0.1, 0.1],
    }
    return Run(solver=solver, seed=seed, **fields | changes)


def test_traces_of_the_peers_are_whole():
    runs = record.read(TRACES)
    assert {(r.problem, r.solver, r.seed) for r in runs} == {
        (problem, f"BoTorch {name}", seed)
        for problem in PROBLEMS
        for name in ("qLogNEI", "qKnowledgeGradient")
        for seed in SEEDS
    }
    for run in runs:
        assert len(run.values) == run.n_evals == run.n_initial + N_AFTER_START
        assert run.noise_sd > 0.0
        assert set(run.recommended) == {str(n) for n in range(run.n_initial, run.n_evals + 1)}
        assert "botorch 0." in run.version
        assert "raw_samples=512" in run.version


def test_a_trace_starts_where_those_of_the_peers_did():
    ours = trace("branin+noise10", "random", RandomSearch, 3, 2, "1")
    theirs = next(r for r in record.read(TRACES) if (r.problem, r.seed) == (ours.problem, 3))
    assert ours.values[: ours.n_initial] == pytest.approx(theirs.values[: ours.n_initial])
    assert set(ours.recommended) == {"6", "7", "8"}
    assert len(ours.seconds) == 2


def test_a_search_that_breaks_down_says_why(monkeypatch):
    def ask(solver):
        raise RuntimeError("no more")

    monkeypatch.setattr(RandomSearch, "ask", ask)
    run = trace("branin", "random", RandomSearch, 0, 2, "1")
    assert run.error == "RuntimeError: no more"


def test_ours_plays_with_gradients():
    run = play(("branin", "d-ei", 2, 0))
    assert not run.error
    assert len(run.values) == 8
    assert set(run.recommended) == {"6", "7", "8"}


def test_gradients_are_those_of_the_function():
    at = {"x0": 1.0, "x1": 2.0}
    value = problems.get("branin").value
    partials = problems.gradient("branin", at)
    for name in at:
        up, down = ({**at, name: at[name] + h} for h in (1e-5, -1e-5))
        assert partials[name] == pytest.approx((value(up) - value(down)) / 2e-5, rel=1e-6)


def test_regret_is_of_the_best_point_seen_and_under_noise_of_the_one_reported():
    run = searched("kg", 0, 0.25)
    assert regret_after(run, 1) == 8.0
    assert regret_after(run, 2) == 0.25
    noisy = searched("kg", 0, 0.25, noise_sd=1.0, recommended={"7": 3.0, "8": 4.0})
    assert regret_after(noisy, 2) == 3.0


def test_pairs_are_runs_of_the_same_seed():
    runs = [searched("kg", 0, 1.0), searched("kg", 1, 2.0), searched("ei", 1, 3.0)]
    runs += [searched("ei", 2, 4.0), searched("ei", 0, 5.0, error="gone")]
    mine, theirs = paired_regrets(runs, "branin", "kg", "ei", 2)
    assert (mine, theirs) == ([2.0], [3.0])


def test_intervals_hold_the_statistic_and_are_the_same_again():
    sample = np.random.default_rng(0).normal(1.0, 0.1, size=40)
    said = interval(sample, np.mean)
    assert said == interval(sample, np.mean)
    assert said.low < said.estimate < said.high
    assert said.estimate == pytest.approx(sample.mean())
    assert said.high - said.low == pytest.approx(2 * 1.96 * sample.std() / np.sqrt(40), rel=0.1)


def test_ratios_of_solved_problems_are_one():
    ratios = log_ratios(np.array([1e-12, 0.1]), np.array([0.0, 1.0]))
    assert ratios == pytest.approx([0.0, -1.0])


@pytest.mark.parametrize(("shift", "verdict"), [(0.5, "no"), (-0.5, "yes")])
def test_no_worse_is_a_matter_of_the_interval(shift, verdict):
    runs = [searched("ei", seed, 1.0 + 0.01 * seed) for seed in range(8)]
    runs += [searched("kg", seed, 1.0 + shift - 0.01 * seed) for seed in range(8)]
    row = no_worse(runs, ["kg"], ["ei"], 2).splitlines()[-1]
    assert row.split("|")[-2].strip() == verdict


def test_gradients_are_compared_with_the_same_method_without():
    runs = [searched("ei", seed, 1.0) for seed in range(4)]
    runs += [searched("d-ei", seed, 0.01) for seed in range(4)]
    row = [cell.strip() for cell in gains_of_gradients(runs, {"branin": 2}).split("|")]
    assert "-2.00" in row
    assert "4/4" in row


def test_random_search_is_the_measure_of_entropy_search():
    runs = [searched("random", seed, 1.0) for seed in range(3)]
    runs += [searched("mes", seed, 0.05) for seed in range(3)]
    row = [cell.strip() for cell in against_random(runs, {"branin": 2}).split("|")]
    assert "20" in row


def test_saved_runs_find_their_part(tmp_path, capsys):
    part = benchmark.PARTS["entropy"]
    whole = {"n_evals": 36, "values": [9.0] * 35 + [1.5]}
    ours = searched("mes", 0, 0.0, **whole)
    another = searched("random", 0, 0.0, **whole | {"values": [6.0] * 36})
    assert benchmark.belongs(ours, part)
    assert not benchmark.belongs(ours, benchmark.PARTS["derivatives"])
    assert not benchmark.belongs(searched("mes", 0, 1.0), part)
    record.append(tmp_path / "runs.jsonl", [ours, another])
    benchmark.main(["--part", "entropy", "--read", str(tmp_path / "runs.jsonl")])
    report = capsys.readouterr().out
    assert "## Entropy search" in report
    assert "| 10 " in report


def test_tasks_go_seed_after_seed():
    tasks = benchmark.PARTS["noisy"].tasks(["kg"], 2)
    assert tasks == [(p, "kg", N_AFTER_START, seed) for seed in (0, 1) for p in PROBLEMS]


def test_tables_go_to_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "play_all", lambda *_: [searched("kg", 0, 1.0, problem="none")])
    benchmark.main(["--part", "lookahead", "--report", str(tmp_path / "table.md")])
    assert "Two-step lookahead" in (tmp_path / "table.md").read_text()


def test_botorch_is_timed_on_the_same_model():
    data = bo_data()
    model, _ = fit(data)
    twin, X = botorch_twin(model), torch.rand(7, 1, 2, dtype=torch.float64)
    ours, theirs = model.posterior(X), twin.posterior(X)
    torch.testing.assert_close(theirs.mean, ours.mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(theirs.variance, ours.variance, rtol=1e-3, atol=1e-5)


def bo_data():
    study = bo.Study([(0.0, 1.0)] * 2, seed=0)
    rng = np.random.default_rng(0)
    X = rng.random((12, 2))
    study.add(X, np.cos(3 * X).sum(1) + 0.1 * rng.standard_normal(12))
    return dataset(study.space, study.trials, "minimize", "auto")
